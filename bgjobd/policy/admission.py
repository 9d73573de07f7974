"""May this command run, and may it run now? Pure: state in, decision out."""

from collections.abc import Iterable, Sequence

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.patterns import Pattern


def check_command(command: str, allowed: Sequence[str], denied: Sequence[str], owner: str) -> None:
    """Accept `command`, or say which rule refuses it.

    Args:
        command: the command line as the shell gets it, or an argv joined as a shell would quote it.
        allowed: regular expressions; when there are any, one has to match the start of the command.
        denied: regular expressions; none may match anywhere.
        owner: whose rules these are, for the message.

    Raises:
        BgjobError: REFUSED; INVALID_ARGUMENT for a pattern that is not a regular expression.
    """
    for pattern in denied:
        if _compiled(pattern, owner).find(command):
            raise BgjobError(
                ErrorCode.REFUSED,
                f"cannot run {_shown(command)!r}: {owner} denies commands that match {pattern!r}",
                "Change `denied_commands` if this command is meant to be allowed.",
                {"pattern": pattern},
            )
    if allowed and not any(_compiled(f"^(?:{pattern})", owner).find(command) for pattern in allowed):
        raise BgjobError(
            ErrorCode.REFUSED,
            f"cannot run {_shown(command)!r}: {owner} allows only {', '.join(map(repr, allowed))}",
            "Add a pattern to the allowed commands if this command is meant to be allowed.",
            {"allowed": list(allowed)},
        )


def next_to_start(
    queue: Iterable[tuple[tuple[str, str, str], int | None]],
    running: dict[tuple[str, str, str], int],
    max_jobs: int,
) -> int | None:
    """Return the position in `queue` of the job to start now, None when none may.

    First in, first out; a job whose own client is at its limit lets later jobs of others pass.

    Args:
        queue: (client, limit of that client or None) of each queued job, oldest first.
        running: how many jobs of each client hold a slot.
        max_jobs: slots in all.
    """
    if sum(running.values()) >= max_jobs:
        return None
    for position, (client, limit) in enumerate(queue):
        if limit is None or running.get(client, 0) < limit:
            return position
    return None


def _compiled(pattern: str, owner: str) -> Pattern:
    try:
        return Pattern(pattern)
    except BgjobError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use the pattern {pattern!r} of {owner}: {error.message}",
            "Correct the pattern.",
        ) from error


def _shown(command: str) -> str:
    return command if len(command) <= 200 else command[:200] + "…"
