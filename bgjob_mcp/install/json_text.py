"""JSON with comments, edited as text: what is not about the one member that changes stays byte for byte.

Reads what editors accept: comments and commas before a closing bracket, besides JSON.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["remove_member", "set_member", "value_of"]

_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[-+.\w]+")


@dataclass(slots=True)
class _Node:
    """A value and where it stands in the text."""

    start: int
    end: int
    value: Any = None
    members: dict[str, tuple[int, "_Node"]] = field(
        default_factory=dict
    )  # of an object: key → (where it begins, value)
    comma: int | None = None  # of an object: where the comma behind its last member is


def value_of(text: str) -> Any:
    """Return what the text means; one without a value is an empty object.

    Raises:
        BgjobError: INVALID_ARGUMENT where it is no JSON, with the line.
    """
    return _parse(_with_object(text)).value


def set_member(text: str, path: Sequence[str], value: Any) -> str:
    """Return the text with the member at `path` set, and objects made on the way to it."""
    text = _with_object(text)
    node = _parse(text)
    unit = _indent_unit(text, node)
    for depth, key in enumerate(path):
        if not isinstance(node.value, dict):
            raise _bad(text, node.start, f"{'.'.join(path[:depth]) or 'the whole'} is not an object")
        if key not in node.members:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _insert(text, node, key, value, unit * (depth + 1), unit)
        node = node.members[key][1]
    if node.value == value:
        return text
    return text[: node.start] + _ends_as(text, _rendered(value, unit * len(path), unit)) + text[node.end :]


def remove_member(text: str, path: Sequence[str]) -> str:
    """Return the text without the member at `path`; unchanged where there is none."""
    node = _parse(_with_object(text))
    for key in path[:-1]:
        if key not in node.members:
            return text
        node = node.members[key][1]
    if path[-1] not in node.members:
        return text
    order = sorted(node.members.values(), key=lambda member: member[0])
    index = order.index(node.members[path[-1]])
    start, gone = order[index]
    comma = _skip(text, gone.end)
    if text[comma] == ",":
        text = text[:comma] + text[comma + 1 :]
    elif index:  # the last one takes the comma before it along
        comma = _skip(text, order[index - 1][1].end)
        text = text[:comma] + text[comma + 1 :]
        start, gone.end = start - 1, gone.end - 1
    return _without_blank_line(text[:start], text[gone.end :])


def _with_object(text: str) -> str:
    """Return the text, with an empty object where there is nothing but space and comments."""
    return text if _skip(text, 0) < len(text) else f"{text.rstrip()}\n{{}}\n".lstrip()


def _without_blank_line(before: str, after: str) -> str:
    """Return both parts together, without the line between them where nothing is left on it; comments stay."""
    line, newline, rest = after.partition("\n")
    if newline and not line.strip() and not before[before.rfind("\n") + 1 :].strip():
        return before[: before.rfind("\n") + 1] + rest
    return before + after.removeprefix(" ")


def _insert(text: str, node: _Node, key: str, value: Any, indent: str, unit: str) -> str:
    """Put a member behind the last one of an object, and behind the comments there."""
    member = _ends_as(text, f"\n{indent}{json.dumps(key, ensure_ascii=False)}: {_rendered(value, indent, unit)}")
    closing = node.end - 1
    inside = text[node.start + 1 : closing]
    body_end = node.start + 1 + len(inside.rstrip())
    tail = text[body_end:closing]
    if "\n" not in tail:
        tail = _ends_as(text, f"\n{indent[: len(indent) - len(unit)]}")
    if not node.members or node.comma is not None:
        return text[:body_end] + member + tail + text[closing:]
    last = max(child.end for _, child in node.members.values())
    return text[:last] + "," + text[last:body_end] + member + tail + text[closing:]


def _rendered(value: Any, indent: str, unit: str) -> str:
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"\n{indent}")


def _ends_as(text: str, new: str) -> str:
    """Return what is new with the line ends that the file has."""
    return new.replace("\n", "\r\n") if "\r\n" in text else new


def _indent_unit(text: str, root: _Node) -> str:
    """Return what the file indents by: as its first member is."""
    first = min((start for start, _ in root.members.values()), default=0)
    before = text[text.rfind("\n", 0, first) + 1 : first]
    return before if before and not before.strip() else "  "


def _parse(text: str) -> _Node:
    node, position = _value(text, _skip(text, 0))
    position = _skip(text, position)
    if position < len(text):
        raise _bad(text, position, "there is more after the end")
    return node


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _value(text: str, start: int) -> tuple[_Node, int]:
    opening = text[start : start + 1]
    if opening == "{":
        return _object(text, start)
    if opening == "[":
        return _array(text, start)
    found = (_STRING if opening == '"' else _SCALAR).match(text, start)
    try:
        return _Node(start, found.end(), json.loads(found[0], strict=False)), found.end()  # type: ignore[union-attr,index]  # None raises
    except (AttributeError, TypeError, ValueError):
        raise _bad(text, start, f"{text[start : start + 20]!r} is no value") from None


def _object(text: str, start: int) -> tuple[_Node, int]:
    node = _Node(start, start, {})
    position = _skip(text, start + 1)
    while text[position : position + 1] != "}":
        key, end = _value(text, position)
        colon = _skip(text, end)
        if not isinstance(key.value, str) or text[colon : colon + 1] != ":":
            raise _bad(text, position, "a name and a colon were expected")
        child, end = _value(text, _skip(text, colon + 1))
        node.members[key.value] = (position, child)
        node.value[key.value] = child.value
        position, node.comma = _after_item(text, end, "}")
    node.end = position + 1
    return node, node.end


def _array(text: str, start: int) -> tuple[_Node, int]:
    node = _Node(start, start, [])
    position = _skip(text, start + 1)
    while text[position : position + 1] != "]":
        child, end = _value(text, position)
        node.value.append(child.value)
        position, _ = _after_item(text, end, "]")
    node.end = position + 1
    return node, node.end


def _after_item(text: str, end: int, closing: str) -> tuple[int, int | None]:
    """Return where the next item or the closing bracket is, and where the comma before it is."""
    position = _skip(text, end)
    if text[position : position + 1] == ",":
        return _skip(text, position + 1), position
    if text[position : position + 1] != closing:
        raise _bad(text, position, f"a comma or {closing!r} was expected")
    return position, None


def _bad(text: str, position: int, reason: str) -> BgjobError:
    line = text.count("\n", 0, position) + 1
    return BgjobError(
        ErrorCode.INVALID_ARGUMENT, f"cannot read it as JSON: {reason}, in line {line}", "Correct the file, then again."
    )
