"""One model per shape: JSON Schema from a msgspec Struct, and a Struct from a client's arguments.

Must never import the MCP SDK: what a client sends is checked by the same Struct that its schema was made from.
"""

import difflib
import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["object_schema", "parse"]

StructT = TypeVar("StructT", bound=msgspec.Struct)
_REF = "#/$defs/"
_NULL = {"type": "null"}
_EMPTY: tuple[Any, ...] = (None, "", [], {})  # defaults that say no more than "may be left out"


def object_schema(struct: type[msgspec.Struct], *, defaults: bool = True) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `struct`, with an object at its root and no unused words.

    Args:
        struct: arguments or a result of a tool.
        defaults: whether to say what a missing value means; of no use in a result.

    The root definition is inlined because the protocol eras up to 2025-11-25 want `"type": "object"` at the root. What
    may be left out is not described as nullable: a client that sends null all the same is understood (see `parse`).

    Source: MCP 2025-11-25, "Tool", inputSchema and outputSchema.
    """
    (root,), definitions = msgspec.json.schema_components([struct], ref_template=_REF + "{name}")
    body: dict[str, Any] = _slim(definitions[root["$ref"].removeprefix(_REF)], definitions)
    return body if defaults else _without_defaults(body)


def _slim(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Put references in place (some clients cannot follow them) and drop what tells a model nothing."""
    if isinstance(node, list):
        return [_slim(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = {**definitions[node["$ref"].removeprefix(_REF)]}
        target.pop("description", None)  # the docstring of the Struct or the enum is for us
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    slim = {key: _slim(value, definitions) for key, value in node.items() if key != "title"}
    if "properties" in node:
        # A property may be called "title" or "description": names are data, not keywords.
        slim["properties"] = {key: _slim(value, definitions) for key, value in node["properties"].items()}
        slim.pop("description", None)
    if "enum" in slim:
        slim.setdefault("type", "string")
    alternatives = slim.pop("anyOf", None)
    if alternatives:
        rest = [item for item in alternatives if item != _NULL]
        slim.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
    if slim.get("default", ...) in _EMPTY:
        slim.pop("default")
    if slim.get("required") == []:
        slim.pop("required")
    return slim


def _without_defaults(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_defaults(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_defaults(value) for key, value in node.items() if key != "default"}


def parse(tool: str, struct: type[StructT], arguments: Mapping[str, Any] | None) -> StructT:
    """Return `arguments` as a checked `struct`.

    Generous where the meaning is plain: null means "left out", "50" is a number where a number is asked for, a number
    is a string where a string is asked for, also in a table of strings, and a single value stands for a list of one.

    Raises:
        BgjobError: INVALID_ARGUMENT, naming the argument, the value, and what is accepted.
    """
    given = {key: value for key, value in (arguments or {}).items() if value is not None}
    kinds = _field_kinds(struct)
    for key in given.keys() & kinds.keys():
        given[key] = _meant(kinds[key], given[key])
    try:
        return msgspec.convert(given, struct, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(tool, struct, given, str(error)) from None


@functools.cache
def _field_kinds(struct: type[msgspec.Struct]) -> dict[str, set[type[msgspec.inspect.Type]]]:
    return {field.name: _kinds(msgspec.inspect.type_info(field.type)) for field in msgspec.structs.fields(struct)}


def _meant(kinds: set[type[msgspec.inspect.Type]], value: Any) -> Any:
    """Return what a client meant by a value of a neighbouring type."""
    if msgspec.inspect.StrType in kinds and _is_number(value):
        return str(value)
    if msgspec.inspect.DictType in kinds and isinstance(value, dict):  # all of ours are of strings
        return {key: str(item) if _is_number(item) else item for key, item in value.items()}
    if msgspec.inspect.ListType in kinds and isinstance(value, str):
        return [value]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kinds(info: msgspec.inspect.Type) -> set[type[msgspec.inspect.Type]]:
    """Return the plain kinds of a type: without what describes it, and both sides of a union."""
    if isinstance(info, msgspec.inspect.Metadata):
        return _kinds(info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        return {kind for item in info.types for kind in _kinds(item)}
    return {type(info)}


def _explained(tool: str, struct: type[msgspec.Struct], given: Mapping[str, Any], reason: str) -> BgjobError:
    """Turn msgspec's reason into an error that says which argument, its value, and what the tool takes."""
    names = [field.name for field in msgspec.structs.fields(struct)]
    wrong = next((name for name in names if f"`$.{name}" in reason), "")
    unknown = [name for name in given if name not in names]
    if wrong:
        accepted = object_schema(struct)["properties"][wrong]
        choices = accepted.get("enum") or accepted.get("items", {}).get("enum")
        takes_what = ", ".join(choices) if choices else accepted["description"].rstrip(".")
        what = f"{wrong}={_short(_wrong_part(given[wrong]))}: {_in_json_words(reason)}; accepted: {takes_what}"
    elif unknown:
        close = difflib.get_close_matches(unknown[0], names, 1, 0.5)
        what = f"it has no argument {_short(unknown[0])}" + (f"; did you mean {close[0]!r}?" if close else "")
    else:
        what = reason[:1].lower() + reason[1:]
    required = [field.name for field in msgspec.structs.fields(struct) if field.required]
    takes = ", ".join(f"{name} (required)" if name in required else name for name in names) or "no arguments"
    return BgjobError(
        ErrorCode.INVALID_ARGUMENT, f"cannot call {tool}: {what}", f"{tool} takes: {takes}.", {"argument": wrong}
    )


def _wrong_part(value: Any) -> Any:
    """Return what is wrong of a value. Of a table of strings the others may be secrets, and are not repeated."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if not isinstance(item, str)} or "…"


_JSON_WORDS = {"`float`": "a number", "`int`": "a whole number", "`str`": "a string", "`bool`": "true or false"}
_JSON_WORDS |= {"`array`": "an array", "`object`": "an object", "`null`": "null"}


def _in_json_words(reason: str) -> str:
    """Return msgspec's reason as one who writes JSON knows the types."""
    reason = reason.rsplit(" - at ", 1)[0]
    for python, json in _JSON_WORDS.items():
        reason = reason.replace(python, json)
    return reason[:1].lower() + reason[1:]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
