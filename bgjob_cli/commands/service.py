"""`bgjob service`: have the system run the daemon. Jobs neither need it nor end with it."""

import argparse
import os
import shutil
import sys

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json
from bgjob_cli.connection import Daemon
from bgjob_cli.daemon_process import stop_daemon
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.service.launchd import Launchd
from bgjob_cli.service.manager import ServiceFile, ServiceManager
from bgjob_cli.service.systemd import Systemd
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus

DESCRIPTION = """\
Have the system run the daemon: as a user service of systemd with its socket, or as an agent of launchd. Without it the
daemon starts by itself when it is needed, which is enough for most. Jobs keep running in any case."""

_SUB_VERBS = {
    "install": "write the service's files, start it now and at every login",
    "uninstall": "stop the service and delete its files; jobs keep running",
    "status": "show whether the service is installed and active",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-verbs."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, line in _SUB_VERBS.items():
        sub_parser = chosen.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".")
        add_json(sub_parser)
        if name == "install":
            sub_parser.add_argument("--print", action="store_true", help="only print the files, change nothing")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the sub-verb says."""
    paths = Paths.from_environment()
    manager = _manager(paths)
    match arguments.action:
        case "install":
            return _print(manager, output) if arguments.print else _install(manager, paths, output)
        case "uninstall":
            return _uninstall(manager, output)
    return _status(manager, output)


def _manager(paths: Paths) -> ServiceManager:
    """Return the service manager of this system.

    Raises:
        BgjobError: DAEMON_UNREACHABLE: it has none that we know.
    """
    if sys.platform == "darwin":
        return Launchd(paths)
    if shutil.which("systemctl"):
        return Systemd(paths)
    raise BgjobError(
        ErrorCode.DAEMON_UNREACHABLE,
        "cannot make a service: there is neither systemd nor launchd here",
        "The daemon starts by itself when it is needed; or have your own service manager run: bgjobd --foreground",
    )


def _print(manager: ServiceManager, output: Output) -> int:
    if output.json:
        print_json({"files": [{"path": file.path, "text": file.text} for file in manager.files]}, output)
        return exit_status.OK
    for number, file in enumerate(manager.files):
        if len(manager.files) > 1:  # a comment in units; a property list is alone, and is printed as it is
            output.line(("\n" if number else "") + f"# {printable(file.path)}")
        output.line(file.text.rstrip("\n"))
    return exit_status.OK


def _install(manager: ServiceManager, paths: Paths, output: Output) -> int:
    """Write the files, and hand the daemon over to the manager. Doing it again renews the files."""
    manager.check()
    paths.ensure()
    for file in manager.files:
        _write(file)
    manager.stop()
    stop_daemon(paths)  # one that a client started: there is one daemon, and it has to be the service's
    manager.start()
    with Daemon(autostart=False, paths=paths) as daemon:
        pid = daemon.call(DaemonStatus()).pid
    _say(manager, output, f"installed and running, pid {pid}")
    if not output.json:
        _advise(manager, output)
    return exit_status.OK


def _uninstall(manager: ServiceManager, output: Output) -> int:
    if not _is_installed(manager):
        _say(manager, output, "not installed")
        return exit_status.OK
    manager.check()
    manager.forget()
    for file in manager.files:
        _delete(file)
    _say(manager, output, "uninstalled; the daemon starts by itself when it is needed")
    return exit_status.OK


def _status(manager: ServiceManager, output: Output) -> int:
    """Show how it is. The status is that of `daemon status`: 6 when nothing would answer."""
    active = _is_installed(manager) and manager.is_active()
    words = "not installed"
    if _is_installed(manager):
        words = "active" if active else "installed, but not active"
    _say(manager, output, words)
    if _is_installed(manager) and not _is_current(manager):
        output.talk(
            "bgjob: the service is that of another bgjob, or was edited; to renew it: bgjob service install", "warn"
        )
    return exit_status.OK if active else exit_status.NOT_REACHED


def _say(manager: ServiceManager, output: Output, words: str) -> None:
    installed = _is_installed(manager)
    if output.json:
        facts = {
            "manager": manager.name,
            "installed": installed,
            "active": installed and manager.is_active(),
            "current": installed and _is_current(manager),
            "files": [file.path for file in manager.files],
        }
        print_json(facts, output)
        return
    output.line(words)
    for file in manager.files if installed else []:
        output.line(f"  {printable(file.path)}")


def _advise(manager: ServiceManager, output: Output) -> None:
    """Say what systemd does not do by itself: start before the login, and stay after the logout."""
    user = os.environ.get("USER", "")
    if manager.name == "systemd" and os.geteuid() and not os.path.exists(f"/var/lib/systemd/linger/{user}"):
        output.talk("To start it at boot, and keep it and its jobs when you log out: loginctl enable-linger")


def _is_installed(manager: ServiceManager) -> bool:
    return any(os.path.exists(file.path) for file in manager.files)


def _is_current(manager: ServiceManager) -> bool:
    """Return whether the files are what `install` would write now."""
    return all(_text_of(file.path) == file.text for file in manager.files)


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(file: ServiceFile) -> None:
    """Write a file so that it is there as a whole or not at all.

    Raises:
        BgjobError: STORAGE.
    """
    try:
        os.makedirs(os.path.dirname(file.path), exist_ok=True)
        with open(f"{file.path}.new", "w", encoding="utf-8") as new:
            new.write(file.text)
        os.replace(f"{file.path}.new", file.path)
    except OSError as error:
        raise BgjobError(ErrorCode.STORAGE, f"cannot write {file.path!r}: {error.strerror}") from error


def _delete(file: ServiceFile) -> None:
    try:
        os.unlink(file.path)
    except FileNotFoundError:
        pass  # somebody was faster; gone is gone
    except OSError as error:
        raise BgjobError(ErrorCode.STORAGE, f"cannot delete {file.path!r}: {error.strerror}") from error
