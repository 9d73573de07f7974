"""The tutorial as a program: one job, seen from the command line and then by an agent. `make demo` runs it.

Uses what a user has: the installed commands, and the MCP SDK's own client for the agent's part. Everything happens in a
temporary BGJOB_HOME. Exits 0 only if every step did what it should and nothing is left running.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping

import psutil
from mcp import Client, StdioServerParameters

COMMAND = 'for i in 1 2 3; do echo "step $i"; sleep 0.3; done; echo "no space left" >&2; exit 3'
STEPS = (
    # command line, and the exit status it has to have
    (f"bgjob run --name build '{COMMAND}'", 0),
    ("bgjob ls", 0),
    ("bgjob wait build", 3),
    ("bgjob output build", 0),
    ("bgjob status build", 0),
)
LEFTOVERS_TIMEOUT_S = 10


def main() -> int:
    """Run the demo and return its exit status."""
    home = tempfile.mkdtemp(prefix="bgjob-demo-", dir="/tmp")
    scripts = sysconfig.get_path("scripts")
    env = {**os.environ, "BGJOB_HOME": home, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    env["BGJOB_MCP_HOST"] = "off"  # it stays for the next client, and here nothing is to stay
    try:
        say("A job that outlives this shell. The first command starts the daemon.")
        for command, expected in STEPS:
            run(command, expected, env)
        say("The same job, asked for by an agent over MCP (the SDK's client, the installed bgjob-mcp).")
        asyncio.run(ask_as_an_agent(env))
        say("Stop the daemon and look what is left.")
        run("bgjob daemon stop --kill-jobs", 0, env)
        return report_leftovers(home)
    except StepError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        end_all(home)
        shutil.rmtree(home, ignore_errors=True)


class StepError(Exception):
    """A step did not do what it should."""


def say(text: str) -> None:
    """Print a line that explains."""
    print(f"\n# {text}", flush=True)


def run(command: str, expected: int, env: Mapping[str, str]) -> None:
    """Show a command line, its output and its exit status."""
    print(f"$ {command}", flush=True)
    status = subprocess.run(command, shell=True, env=env, check=False).returncode
    if status:
        print(f"(exit status {status})", flush=True)
    if status != expected:
        raise StepError(f"{command!r} exited {status}, expected {expected}")


async def ask_as_an_agent(env: Mapping[str, str]) -> None:
    """Show the job through the MCP server."""
    server = StdioServerParameters(command="bgjob-mcp", env=dict(env))
    async with Client(server) as agent:
        for tool, arguments in (("status", {"job_id": "build"}), ("output", {"job_id": "build"})):
            print(f"> {tool} {arguments}")
            result = await agent.call_tool(tool, arguments)
            text = "\n".join(part.text for part in result.content if part.type == "text")
            print(text, flush=True)
            if result.is_error:
                raise StepError(f"the tool {tool!r} answered with an error")


def processes_of(home: str) -> list[psutil.Process]:
    """Return the processes of this instance: every one of them carries its BGJOB_HOME."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("BGJOB_HOME") == home and process.pid != os.getpid():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def report_leftovers(home: str) -> int:
    """Say whether anything is still there; return 1 if so."""
    _, left = psutil.wait_procs(processes_of(home), timeout=LEFTOVERS_TIMEOUT_S)
    for process in left:
        print(f"left running: {process}")
    print(f"{len(left)} processes of the demo are left running.")
    return 1 if left else 0


def end_all(home: str) -> None:
    """Kill what a failed step left behind."""
    for process in processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
