"""What `bgjob wait --for` understands. Pure."""

import argparse

from bgjobd.protocol import Condition
from bgjobd.quantities import parse_duration

__all__ = ["INPUT", "parse_condition"]

# Waits for input: not a condition of one job but of the whole wait, as `Wait.needs_input`. Told apart by identity.
INPUT = Condition(pattern="input")


def parse_condition(text: str) -> Condition:
    """Return the condition in `text`: `exit`, `input`, `port:N`, `quiet:TIME`, `pattern:RE`, or a regular expression.

    Raises:
        argparse.ArgumentTypeError: the part behind the colon is wrong, or the expression is empty or not UTF-8.
    """
    kind, colon, value = text.partition(":")
    try:
        if text == "exit":
            return Condition()
        if text == "input":
            return INPUT
        if colon and kind == "port":
            return Condition(port=_port(value))
        if colon and kind == "quiet":
            return Condition(quiet_s=parse_duration(value))
        return Condition(pattern=_pattern(value if colon and kind == "pattern" else text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and 0 < int(value) < 65536):
        raise ValueError(f"cannot wait for port {value!r}: it is not a number from 1 to 65535")
    return int(value)


def _pattern(value: str) -> str:
    if not value:
        raise ValueError("cannot wait for an empty pattern: every line matches it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"cannot use {value!r} as a pattern: it is not UTF-8") from error
    return value
