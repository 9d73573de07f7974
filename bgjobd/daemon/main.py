"""`bgjobd`: arguments, the single-instance lock, the first zygote, logging, readiness; then the event loop.

The order matters. The zygote is started before anything heavy is imported and before any thread exists: it forks, and
a fork of a large or threaded process is slow or unsafe.
"""

import argparse
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence

from bgjobd.daemon.service_manager import Notifier, inherited_socket
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.single import take_lock
from bgjobd.version import VERSION

_LOG_BYTES, _LOG_FILES = 4 << 20, 3
# On --ready-fd: clients can connect; another daemon has the lock; an error, whose message and hint follow in two lines.
_READY, _BUSY, _ERROR = b"R", b"B", b"E"

# Exit statuses of bgjobd itself: EX_UNAVAILABLE and EX_CONFIG of sysexits(3).
EXIT_FAILED, EXIT_ALREADY_RUNNING, EXIT_CONFIG = 1, 69, 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to stop; return its exit status."""
    arguments = _parse(argv)
    if arguments.check_config:
        return _check_config()
    try:
        paths = Paths.from_environment()
        paths.ensure()
        lock = take_lock(paths.daemon_lock, "daemon")
    except BgjobError as error:
        print(f"bgjobd: {error}", file=sys.stderr)
        if error.code is ErrorCode.LIMIT_EXCEEDED:
            _announce(arguments.ready_fd, _BUSY)
            return EXIT_ALREADY_RUNNING
        _announce_error(arguments.ready_fd, error)
        return EXIT_FAILED
    gc.disable()  # until `app` has everything: what is made from here to there stays, and is not worth looking at
    os.chdir("/")
    os.umask(0o077)
    if os.getpid() != os.getsid(0):
        with contextlib.suppress(PermissionError):  # already a process group leader, as under a service manager
            os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    from bgjobd.daemon.submission import raise_descriptor_limit  # the limit is inherited by the zygote

    nofile_soft = raise_descriptor_limit()
    inherited, notifier = inherited_socket(), Notifier()
    from bgjobd.daemon.runners import spawn_zygote

    zygote = spawn_zygote(paths.state_dir)
    import logging

    from bgjobd.daemon import app, config

    try:
        loaded = config.load(paths.config_file)
    except BgjobError as error:
        print(f"bgjobd: {error}", file=sys.stderr)
        _announce_error(arguments.ready_fd, error)
        return EXIT_CONFIG
    _log_to(paths.daemon_log, loaded.settings.log_level, also_stderr=arguments.foreground)
    for sentence in config.unknown_variables():
        logging.getLogger("bgjobd.config").warning("%s", sentence)

    is_ready = False

    def ready() -> None:
        nonlocal is_ready
        is_ready = True
        notifier.say("READY=1")
        _announce(arguments.ready_fd)

    try:
        app.run(
            app.Start(
                paths=paths,
                loaded=loaded,
                zygote=zygote,
                nofile_soft=nofile_soft,
                inherited=inherited,
                ready=ready,
            )
        )
    except BgjobError as error:
        if is_ready:
            raise
        logging.getLogger("bgjobd").error("cannot start: %s", error)
        _announce_error(arguments.ready_fd, error)
        return EXIT_FAILED
    finally:
        notifier.say("STOPPING=1")
        os.close(lock)
    return 0


def _check_config() -> int:
    """Read the settings and say whether they are right, and which variables mean nothing; touch nothing."""
    from bgjobd.daemon import config

    try:
        config.load(Paths.from_environment().config_file)
    except BgjobError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return EXIT_CONFIG
    for sentence in config.unknown_variables():
        print(sentence)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bgjobd", description="The bgjob daemon. Clients start it by themselves; `bgjob daemon` steers it."
    )
    parser.add_argument("--version", action="version", version=f"bgjobd {VERSION}")
    parser.add_argument("--check-config", action="store_true", help="only say whether the configuration is right")
    parser.add_argument("--foreground", action="store_true", help="log to standard error as well")
    parser.add_argument(
        "--ready-fd",
        type=int,
        default=-1,
        metavar="FD",
        help="write `R` to FD when ready, `B` when another daemon runs, or `E` and an error",
    )
    return parser.parse_args(argv)


def _announce(ready_fd: int, said: bytes = _READY) -> None:
    """Tell whoever started us that clients can connect (as s6's readiness notification), or why they cannot."""
    if ready_fd < 0:
        return
    with contextlib.suppress(BrokenPipeError):  # whoever started us did not wait
        os.write(ready_fd, said)
    os.close(ready_fd)


def _announce_error(ready_fd: int, error: BgjobError) -> None:
    _announce(ready_fd, _ERROR + f"{error.message}\n{error.hint}".encode("utf-8", "surrogateescape"))


def _log_to(path: str, level: str, *, also_stderr: bool) -> None:
    import logging
    import logging.handlers

    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, delay=True)
    ]
    if also_stderr:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=level.upper(),
        handlers=handlers,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s",
        force=True,
    )
    logging.captureWarnings(True)


if __name__ == "__main__":
    sys.exit(main())
