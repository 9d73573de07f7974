"""JSON for scripts: the protocol's own field names, every field present, null where a value is not known."""

import binascii
from typing import Any

import msgspec

from bgjob_cli.output import Output

__all__ = ["as_json", "exact_text", "json_line", "print_json"]


def as_json(value: Any) -> Any:
    """Return protocol messages as plain data with all their fields, also those that have their default.

    The wire leaves defaults out; a script should not have to know them. Bytes that are not UTF-8 have replacements.
    """
    if isinstance(value, msgspec.Struct):
        return {name: as_json(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [as_json(element) for element in value]
    if isinstance(value, dict):
        return {key: as_json(element) for key, element in value.items()}
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def print_json(value: Any, output: Output) -> None:
    """Print one JSON document: indented for a person's eyes, on one line for a pipe."""
    text = json_line(value)
    output.line(msgspec.json.format(text, indent=2) if output.is_terminal else text)


def json_line(value: Any) -> str:
    """Return `value` as JSON on one line."""
    return msgspec.json.encode(as_json(value)).decode()


def exact_text(data: bytes) -> dict[str, str]:
    """Return the fields that carry bytes in JSON: `text`, and `base64` beside it where the text is not exact."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text": data.decode("utf-8", "replace"), "base64": binascii.b2a_base64(data, newline=False).decode()}
