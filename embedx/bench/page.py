"""A document of measurements as one HTML page, with plots in SVG and nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from embedx.bench.report import duration, facts, remarks, table, title

_STYLE = """
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


def as_html(document: dict[str, Any]) -> str:
    """The whole page."""
    measurements = document["measurements"]
    about = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>\n" for k, v in facts(document))
    parts = [f"<dl>\n{about}</dl>"]
    for peer, bars in _speeds(measurements).items():
        parts += [f"<h2>Speed of embedx, as a multiple of that of {escape(peer)}</h2>"]
        parts += [plot(bars, even=1)]
    for measurement in measurements:
        parts += [f"<h2>{escape(title(measurement))}</h2>", *map(plot, _plots(measurement))]
        parts += [_table(table(measurement))]
        parts += [f"<p>{escape(remark)}</p>" for remark in remarks(measurement)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f"<title>embedx bench</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        "<h1>embedx bench</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _speeds(measurements: Sequence[dict[str, Any]]) -> dict[str, list[Bar]]:
    bars: dict[str, list[Bar]] = {}
    for measurement in measurements:
        for side in measurement.get("sides", ())[1:]:
            speed = side["embedx_speed"]
            bars.setdefault(side["side"], []).append(
                Bar(_short(measurement), speed, f"{speed:.2f}", own=True)
            )
    return bars


def _short(measurement: dict[str, Any]) -> str:
    if "batch" not in measurement:
        return str(measurement["kind"])
    busy = ", busy" * (measurement["kind"] != "run")
    return f"{measurement['batch']}x{measurement['sequence_length']}{busy}"


def _plots(measurement: dict[str, Any]) -> list[list[Bar]]:
    """Time, and memory where it is known, by side; or time by operator."""
    if measurement["kind"] == "operators":
        return [
            [
                Bar(
                    o["operator"], o["seconds"], f"{duration(o['seconds'])}, {o['share']:.1%}", True
                )
                for o in measurement["operators"]
            ]
        ]
    sides = measurement["sides"]
    times = [
        Bar(
            s["side"],
            s["median_seconds"],
            duration(s["median_seconds"]),
            s["side"] == "embedx",
            tuple(s["quartile_seconds"]),
        )
        for s in sides
    ]
    memory = [
        Bar(
            f"{s['side']}, peak memory",
            s["peak_bytes"],
            f"{s['peak_bytes'] / 1e6:.0f} MB",
            s["side"] == "embedx",
        )
        for s in sides
        if s.get("peak_bytes")
    ]
    return [bars for bars in (times, memory) if bars]


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


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    lines = [_row(header, "th"), *(_row(row, "td") for row in body)]
    return "\n".join(["<table>", *lines, "</table>"])


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
