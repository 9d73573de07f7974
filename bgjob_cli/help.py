"""`bgjob --help`, and the answer to a verb that does not exist. Loaded only when one of them is needed."""

import difflib

from bgjob_cli.exit_status import OK, USAGE
from bgjob_cli.main import run_verb
from bgjob_cli.output import Output
from bgjob_cli.terminal_text import printable
from bgjob_cli.verbs import ALIASES, LATER, OTHER_WORDS, VERBS

__all__ = ["show", "unknown_verb"]

_TEXT = """\
usage: bgjob VERB [ARGUMENT…]

Runs shell commands as background jobs that outlive whoever started them.

{verbs}

A JOB is a name, an id, or the first 4 or more characters of an id.
`bgjob` alone is `bgjob ls`. `bgjob VERB --help` explains a verb.

  bgjob run -n build 'make -j8'     start it
  bgjob tail -f build               watch it
  bgjob wait build && ./deploy      go on when it succeeded
  bgjob kill build                  end it, with everything it started"""


def show(words: list[str]) -> int:
    """Print the help of the verb in `words`, or of bgjob as a whole."""
    if words and words[0] in {*VERBS, *ALIASES}:
        return run_verb(ALIASES.get(words[0], words[0]), ["--help"])
    if words:
        return unknown_verb(words[0])
    output = Output()
    output.line(_TEXT.format(verbs="\n".join(f"  {verb:<12}{line}" for verb, line in VERBS.items())))
    output.flush()
    return OK


def unknown_verb(word: str) -> int:
    """Say that `word` is no verb, and which one may have been meant."""
    output = Output()
    if word in LATER:
        output.talk(f"bgjob: {word!r} is not in this version", "bad")
        return USAGE
    output.talk(f"bgjob: cannot run {printable(word)!r}: there is no such verb", "bad")
    output.talk(f"  {_advice(word)}")
    return USAGE


def _advice(word: str) -> str:
    """Return which verb was probably meant, or how to start a command of that name."""
    if word in OTHER_WORDS:
        return f"Here it is called: bgjob {OTHER_WORDS[word]}"
    close = difflib.get_close_matches(word, [*VERBS, *ALIASES, *OTHER_WORDS], cutoff=0.6)
    if close:
        verbs = dict.fromkeys(OTHER_WORDS.get(match, match) for match in close)
        return f"Did you mean: {', '.join(f'bgjob {verb}' for verb in verbs)}?"
    return f"'bgjob --help' lists the verbs. To start a command: bgjob run {printable(word)}"
