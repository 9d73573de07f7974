"""Writes the table of settings in config.md from the code: `python docs/reference/settings_table.py`."""

import re
from pathlib import Path
from typing import Any

from bgjob_cli.quantities import format_duration, format_size
from bgjobd.daemon.config import Settings, accepted, description

PAGE = Path(__file__).with_name("config.md")
HEADING = "| key | default | accepted | meaning |\n| --- | --- | --- | --- |\n"


def table() -> str:
    """Return the table, with a row for each setting."""
    defaults = Settings()
    rows = (
        f"| `{key}` | {_default(key, getattr(defaults, key))} | {_code(accepted(key))} | {description(key)} |\n"
        for key in Settings.__struct_fields__
    )
    return HEADING + "".join(rows)


def _default(key: str, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, dict):
        return " ".join(f"`{name}={text}`" for name, text in value.items())
    if key.endswith("_bytes") and value:
        return f"`{format_size(value)}`"
    if key.endswith("_s"):
        return f"`{format_duration(value)}`"
    return f"`{value}`"


def _code(words: str) -> str:
    """Return the words with what stands in quotes as code."""
    return re.sub(r"'([^']*)'", r"`\1`", words)


if __name__ == "__main__":
    text = PAGE.read_text()
    begin = re.search(r"^\| key \| default \|", text, re.MULTILINE)
    assert begin, "config.md has no table of settings"
    end = text.index("\n\n", begin.start()) + 1
    PAGE.write_text(text[: begin.start()] + table() + text[end:])
