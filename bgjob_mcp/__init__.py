"""The MCP server of bgjob: background jobs for coding agents."""
