"""What a client's jobs inherit from the server that it started. Next to no imports: see `bgjob_mcp.pump`."""

import os
from collections.abc import Mapping

__all__ = ["Surroundings"]


class Surroundings:
    """The environment, working directory and umask of the process that a client started, and its pid.

    A session that the resident host serves has those of its own process, never the host's.
    """

    __slots__ = ("cwd", "environment", "pid", "umask")

    def __init__(self, environment: Mapping[bytes, bytes], cwd: str, umask: int, pid: int) -> None:
        self.environment = environment
        self.cwd = cwd  # absolute
        self.umask = umask
        self.pid = pid

    @classmethod
    def of_this_process(cls) -> "Surroundings":
        """Return those of this process."""
        umask = os.umask(0o077)
        os.umask(umask)
        try:
            cwd = os.getcwd()
        except FileNotFoundError:  # removed under us
            cwd = "/"
        return cls(dict(os.environb), cwd, umask, os.getpid())

    @property
    def project(self) -> str:
        """The project directory; "" where the client started us nowhere in particular."""
        return "" if self.cwd == "/" else self.cwd

    @property
    def variables(self) -> dict[str, str]:
        """The environment as text."""
        return {os.fsdecode(name): os.fsdecode(value) for name, value in self.environment.items()}
