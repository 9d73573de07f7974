"""Plots of how costs grow, as small SVG files: straight lines on logarithmic scales, drawn by hand.

A cost that does not grow is flat, one in proportion rises like the diagonal of a decade.
"""

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10

from tests.perf.targets import Curve

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 190, 34, 40
# Okabe and Ito: told apart by people who see few colours.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_FONT = 'font-family="sans-serif" font-size="12" fill="#333"'
_TITLES = {
    "ended": ("Cost against jobs in the history", "ended jobs", "ms"),
    "running": ("Cost against running jobs", "running jobs", "ms"),
    "output": ("Cost against the size of one job's log", "MiB of output", "ms"),
    "clients": ("Cost against connected clients", "clients", ""),
}


def draw(curves: Iterable[Curve]) -> dict[str, str]:
    """Return the SVG of each plot, by its name."""
    plots: dict[str, list[Curve]] = {}
    for curve in curves:
        plots.setdefault(curve.plot, []).append(curve)
    return {name: _svg(name, lines) for name, lines in plots.items()}


class _Scale:
    """A logarithmic scale over whole decades, in pixels."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        positive = [value for value in values if value > 0]
        self.low, self.high = floor(log10(min(positive))), ceil(log10(max(positive)) + 1e-9)
        self.high = max(self.high, self.low + 1)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _svg(name: str, curves: list[Curve]) -> str:
    title, across, up = _TITLES[name]
    x = _Scale([point[0] for curve in curves for point in curve.points], _LEFT, _WIDTH - _RIGHT)
    y = _Scale([point[1] for curve in curves for point in curve.points], _HEIGHT - _BOTTOM, _TOP)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(middle, 18, title, "middle", "15"),
        _text(middle, _HEIGHT - 6, across, "middle"),
        _text(_LEFT, _TOP - 8, up, "end"),
    ]
    for value in x.decades():
        parts += [
            _rule(x(value), _TOP, x(value), _HEIGHT - _BOTTOM),
            _text(x(value), _HEIGHT - 24, _short(value), "middle"),
        ]
    for value in y.decades():
        parts += [
            _rule(_LEFT, y(value), _WIDTH - _RIGHT, y(value)),
            _text(_LEFT - 6, y(value) + 4, _short(value), "end"),
        ]
    for number, curve in enumerate(curves):
        parts.append(_curve(curve, x, y, _COLOURS[number % len(_COLOURS)]))
        parts.append(_legend(number, curve.line))
    return "\n".join([*parts, "</svg>", ""])


def _curve(curve: Curve, x: _Scale, y: _Scale, colour: str) -> str:
    places = [(x(a), y(b)) for a, b in curve.points]
    line = " ".join(f"{a},{b}" for a, b in places)
    dots = "".join(f'<circle cx="{a}" cy="{b}" r="3"/>' for a, b in places)
    return f'<g fill="{colour}"><polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}</g>'


def _legend(number: int, line: str) -> str:
    left, top = _WIDTH - _RIGHT + 14, _TOP + 14 + 20 * number
    colour = _COLOURS[number % len(_COLOURS)]
    return f'<circle cx="{left}" cy="{top - 4}" r="4" fill="{colour}"/>{_text(left + 10, top, line, "start")}'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, size: str = "12") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
