"""The signal module without its enumerations: they would bring enum, functools and collections into every runner."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["SIGCONT", "SIGKILL", "signal", "signal_name"]

SIGCONT, SIGKILL = int(signal.SIGCONT), int(signal.SIGKILL)

_NAMES = {
    int(getattr(signal, name)): name
    for name in sorted(dir(signal), reverse=True)  # of two names for one number the first in the alphabet wins
    if name.startswith("SIG") and not name.startswith("SIG_")
}


def signal_name(number: int) -> str:
    """Return SIGTERM for 15, and the number as text where it has no name."""
    return _NAMES.get(number, str(number))
