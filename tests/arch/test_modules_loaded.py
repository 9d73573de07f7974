"""What each program loads when it runs: start-up time and memory per job are decided here.

The import contracts in pyproject.toml read import statements only; these tests look at real processes.
"""

import os
import re
import socket
import subprocess
import sys
import time

import pytest

import bgjobd.runner
from bgjobd.paths import Paths
from bgjobd.runner.records import ExitRecord, Spec, read_record, write_record
from tests.helpers.cli import BGJOB, clean_environment
from tests.helpers.daemon import Daemon
from tests.helpers.mcp_host import BGJOB_MCP, McpHost
from tests.helpers.waiting import wait_exit, wait_for_file

IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)", re.MULTILINE)

HEAVY = {
    "anyio",
    "asyncio",
    "logging",
    "mcp",
    "mcp_types",
    "platformdirs",
    "psutil",
    "pydantic",
    "rich",
    "sqlite3",
}


def loaded_by(argv: list[str], env: dict[str, str]) -> set[str]:
    """Run Python with these arguments and return the modules it imported, packages' parts included."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *argv],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(IMPORTED.findall(done.stderr))


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_the_version_is_printed_without_the_protocol(env: dict[str, str]) -> None:
    loaded = loaded_by([BGJOB, "--version"], env)
    assert "bgjob_cli.main" in loaded, "the measurement does not see imports"
    assert sorted(tops(loaded) & (HEAVY | {"argparse", "json", "msgspec", "socket", "subprocess"})) == []
    assert "bgjobd.protocol" not in loaded


def test_a_runner_loads_the_standard_library_before_our_own_code() -> None:
    """What comes later would lie between our own objects, and each runner pays for that in memory (runner.lean)."""
    program = os.path.join(os.path.dirname(bgjobd.runner.__file__), "__main__.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-E", "-X", "importtime", program],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    order = IMPORTED.findall(done.stderr)
    ours = [number for number, module in enumerate(order) if module.startswith("bgjobd.")]
    assert len(ours) > 20, "the measurement does not see imports"
    assert [module for module in order[ours[1] :] if not module.startswith("bgjobd.")] == []


def test_a_listing_loads_no_event_loop(env: dict[str, str], daemon: Daemon) -> None:
    loaded = loaded_by([BGJOB, "ls"], env)
    assert "bgjobd.client" in loaded
    assert sorted(tops(loaded) & HEAVY) == []
    assert not {module for module in loaded if module.startswith("bgjobd.daemon")}
    assert not {module for module in loaded if module.startswith("bgjob_cli.commands.")} - {"bgjob_cli.commands.ls"}


@pytest.mark.parametrize("module", ["bgjobd", "bgjobd.errors", "bgjobd.paths", "bgjobd.version", "bgjobd.wire"])
def test_a_light_root_file_loads_no_dependency(env: dict[str, str], module: str) -> None:
    loaded = loaded_by(["-c", f"import {module}"], env)
    assert sorted(tops(loaded) & (HEAVY | {"msgspec"})) == []


def test_the_client_loads_msgspec_and_nothing_else_of_weight(env: dict[str, str]) -> None:
    loaded = loaded_by(["-c", "import bgjobd.client"], env)
    assert "msgspec" in loaded
    assert sorted(tops(loaded) & HEAVY) == []


def test_what_an_mcp_client_starts_loads_next_to_nothing_while_the_host_is_up(env: dict[str, str]) -> None:
    """It shakes hands with a real host, and finds the end of its input."""
    with McpHost(env) as host:
        loaded = loaded_by([BGJOB_MCP], host.env)
        assert host.log == ""
    assert "bgjob_mcp.pump" in loaded
    forbidden = HEAVY | {"argparse", "dataclasses", "hashlib", "inspect", "json", "msgspec", "pathlib", "selectors"}
    forbidden |= {"shutil", "socket", "struct", "subprocess", "tempfile", "threading", "typing"}
    assert sorted(tops(loaded) & forbidden) == []
    assert not {module for module in loaded if module.startswith("bgjob_mcp.server")}


def test_a_zygote_and_the_runner_it_forks_load_next_to_nothing(home: str) -> None:
    """The zygote is started as the daemon starts it, gets one job, and drains when its daemon is gone."""
    env = clean_environment(home)
    paths = Paths.from_environment(env)
    paths.ensure()
    job_id = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    job_dir = paths.job_dir(job_id)
    os.makedirs(job_dir, 0o700)
    spec = Spec(
        job_id=job_id,
        command=b"echo hello",
        argv=[b"/bin/sh", b"-c", b"echo hello"],
        env=[f"{name}={value}".encode() for name, value in env.items()],
        control=paths.runner_socket(job_id),
        submitted_ns=time.time_ns(),
    )
    write_record(spec, os.path.join(job_dir, "spec"))
    python = [sys.executable, "-X", "importtime", "-I", "-S", "-E"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = os.path.join(os.path.dirname(bgjobd.runner.__file__ or ""), "__main__.py")
    with ours, open(os.path.join(home, "imports"), "w+b") as said:
        zygote = subprocess.Popen(
            [*python, program, "zygote", str(theirs.fileno()), paths.state_dir],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        ours.send(b"spawn " + os.fsencode(job_dir))
        wait_for_file(os.path.join(job_dir, "exit"))
        ours.close()
        assert wait_exit(zygote, "the zygote to drain") == 0
        said.seek(0)
        loaded = set(IMPORTED.findall(said.read().decode()))
    assert read_record(ExitRecord, os.path.join(job_dir, "exit")).status == 0
    assert {"select", "zygote"} & tops({module.removeprefix("bgjobd.runner.") for module in loaded})
    forbidden = HEAVY | {"argparse", "concurrent", "dataclasses", "inspect", "json", "msgspec"}
    forbidden |= {"multiprocessing", "pathlib", "re", "shutil", "subprocess", "tempfile", "threading", "typing"}
    assert sorted(tops(loaded) & forbidden) == []
