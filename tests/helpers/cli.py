"""The command line as a person or a script uses it: the installed `bgjob`, in its own process."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.helpers.waiting import DEADLINE_S, LineMatcher, wait_exit

SCRIPTS = sysconfig.get_path("scripts")
BGJOB = os.path.join(SCRIPTS, "bgjob")


def clean_environment(home: str) -> dict[str, str]:
    """Return an environment for programs under test: ours, without what would steer bgjob or colour its output.

    MCP servers do without the resident host, and start none: a test that wants it says so, see tests/mcp/harness.py.
    """
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["PATH"] = os.pathsep.join([SCRIPTS, environment.get("PATH", os.defpath)])
    return environment | {"HOME": home, "BGJOB_HOME": home, "TERM": "dumb", "BGJOB_MCP_HOST": "off"}


@dataclass(frozen=True, slots=True)
class Result:
    """How a command went. A signal that ended it shows as a negative status."""

    argv: tuple[str, ...]
    status: int
    raw_stdout: bytes
    raw_stderr: bytes

    @property
    def stdout(self) -> str:
        """Standard output as text."""
        return self.raw_stdout.decode()

    @property
    def stderr(self) -> str:
        """Standard error as text."""
        return self.raw_stderr.decode()

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.raw_stdout)

    def ok(self) -> "Result":
        """Return itself; fail, and show what was said, unless the status is 0."""
        assert self.status == 0, str(self)
        return self

    def __str__(self) -> str:
        return f"{' '.join(self.argv)} exited {self.status}\nstdout: {self.stdout}\nstderr: {self.stderr}"


class Cli:
    """Runs `bgjob` against one instance.

    Args:
        env: the whole environment of the commands.
        cwd: their working directory.
    """

    def __init__(self, env: Mapping[str, str], cwd: str) -> None:
        self.env = dict(env)
        self.cwd = cwd

    def __call__(
        self, *arguments: str, input: bytes = b"", env: Mapping[str, str] | None = None, cwd: str | None = None
    ) -> Result:
        """Run to the end. `env` is added to the environment; standard input is `input`, then its end."""
        argv = (BGJOB, *arguments)
        done = subprocess.run(
            argv,
            input=input,
            capture_output=True,
            env=self.env | dict(env or {}),
            cwd=cwd or self.cwd,
            timeout=DEADLINE_S,
            check=False,
        )
        return Result(("bgjob", *arguments), done.returncode, done.stdout, done.stderr)

    def submit(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run `bgjob run -q` with these arguments and return the job's id."""
        return self("run", "-q", *arguments, env=env).ok().stdout.strip()

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> "RunningCli":
        """Start a command that goes on, e.g. `tail -f`; use it as a context manager."""
        return RunningCli((BGJOB, *arguments), self.env | dict(env or {}), self.cwd)


class RunningCli:
    """A command that is still running. At the end of the `with` it is gone."""

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], cwd: str) -> None:
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin = self.process.stdin
        self.stdout = LineMatcher(self.process.stdout.fileno(), f"{argv!r}")
        self.stderr = LineMatcher(self.process.stderr.fileno(), f"standard error of {argv!r}")

    def __enter__(self) -> "RunningCli":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        wait_exit(self.process)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Return its exit status."""
        return wait_exit(self.process)
