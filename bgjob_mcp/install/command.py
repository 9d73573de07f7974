"""`bgjob-mcp install|uninstall|config CLIENT`: shows what would change, asks, keeps a copy, and changes it."""

import argparse
import difflib
import os
import shutil
import sys
import tempfile
from datetime import datetime

from bgjob_mcp.install.change import added, entry_in, predecessors, removed
from bgjob_mcp.install.clients import CLIENTS, SERVER_NAME, Client
from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["VERBS", "main"]

VERBS = ("install", "uninstall", "config")


def main(arguments: list[str]) -> int:
    """Carry out one of the verbs. Returns 0 when it is done or was already so, 1 when not, 2 for wrong arguments."""
    given = _parser().parse_args(arguments)
    client = CLIENTS[given.client]
    of_project = given.project or not client.user_file  # VS Code has only that one, and a command for all projects
    command = SERVER_COMMAND if of_project else _absolute_command()
    try:
        path = client.file(project=of_project, home=os.path.expanduser("~"), cwd=_project() if of_project else "")
        if not path:
            raise _no_project_file(client)
        if given.verb == "config":
            _show(client, path, command)
            return 0
        return _apply(given, client, path, command)
    except BgjobError as error:
        print(f"bgjob-mcp: {error.message}" + (f"\n{error.hint}" if error.hint else ""), file=sys.stderr)
        return 1


SERVER_COMMAND = "bgjob-mcp"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bgjob-mcp", description="Enter bgjob into the configuration of an MCP client.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    helps = {
        "install": "add the server to a client's configuration, or bring its entry up to date",
        "uninstall": "take the server out of a client's configuration",
        "config": "print what to add, and where; change nothing",
    }
    for verb in VERBS:
        sub = verbs.add_parser(verb, help=helps[verb], description=helps[verb])
        sub.add_argument("client", choices=sorted(CLIENTS), metavar="CLIENT", help=", ".join(sorted(CLIENTS)))
        sub.add_argument("--project", action="store_true", help="the file of this directory, not the user's")
        if verb != "config":
            sub.add_argument("--dry-run", action="store_true", help="only show what would change")
            sub.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _project() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            "cannot find the project's file: the current directory was removed",
            "Change to the directory of the project.",
        ) from error


def _absolute_command() -> str:
    """Return where our command is: a client that a desktop starts has another PATH than a shell."""
    beside = [os.path.dirname(os.path.abspath(program)) for program in (sys.argv[0], sys.executable)]
    return shutil.which(SERVER_COMMAND, path=os.pathsep.join(beside)) or shutil.which(SERVER_COMMAND) or SERVER_COMMAND


def _show(client: Client, path: str, command: str) -> None:
    print(f"# {path}")
    print(added(client, "", command), end="")
    for_all_projects = client.entry(_absolute_command())
    if client.program:
        print(f"# or run, for all projects: {client.program(for_all_projects)}")
    if client.deeplink:
        print(f"# or open, for all projects: {client.deeplink(for_all_projects)}")


def _no_project_file(client: Client) -> BgjobError:
    reason = f"cannot configure {client.name}: it has no project file"
    return BgjobError(ErrorCode.INVALID_ARGUMENT, reason, "Do it without --project.")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BgjobError(ErrorCode.STORAGE, f"cannot read {path!r}: {error}") from error


def _apply(given: argparse.Namespace, client: Client, path: str, command: str) -> int:
    """Change the file as it is when the answer comes: clients write theirs all the time, also while we ask."""
    before = _read(path)
    while True:
        after = _changed(given, client, path, before, command)
        if before == after:
            print(f"{path}: nothing to change")
            return 0
        _show_change(given, client, path, before, after)
        if given.dry_run:
            return 0
        if not given.yes and not _agreed(path):
            print("nothing was changed", file=sys.stderr)
            return 1
        shown = (entry_in(client, before), entry_in(client, after))
        before = _read(path)
        after = _changed(given, client, path, before, command)
        if shown == (entry_in(client, before), entry_in(client, after)):
            break
        print(f"{path}: {SERVER_NAME} was changed there meanwhile")
    copy = _write(path, after)
    print(
        f"{path}: {'added' if given.verb == 'install' else 'removed'} {SERVER_NAME}"
        + (f"; before: {copy}" if copy else "")
    )
    return 0


def _changed(given: argparse.Namespace, client: Client, path: str, text: str, command: str) -> str:
    try:
        return added(client, text, command) if given.verb == "install" else removed(client, text)
    except BgjobError as error:
        raise BgjobError(error.code, f"cannot change {path!r}: {error.message}", error.hint) from error


def _show_change(given: argparse.Namespace, client: Client, path: str, before: str, after: str) -> None:
    for line in difflib.unified_diff(before.splitlines(True), after.splitlines(True), path, f"{path} (new)"):
        print(line, end="" if line.endswith("\n") else "\n\\ No newline at end of file\n")  # as diff(1) says it
    for name in predecessors(client, before) if given.verb == "install" else ():
        print(f"{name} is mcp-background-job: its MCP_BG_* settings are carried over; remove it when you are content")


def _agreed(path: str) -> bool:
    if not sys.stdin.isatty():
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot ask whether to change {path!r}: there is no terminal", "Give --yes."
        )
    print(f"Change {path}? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(path: str, text: str) -> str:
    """Put the new text in place, whole or not at all; return where a copy of the old one is, "" for a new file."""
    path = os.path.realpath(path)  # a link into a repository of dot files stays one
    copy = ""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.exists(path):
            copy = f"{path}.before-bgjob-{datetime.now():%Y%m%dT%H%M%S%f}"
            shutil.copy2(path, copy)
        _replace(path, text, copy)
    except OSError as error:
        raise BgjobError(ErrorCode.STORAGE, f"cannot write {path!r}: {error.strerror}") from error
    return copy


def _replace(path: str, text: str, like: str) -> None:
    """Write a new file, with the mode of the file `like`, "" for none, and give it the name of the old one."""
    fd, new = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with open(fd, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if like:
            shutil.copymode(like, new)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
