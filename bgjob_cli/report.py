"""How an expected error is said: one line what could not be done, one line what to do about it, and the exit status."""

from bgjob_cli.exit_status import BY_ERROR
from bgjob_cli.output import Output, ReaderGone
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths

__all__ = ["report"]


def report(error: BgjobError, output: Output) -> int:
    """Say `error` on stderr and return the exit status for it. What was already printed stays."""
    try:
        output.flush()
    except (BgjobError, ReaderGone):
        pass  # it may be stdout itself that the error is about
    output.talk(f"bgjob: {_safe(error.message)}", "bad")
    hint = error.hint or _own_hint(error.code)
    if hint:
        output.talk(f"  {_safe(hint)}")
    return BY_ERROR[error.code]


def _safe(text: str) -> str:
    """Return the text without control characters; lines stay. A hint may list candidates, with names from anybody."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def _own_hint(code: ErrorCode) -> str:
    """Return what to do where the error itself does not say."""
    if code is ErrorCode.INTERNAL:
        return f"This is a bug in bgjob. The daemon's log has more: bgjob daemon logs ({_log_path()})"
    if code in (ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN):
        return "Jobs keep running without the daemon. Try again, or see: bgjob daemon status"
    return ""


def _log_path() -> str:
    return Paths.from_environment().daemon_log
