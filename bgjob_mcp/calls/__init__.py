"""What each tool does: arguments in, requests to the daemon, an answer out. Nothing here knows the MCP SDK."""
