"""A document of measurements as one table for a Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from embedx.bench.report import duration, work_of
from embedx.errors import ConfigError

_BEGIN, _END = "<!-- embedx bench -->", "<!-- /embedx bench -->"
"""The lines between which the table stands."""
_PLACE = re.compile(rf"^{_BEGIN}\r?\n(.*?)^{_END}\r?$", re.MULTILINE | re.DOTALL)
_NOTHING = "-"


def put_into(text: str, table: str) -> str:
    """A Markdown text with the table between its two lines. Raises ConfigError if it has none."""
    place = _PLACE.search(text)
    if place is None:
        raise ConfigError(
            f"no place for the table: --markdown looks for the line {_BEGIN} and, below it, the "
            f"line {_END}; add them where the table is to be"
        )
    return f"{text[: place.start(1)]}{table}{text[place.end(1) :]}"


def as_markdown(document: dict[str, Any]) -> str:
    """When and on what was measured, and a row for each work and number of threads.

    Runtimes stand side by side for all models. Where peers have their batches of texts in two
    ways, each way has a row.
    """
    machine, models = document["machine"], list(document["models"])
    compared = [m for m in document["measurements"] if "sides" in m]
    sides = list(dict.fromkeys(side["side"] for m in compared for side in m["sides"]))
    columns = [(model, side) for model in models for side in sides]
    named = [f"{model}: {side}" if models[1:] else side for model, side in columns]
    versions = machine["versions"]
    told = ", ".join(f"{side} {versions[side]}" for side in sides if side in versions)
    rows = [["work", "threads", *named], ["---"] * (2 + len(named))]
    rows += [row for measurement in compared for row in _rows(measurement, columns)]
    lines = [
        f"Measured on {machine['date']}, {machine['cpu']}, {machine['cores']} cores; {told}. "
        "Columns of embedx: time on the clock (CPU time). Others: embedx's speed as a multiple of "
        "theirs, on the clock (by CPU time).",
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "".join(f"{line}\n" for line in lines)


def _rows(measurement: dict[str, Any], columns: list[tuple[str, str]]) -> Iterator[list[str]]:
    sides = measurement["sides"]
    ways = [way for way in ("sorted", "naive") if any(s["batches"] == way for s in sides)]
    for way in ways or [""]:
        shown = {}
        for side in sides:
            # A peer that makes its batches itself sorts them, and is not shown twice.
            sorts = side["batches"] is None and way != "naive"
            if side["side"] == "embedx" or side["batches"] == way or sorts:
                shown[side["model"], side["side"]] = _cell(side)
        work = ", ".join(filter(None, (work_of(measurement), way)))
        cells = [shown.get(column, _NOTHING) for column in columns]
        yield [work, str(measurement["threads"]), *cells]


def _cell(side: dict[str, Any]) -> str:
    if side["side"] == "embedx":
        return f"{duration(side['wall_seconds'])} ({duration(side['cpu_seconds'])})"
    by_cpu = side["embedx_cpu_speed"]
    return f"{side['embedx_speed']:.2f} ({_NOTHING if by_cpu is None else f'{by_cpu:.2f}'})"
