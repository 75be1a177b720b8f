"""A document of measurements as one HTML page, with plots in SVG and nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from embedx.bench.report import duration, facts, remarks, table, title
from embedx.html import STYLE, Bar, plot, table_of


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
        parts += [table_of(table(measurement))]
        parts += [f"<p>{escape(remark)}</p>" for remark in remarks(measurement)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f"<title>embedx bench</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
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
