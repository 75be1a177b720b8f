"""A document of measurements as one HTML page, with plots in SVG and nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from embedx.bench.report import (
    duration,
    facts,
    label,
    legend,
    models_of,
    operators,
    remarks,
    table,
    threads_of,
    title,
    work_of,
)
from embedx.html import Bar, listed, page_of, plot, table_of, wide


def as_html(document: dict[str, Any]) -> str:
    """The whole page."""
    measurements = document["measurements"]
    parts = [listed(facts(document))]
    for heading, bars in _speeds(measurements).items():
        parts += [f"<h2>{escape(heading)}</h2>", wide(plot(bars, even=1))]
    for measurement in measurements:
        parts += [f"<h2>{escape(title(measurement))}</h2>"]
        parts += [wide(plot(bars)) for bars in _plots(measurement)]
        header, *rows = table(measurement)
        full = [[*row, *[""] * (len(header) - len(row))] for row in rows]
        parts += [wide(table_of([header, *full]))]
        parts += [f"<p>{escape(remark)}</p>" for remark in remarks(measurement)]
    parts += ["<h2>What the words mean</h2>", listed(legend(document))]
    return page_of("embedx bench", "<h1>embedx bench</h1>\n" + "\n".join(parts))


def _speeds(measurements: Sequence[dict[str, Any]]) -> dict[str, list[Bar]]:
    """The speed of embedx against each peer, on each model, by what was measured."""
    compared = [m for m in measurements if "sides" in m]
    several = len({side["model"] for m in compared for side in m["sides"]}) > 1
    bars: dict[str, list[Bar]] = {}
    for measurement in compared:
        for side in measurement["sides"]:
            if side["side"] == "embedx":
                continue
            heading = f"Speed of embedx, as a multiple of that of {side['side']}"
            if several:
                heading += f", with {side['model']}"
            words = (work_of(measurement), side["batches"], threads_of(measurement))
            told = ", ".join(filter(None, words))
            speed = side["embedx_speed"]
            bars.setdefault(heading, []).append(Bar(told, speed, f"{speed:.2f}", own=True))
    return bars


def _plots(measurement: dict[str, Any]) -> list[list[Bar]]:
    """Time on the clock and of the processor, and memory where it is known; time by operator."""
    if measurement["kind"] == "operators":
        return [
            [
                Bar(o["operator"], o["seconds"], duration(o["seconds"]), own=True)
                for o in operators(measurement)
            ]
        ]
    times: list[Bar] = []
    memory: list[Bar] = []
    several = len(models_of(measurement)) > 1
    for side in measurement["sides"]:
        own = side["side"] == "embedx"
        name = f"{side['model']}: {label(side)}" if several else label(side)
        wall, cpu = side["wall_seconds"], side["cpu_seconds"]
        middle = tuple(side["wall_quartiles"])
        times += [
            Bar(name, wall, duration(wall), own, middle),
            Bar("CPU", cpu, duration(cpu), own, faint=True),
        ]
        if peak := side.get("peak_bytes"):
            memory.append(Bar(f"{name}, peak memory", peak, f"{peak / 1e6:.0f} MB", own))
    return [bars for bars in (times, memory) if bars]
