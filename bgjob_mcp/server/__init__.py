"""The only place that knows the MCP SDK: transports, protocol messages, and the tools' answers as results.

Importing it costs most of a second, so it is imported when the daemon is up and a client waits, never before.
"""
