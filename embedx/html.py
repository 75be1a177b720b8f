"""Pages that need nothing else: one style, tables, and plots in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = {
    "page": ("#fcfcfa", "#14161a"),
    "raised": ("#f4f4f0", "#1b1e24"),
    "line": ("#e4e4de", "#2a2e36"),
    "strong": ("#c9c9c2", "#444a55"),
    "ink": ("#1b1d22", "#e8e9ec"),
    "soft": ("#5f636d", "#a4a9b4"),
    "accent": ("#1f5fae", "#83b7f5"),
    "tint": ("#e6eef8", "#1d2c40"),
    "bar": ("#9aa1ad", "#6d7480"),
    "own": ("#1f5fae", "#83b7f5"),
    "identical": ("#6f737c", "#8b919d"),
    "rounding": ("#14766a", "#55c2b0"),
    "quantization": ("#946200", "#e0ac48"),
    "suspicious": ("#b8340b", "#ff8a65"),
    "impossible": ("#c2185b", "#ff6fa5"),
}
"""In light and in dark, by the names of their CSS variables; verdicts have colours of theirs."""


def _variables(dark: bool) -> str:
    return " ".join(f"--{name}: {colour[dark]};" for name, colour in COLOURS.items())


STYLE = (
    f":root {{ color-scheme: light dark; {_variables(False)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(True)} }} }}"
    """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66em; margin: 2em auto; padding: 0 1em;
  background: var(--page); color: var(--ink); overflow-wrap: break-word; }
dt { font-weight: 600; }
.wide { overflow-x: auto; margin: 0.5em 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15em 0.9em; text-align: right; border-bottom: 1px solid var(--line); }
th, td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
svg { display: block; width: 100%; min-width: 40em; font: 13px system-ui, sans-serif; }
text { fill: var(--ink); paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.bar { fill: var(--bar); } .own { fill: var(--own); } .faint { opacity: 0.5; }
.middle, .even { stroke: var(--ink); }
"""
)
"""For all pages, in light and dark."""


def page_of(title: str, body: str, style: str = "") -> str:
    """A whole page; ``title`` is text, ``body`` is HTML, ``style`` is CSS that is added."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,"/>\n'
        f"<style>{STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def wide(content: str) -> str:
    """HTML that is moved sideways where it does not fit."""
    return f'<div class="wide">{content}</div>'


def listed(pairs: Sequence[tuple[str, str]]) -> str:
    """Words and what they mean, both text, as an HTML list."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in pairs)
    return f"<dl>\n{items}</dl>"


_WIDTH, _RIGHT, _ROW = 480, 140, 24
"""Pixels: the longest bar, the numbers, the height of a bar."""
_LETTER = 7.5
"""Pixels that a letter of a label takes, a wide one now and then included."""


class Bar(NamedTuple):
    """A bar of a plot."""

    label: str
    value: float
    shown: str
    own: bool = False
    """Whether it is about embedx."""
    middle: tuple[float, float] | None = None
    """Between which values half of the measurements lie."""
    faint: bool = False
    """Whether it only goes with the bar above."""

    @property
    def end(self) -> float:
        """Where everything that is drawn ends."""
        return max(self.value, self.middle[1] if self.middle else 0)


def plot(bars: Sequence[Bar], even: float | None = None) -> str:
    """Horizontal bars from zero; with a line at ``even`` if that is given."""
    longest = max(even or 0, *(bar.end for bar in bars)) or 1
    left = _LETTER * max(len(bar.label) for bar in bars) + 16

    def x(value: float) -> str:
        return f"{left + _WIDTH * value / longest:.1f}"

    def line(kind: str, start: float, end: float, top: float, bottom: float) -> str:
        return f'<line class="{kind}" x1="{x(start)}" x2="{x(end)}" y1="{top}" y2="{bottom}"/>'

    height = _ROW * len(bars)
    drawn = [] if even is None else [line("even", even, even, 0, height)]
    for i, bar in enumerate(bars):
        top = i * _ROW
        kind = ("own" if bar.own else "bar") + " faint" * bar.faint
        drawn += [
            f'<text x="{left - 8:.1f}" y="{top + 17}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{kind}" x="{left:.1f}" y="{top + 4}" '
            f'width="{_WIDTH * bar.value / longest:.1f}" height="{_ROW - 8}"/>',
            f'<text x="{x(bar.end)}" dx="8" y="{top + 17}">{escape(bar.shown)}</text>',
        ]
        if bar.middle:
            drawn.append(line("middle", *bar.middle, top + 12, top + 12))
    size = f"0 0 {left + _WIDTH + _RIGHT:.1f} {height}"
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
