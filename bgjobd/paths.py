"""Where socket, logs, state and configuration live. Decides names; creates nothing but private directories.

Standard library first: platformdirs is imported only on systems whose convention is not the XDG one.
"""

import os
import stat
import sys
from collections.abc import Mapping

from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["SUN_PATH_MAX", "Paths", "ensure_private_directory"]

# Longest path that fits sockaddr_un on every platform we run on (macOS: 104 bytes with the NUL; Linux: 108).
SUN_PATH_MAX = 103
# Room for the longest name we bind below the runtime directory: "/" + a job id + ".sock".
_LONGEST_SOCKET_NAME = 1 + 36 + 5


class Paths:
    """All paths of one bgjob instance. Two processes with the same environment compute the same ones.

    `state_dir` holds what must survive a reboot; `runtime_dir` holds sockets and has a short path. Both belong to this
    user alone (0700). Deliberately not below $XDG_RUNTIME_DIR: that variable differs between a login shell, cron and a
    client started by a desktop, and every client of a user has to find the same daemon.
    """

    __slots__ = ("config_file", "runtime_dir", "state_dir")

    def __init__(self, state_dir: str, runtime_dir: str, config_file: str) -> None:
        self.state_dir = state_dir
        self.runtime_dir = runtime_dir
        self.config_file = config_file

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Paths":
        """Return the paths that `environment` (default: this process's) selects.

        `BGJOB_HOME` moves everything under one directory; `BGJOB_CONFIG` names the configuration file.

        Raises:
            BgjobError: INVALID_ARGUMENT when BGJOB_HOME is not an absolute path, or no home directory is known.
        """
        env = os.environ if environment is None else environment
        home = env.get("BGJOB_HOME", "")
        if home:
            if not os.path.isabs(home):
                raise BgjobError(
                    ErrorCode.INVALID_ARGUMENT,
                    f"cannot use BGJOB_HOME={home!r}: it is not an absolute path",
                    "Set it to an absolute path, or unset it.",
                )
            state_dir = os.path.normpath(home)
            config_file = os.path.join(state_dir, "config.toml")
        else:
            state_dir, config_dir = _platform_directories(env)
            config_file = os.path.join(config_dir, "config.toml")
        config_file = env.get("BGJOB_CONFIG", "") or config_file
        return cls(state_dir, _runtime_dir(state_dir, env), config_file)

    @property
    def socket(self) -> str:
        """The daemon's control socket."""
        return os.path.join(self.runtime_dir, "bgjobd.sock")

    @property
    def mcp_host_socket(self) -> str:
        """The socket of the resident MCP host."""
        return os.path.join(self.runtime_dir, "mcp.sock")

    @property
    def mcp_host_lock(self) -> str:
        """Locked by the resident MCP host for as long as it takes sessions; holds its pid as text."""
        return os.path.join(self.state_dir, "mcp-host.lock")

    @property
    def mcp_host_log(self) -> str:
        """The resident MCP host's own log, and what it writes to standard error."""
        return os.path.join(self.state_dir, "mcp-host.log")

    @property
    def daemon_lock(self) -> str:
        """Locked (flock) by the one running daemon for as long as it lives; holds its pid as text."""
        return os.path.join(self.state_dir, "daemon.lock")

    @property
    def start_lock(self) -> str:
        """Locked by a client while it starts the daemon, so that two clients start one."""
        return os.path.join(self.state_dir, "start.lock")

    @property
    def daemon_log(self) -> str:
        """The daemon's own log. Never holds output or environment values of jobs."""
        return os.path.join(self.state_dir, "bgjobd.log")

    @property
    def jobs_dir(self) -> str:
        """One directory per job, two levels deep."""
        return os.path.join(self.state_dir, "jobs")

    @property
    def prepared_dir(self) -> str:
        """Directories for jobs that have not come yet, in the making or ready."""
        return os.path.join(self.state_dir, "prepared")

    @property
    def live_dir(self) -> str:
        """One empty file per job that is not over yet."""
        return os.path.join(self.state_dir, "live")

    @property
    def tasks_dir(self) -> str:
        """One file per task: a wait that is collected later."""
        return os.path.join(self.state_dir, "tasks")

    @property
    def history_db(self) -> str:
        """The index. Can be deleted at any time."""
        return os.path.join(self.state_dir, "history.db")

    def job_dir(self, job_id: str) -> str:
        """The directory of one job, which is the truth about it."""
        return f"{self.jobs_dir}/{job_id[:2]}/{job_id}"

    def runner_socket(self, job_id: str) -> str:
        """The control socket of one job's runner."""
        return f"{self.runtime_dir}/{job_id}.sock"

    def ensure(self) -> None:
        """Create the private directories, and check the ones that exist.

        Raises:
            BgjobError: STORAGE when one cannot be created; REFUSED when one is a symbolic link, belongs to another
                user, or is open to others and cannot be closed.
        """
        for directory in (self.state_dir, self.runtime_dir, self.jobs_dir, self.live_dir):
            ensure_private_directory(directory)


def ensure_private_directory(path: str) -> None:
    """Make `path` a real directory of this user with mode 0700.

    Raises:
        BgjobError: STORAGE or REFUSED, as in `Paths.ensure`.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        found = os.lstat(path)
        reason = ""
        if stat.S_ISLNK(found.st_mode):
            reason = "it is a symbolic link"
        elif not stat.S_ISDIR(found.st_mode):
            reason = "it is not a directory"
        elif found.st_uid != os.geteuid():
            reason = f"it belongs to user {found.st_uid}, not to {os.geteuid()}"
        if reason:
            raise BgjobError(
                ErrorCode.REFUSED,
                f"cannot use {path!r}: {reason}",
                "Remove it, or set BGJOB_HOME to a directory of your own.",
                {"path": path},
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.chmod(path, 0o700)
    except OSError as error:
        raise BgjobError(
            ErrorCode.STORAGE,
            f"cannot create {path!r}: {error.strerror}",
            "Check the permissions, or set BGJOB_HOME to a directory of your own.",
            {"path": path},
        ) from error


def _platform_directories(env: Mapping[str, str]) -> tuple[str, str]:
    """Return the state and the configuration directory by the platform's convention."""
    if sys.platform == "darwin":
        import platformdirs

        return platformdirs.user_state_dir("bgjob", appauthor=False), platformdirs.user_config_dir(
            "bgjob", appauthor=False
        )
    home = env.get("HOME", "") or os.path.expanduser("~")
    if not os.path.isabs(home):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            "cannot find a home directory: HOME is not set",
            "Set HOME or BGJOB_HOME.",
        )
    # XDG Base Directory Specification: a relative value must be ignored.
    state = env.get("XDG_STATE_HOME", "")
    config = env.get("XDG_CONFIG_HOME", "")
    state = state if os.path.isabs(state) else os.path.join(home, ".local", "state")
    config = config if os.path.isabs(config) else os.path.join(home, ".config")
    return os.path.join(state, "bgjob"), os.path.join(config, "bgjob")


def _runtime_dir(state_dir: str, env: Mapping[str, str]) -> str:
    """Return a directory for sockets whose paths fit sockaddr_un: below the state directory if that is short."""
    below = os.path.join(state_dir, "run")
    if len(os.fsencode(below)) + _LONGEST_SOCKET_NAME <= SUN_PATH_MAX:
        return below
    import hashlib  # with OpenSSL: 5 ms and 2 MB, on the way of every client, and hardly ever needed

    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:12]
    return os.path.join("/tmp", f"bgjob-{os.geteuid()}-{digest}")
