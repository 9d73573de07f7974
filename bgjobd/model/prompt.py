"""The prompt that stands at the end of an output: its last line, if that is not finished. Pure."""

import re

from bgjobd.plain import plain_line

__all__ = ["PROMPT_BYTES", "unfinished_line"]

PROMPT_BYTES = 4096  # of the end of the output: where the line is looked for
_LONGEST = 200

# Goes to other rows: what a full-screen program has drawn last is no prompt. Not J, which line editors use on a line.
_ELSEWHERE = re.compile(rb"\x1b\[[0-9;]*[ABEFHLMSTdfr]|\x1b[78DM]|\x1b\[\?(?:47|1047|1049)h")


def unfinished_line(data: bytes) -> str | None:
    """Return the last line as a terminal shows it; None when it is finished, is empty, or is a part of a drawn screen.

    Args:
        data: the last PROMPT_BYTES of the output, or all of it.
    """
    line = data[data.rfind(b"\n") + 1 :]
    if _ELSEWHERE.search(line):
        return None
    text = "".join(character for character in plain_line(line) if character.isprintable())
    return text[-_LONGEST:] or None
