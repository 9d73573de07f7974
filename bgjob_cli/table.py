"""A table for people: drops columns that are empty everywhere, fits the terminal's width, never breaks a line. Pure.

Why not a library: see docs/design/0006-the-command-line.md (60 ms of start-up for what is 80 lines here).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bgjob_cli.terminal_text import cut, display_width, pad

__all__ = ["Cell", "Column", "render"]

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column. When the width does not suffice, columns leave by `rank`, the highest first; 0 never leaves."""

    title: str
    right: bool = False  # numbers
    rank: int = 0
    enough: int | None = None  # no other column has to leave for more than this; None: for all of it
    least: int | None = None  # when none is left that could leave, it is cut down to this; None: never


@dataclass(frozen=True, slots=True)
class Cell:
    """Text that is safe to print (`printable`), and the name of its style."""

    text: str
    style: str = ""


def render(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    width: int | None,
    paint: Callable[[str, str], str],
) -> list[str]:
    """Return the lines of the table, heading first.

    Args:
        columns: the headings.
        rows: as many cells each as there are columns.
        width: columns of the terminal; None for no limit (a pipe gets everything).
        paint: gives text its style.
    """
    shown = [index for index in range(len(columns)) if any(row[index].text for row in rows)]
    widths = {index: _natural_width(columns[index], rows, index) for index in shown}
    if width is not None:
        _fit(columns, widths, width)
    heading = [Cell(column.title, "heading") for column in columns]
    return [_line(columns, row, widths, paint) for row in (heading, *rows)]


def _natural_width(column: Column, rows: Sequence[Sequence[Cell]], index: int) -> int:
    return max(display_width(column.title), *(display_width(row[index].text) for row in rows))


def _fit(columns: Sequence[Column], widths: dict[int, int], width: int) -> None:
    """Drop and cut columns until the table is as narrow as `width`, or nothing more can go."""
    enough = {index: min(natural, columns[index].enough or natural) for index, natural in widths.items()}
    for index in sorted(widths, key=lambda index: -columns[index].rank):
        if _total(enough) <= width or not columns[index].rank:
            break
        del widths[index], enough[index]
    _cut_down(widths, enough, width)
    _cut_down(widths, {index: min(floor, columns[index].least or floor) for index, floor in enough.items()}, width)


def _cut_down(widths: dict[int, int], floors: dict[int, int], width: int) -> None:
    """Take what is too much from the columns, the last one first, none below its floor."""
    for index in reversed(list(widths)):
        excess = max(0, _total(widths) - width)
        widths[index] = max(floors[index], widths[index] - excess)


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _line(
    columns: Sequence[Column], row: Sequence[Cell], widths: dict[int, int], paint: Callable[[str, str], str]
) -> str:
    """Return one line without spaces at its end."""
    last = max(widths, default=None)
    parts = []
    for index, width in widths.items():
        text = cut(row[index].text, width)
        if index != last or columns[index].right:
            text = pad(text, width, right=columns[index].right)
        parts.append(paint(text, row[index].style))
    return _GAP.join(parts).rstrip()
