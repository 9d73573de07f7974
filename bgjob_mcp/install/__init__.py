"""Entering the server into the configuration of MCP clients. Never imports the SDK."""
