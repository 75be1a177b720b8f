"""Pages that need nothing else: one style, tables, and plots in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 0.5em 0 1em; }
th, td { padding: 0.15em 0.9em; text-align: right; border-bottom: 1px solid #ccc; }
th, td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
svg { display: block; max-width: 100%; margin: 1em 0; font: 13px system-ui, sans-serif; }
text { paint-order: stroke; stroke: #fff; stroke-width: 4px; }
.bar { fill: #9aa5b1; } .own { fill: #2f6fb0; } .middle, .even { stroke: #222; }
"""


_LEFT, _WIDTH, _RIGHT, _ROW = 280, 480, 140, 24
"""Pixels: the labels, the longest bar, the numbers, the height of a bar."""


class Bar(NamedTuple):
    """A bar of a plot."""

    label: str
    value: float
    shown: str
    own: bool = False
    """Whether it is about embedx."""
    middle: tuple[float, float] | None = None
    """Between which values half of the measurements lie."""

    @property
    def end(self) -> float:
        """Where everything that is drawn ends."""
        return max(self.value, self.middle[1] if self.middle else 0)


def plot(bars: Sequence[Bar], even: float | None = None) -> str:
    """Horizontal bars from zero; with a line at ``even`` if that is given."""
    longest = max(even or 0, *(bar.end for bar in bars)) or 1

    def x(value: float) -> str:
        return f"{_LEFT + _WIDTH * value / longest:.1f}"

    def line(kind: str, left: float, right: float, top: float, bottom: float) -> str:
        return f'<line class="{kind}" x1="{x(left)}" x2="{x(right)}" y1="{top}" y2="{bottom}"/>'

    height = _ROW * len(bars)
    drawn = [] if even is None else [line("even", even, even, 0, height)]
    for i, bar in enumerate(bars):
        top = i * _ROW
        kind = "own" if bar.own else "bar"
        drawn += [
            f'<text x="{_LEFT - 8}" y="{top + 17}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{top + 4}" '
            f'width="{_WIDTH * bar.value / longest:.1f}" height="{_ROW - 8}"/>',
            f'<text x="{x(bar.end)}" dx="8" y="{top + 17}">{escape(bar.shown)}</text>',
        ]
        if bar.middle:
            drawn.append(line("middle", *bar.middle, top + 12, top + 12))
    size = f"0 0 {_LEFT + _WIDTH + _RIGHT} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img">\n'
        + "\n".join(drawn)
        + "\n</svg>"
    )


def table_of(rows: Sequence[Sequence[str]]) -> str:
    """An HTML table whose first row is its header; the cells are text, and are escaped."""
    header, *body = rows
    lines = [_row(header, "th"), *(_row(row, "td") for row in body)]
    return "\n".join(["<table>", *lines, "</table>"])


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
