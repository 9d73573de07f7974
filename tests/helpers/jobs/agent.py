"""An agent: starts the installed MCP server through the SDK's client, executes a command line, prints the job's id.

    agent.py COMMAND

Then it keeps the session open until somebody kills it.
"""

import os
import sys

import anyio
from mcp import Client, StdioServerParameters


async def main() -> None:
    """Submit the job and stay."""
    server = StdioServerParameters(command="bgjob-mcp", env=dict(os.environ), cwd=os.getcwd())
    async with Client(server) as client:
        result = await client.call_tool("execute", {"command": sys.argv[1], "wait_s": 0})
        print((result.structured_content or {}).get("job_id") or result.content, flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main)
