"""Count what six everyday tasks cost an agent, with bgjob-mcp and with mcp-background-job: `make economy`.

Installs mcp-background-job into a virtual environment of its own in DIRECTORY, which git ignores; that needs Python
3.12 or newer, and without one only bgjob is counted. With both, the table is put into docs/reference/agent-economy.md.

usage: python -m tests.economy DIRECTORY [PYTHON]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping

from tests.economy import report
from tests.economy.hands import Bgjob, Hands, Peer
from tests.economy.meter import Meter, connected, opening_bytes
from tests.economy.report import Count, Side
from tests.economy.tasks import JOBS, TASKS, Task
from tests.helpers.cli import SCRIPTS, clean_environment
from tests.helpers.daemon import end_instance

PEER = "mcp-background-job"
PEER_VERSION = "0.1.2"
_NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 12))"


def main(words: list[str]) -> int:
    """Count with both servers, and report."""
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    sides = [count("bgjob", os.path.join(SCRIPTS, "bgjob-mcp"), Bgjob)]
    peer = install_peer(os.path.abspath(words[0]), words[1:])
    if peer is None:
        print(f"{PEER} is left out: it needs Python 3.12 or newer, and none was found", file=sys.stderr)
    else:
        sides.append(count(PEER, peer, Peer))
        report.keep(sides)
    print(report.markdown(sides))
    return 0


def install_peer(directory: str, pythons: list[str]) -> str | None:
    """Install mcp-background-job where it is not yet; return its command, or None without a Python for it."""
    command = os.path.join(directory, "bin", PEER)
    if os.path.exists(command):
        return command
    python = next((each for each in (*pythons, sys.executable, "python3.13", "python3.12") if _suits(each)), None)
    if python is None:
        return None
    subprocess.run([python, "-m", "venv", directory], check=True)
    pip = [os.path.join(directory, "bin", "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet"]
    subprocess.run([*pip, "install", f"{PEER}=={PEER_VERSION}"], check=True)
    return command


def _suits(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", _NEW_ENOUGH], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def count(server: str, command: str, hands: Callable[[Meter], Hands]) -> Side:
    """Let an agent do all tasks with one server, in a new session for each."""
    home = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    env = clean_environment(home)
    project = shutil.copytree(JOBS, os.path.join(home, "project"))
    try:
        with connected(command, env, project) as agent:
            opening = opening_bytes(agent)
        counts = [_count(task, command, env, project, hands) for task in TASKS]
    finally:
        end_instance(env)
        shutil.rmtree(home, ignore_errors=True)
    return Side(server, opening, tuple(counts))


def _count(task: Task, command: str, env: Mapping[str, str], project: str, hands: Callable[[Meter], Hands]) -> Count:
    print(f"{os.path.basename(command)}: {task.name} …", file=sys.stderr, flush=True)
    with connected(command, env, project) as agent:
        meter = Meter(agent)
        task.script(hands(meter))
    return counted(task, meter)


def counted(task: Task, meter: Meter) -> Count:
    """Return what was counted, and how many of the facts the agent was shown."""
    known = sum(any(re.search(fact, seen) for seen in meter.seen) for fact in task.facts)
    return Count(
        task.name, meter.calls, meter.written_bytes, meter.read_bytes, meter.text_bytes, known, len(task.facts)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
