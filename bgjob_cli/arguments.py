"""What the verbs' arguments have in common: the parser, its types, and options that mean the same everywhere."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from bgjob_cli.exit_status import USAGE
from bgjob_cli.output import Output, terminal_width
from bgjobd.quantities import parse_duration, parse_size

__all__ = [
    "Parser",
    "add_job",
    "add_jobs",
    "add_json",
    "add_streams",
    "count",
    "cursor",
    "duration",
    "event_number",
    "niceness",
    "options_length",
    "positive_count",
    "positive_duration",
    "size",
    "text",
]

_WIDEST_HELP = 118


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the indented lines of a description, which are examples; wraps the rest to the terminal.

    argparse makes a formatter for every argument that is declared, and without a width each asks `shutil` for it,
    whose imports every command would pay.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"width": min(_WIDEST_HELP, terminal_width(1) - 2), **options})

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Return a description in lines of at most `width`. What argparse takes would be a further import."""
        lines: list[str] = []
        flowing = False  # whether the last line goes on with the next word
        for line in text.splitlines():
            if not line or line.startswith(" "):
                lines.append(line)
                flowing = False
                continue
            for word in line.split():
                if flowing and len(lines[-1]) + 1 + len(word) <= width:
                    lines[-1] += f" {word}"
                else:
                    lines.append(word)
                flowing = True
        return "".join(f"{indent}{line}\n" for line in lines)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors name the help to read, and that takes no abbreviated options.

    Abbreviations are refused because they make every new option a breaking change.
    """

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
        )
        self.add_argument(
            "--color",
            choices=("auto", "always", "never"),
            default=argparse.SUPPRESS,  # so that a sub-verb's default does not undo what stands before it
            help="colour the text (default: auto)",
        )

    @property
    def actions(self) -> list[argparse.Action]:
        """Every argument that was declared, for completion."""
        return list(self._actions)

    def parse(self, words: list[str], *, until_command: bool) -> argparse.Namespace:
        """Return the arguments in `words`.

        Args:
            words: what was typed after the verb.
            until_command: options end at the first word that is none; it and all that follows become `command`,
                untouched.

        Raises:
            SystemExit: they are wrong, or ask for help; it was printed.
        """
        self.usage = self.usage or self._short_usage()
        if not until_command:
            # Options may stand between arguments (`kill a -s INT b`); argparse cannot do that for sub-verbs.
            has_sub_verbs = any(isinstance(action.choices, dict) for action in self._actions)
            return self.parse_args(words) if has_sub_verbs else self.parse_intermixed_args(words)
        valued = {name for action in self._actions if action.nargs != 0 for name in action.option_strings}
        length, begin = options_length(words, valued)
        arguments = self.parse_args(words[:length])
        arguments.command = words[begin:]
        return arguments

    def _short_usage(self) -> str:
        """Return `bgjob kill [OPTION…] JOB…`. The options follow below it; listing them twice helps nobody.

        argparse would make its own before every parse, and that costs imports.
        """
        words = [self.prog, "[OPTION…]"]
        for action in self._actions:
            if not action.option_strings:
                word = str(action.metavar or action.dest)
                words.append({"+": f"{word}…", "?": f"[{word}]"}.get(str(action.nargs), word))
        return " ".join(words)

    def print_help(self, file: object = None) -> None:
        """Print the help on stdout as everything else is printed there: in UTF-8, whatever the locale."""
        output = Output()
        output.line(self.format_help().rstrip("\n"))
        output.flush()

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and end with the usage status."""
        self.exit(USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def options_length(words: list[str], valued: set[str]) -> tuple[int, int]:
    """Return how many of `words` are options with their values, and where the command begins after them and `--`.

    Args:
        words: what was typed after the verb.
        valued: the options that take a value, as `-n` and `--name`.
    """
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return position, position + 1
        if not word.startswith("-") or word == "-":
            break
        position += 2 if _value_follows(word, valued) else 1
    return min(position, len(words)), position


def _value_follows(word: str, valued: set[str]) -> bool:
    """Return whether the value of an option is the next word: not in `--name=x`, not in `-nx`, but in `-wn x`."""
    if word.startswith("--"):
        return word in valued
    first_valued = next((place for place in range(1, len(word)) if f"-{word[place]}" in valued), None)
    return first_valued == len(word) - 1


def add_json(parser: argparse.ArgumentParser, help_text: str = "print JSON") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=help_text)


def add_job(parser: argparse.ArgumentParser, *, number_option: str = "") -> None:
    """Add the JOB argument. `number_option` is what `-5` is meant for, which argparse takes for an argument."""
    kind = _explained(lambda word: _reference(word, number_option), "job")
    parser.add_argument(
        "job", metavar="JOB", type=kind, help="a job's name, id, or the first 4 or more characters of its id"
    )


def add_jobs(parser: argparse.ArgumentParser, *, number_option: str = "") -> None:
    """Add one or more JOB arguments; see `add_job`."""
    kind = _explained(lambda word: _reference(word, number_option), "job")
    parser.add_argument(
        "jobs", metavar="JOB", nargs="+", type=kind, help="names, ids, or the first 4 or more characters of an id"
    )


def add_streams(parser: argparse.ArgumentParser) -> None:
    """Add `--stdout` and `--stderr`, which choose one stream; the default is both, as they were written."""
    group = parser.add_mutually_exclusive_group()
    for stream in ("stdout", "stderr"):
        group.add_argument(
            f"--{stream}",
            dest="stream",
            action="store_const",
            const=stream,
            default="merged",
            help=f"only its {stream}",
        )


def _explained(parse: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    """Return `parse` with its ValueError turned into the error whose text argparse prints."""

    def explained(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    explained.__name__ = name
    return explained


def _positive_duration(text: str) -> float:
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError(f"cannot use {text!r} here: it has to be longer than zero")
    return seconds


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"cannot use {text!r}: it is not UTF-8") from error
    return text


def _reference(word: str, number_option: str) -> str:
    if word.startswith("-"):
        advice = f": use {number_option} {word[1:]}" if number_option else ": no job's name begins with a dash"
        raise ValueError(f"cannot use {word!r} as a job{advice}")
    return _text(word)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"cannot read {text!r} as a number: write a whole number like 50")
    return int(text)


def _positive_count(text: str) -> int:
    number = _count(text)
    if not number:
        raise ValueError(f"cannot use {text!r} here: it has to be at least 1")
    return number


def _position(text: str, what: str) -> int:
    """Return a position of the protocol, which has 63 bits."""
    if not (text.isascii() and text.isdecimal()) or int(text) >= 1 << 63:
        raise ValueError(f"cannot read {text!r} as {what}")
    return int(text)


def _cursor(text: str) -> int:
    return _position(text, "a cursor: it is a byte offset like 4096")


def _event_number(text: str) -> int:
    return _position(text, "the number of an event: write a whole number like 12")


def _niceness(text: str) -> int:
    number = text.removeprefix("-")
    if not (number.isascii() and number.isdecimal()) or not -20 <= int(text) <= 19:
        raise ValueError(f"cannot read {text!r} as a priority: it is a whole number from -20 to 19")
    return int(text)


duration = _explained(parse_duration, "duration")
positive_duration = _explained(_positive_duration, "duration")
size = _explained(parse_size, "size")
text = _explained(_text, "text")
niceness = _explained(_niceness, "priority")
count = _explained(_count, "number")
positive_count = _explained(_positive_count, "number")
event_number = _explained(_event_number, "event number")
cursor = _explained(_cursor, "cursor")
