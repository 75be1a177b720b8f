"""A document of measurements as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any


def as_json(document: dict[str, Any]) -> str:
    """One JSON document, each measurement on a line of its own."""

    def dumped(value: Any) -> str:
        return json.dumps(value, allow_nan=False)

    *head, (_, measurements) = {"schema_version": 1, **document}.items()
    facts = "".join(f"{dumped(key)}: {dumped(value)},\n" for key, value in head)
    lines = ",\n".join(map(dumped, measurements))
    return f'{{{facts}"measurements": [\n{lines}\n]}}'


def as_text(document: dict[str, Any]) -> str:
    """Tables to read in a terminal."""
    lines = [f"{name:9s} {fact}" for name, fact in facts(document)]
    for measurement in document["measurements"]:
        header, *rows = table(measurement)
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines += ["", title(measurement)]
        for row in (header, *rows):
            first, *others = (
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join((f"  {first}", *others)).rstrip())
        lines += [f"  {line}" for line in remarks(measurement)]
    return "\n".join(lines)


def facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What was measured, and on what."""
    machine = document["machine"]
    return [
        ("model", document["model"]),
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"),
        ("versions", ", ".join(f"{k} {v}" for k, v in machine["versions"].items())),
    ]


def title(measurement: dict[str, Any]) -> str:
    """The line above a measurement's table."""
    kind, count = measurement["kind"], measurement["threads"]
    threads = f"{count} thread" + "s" * (count != 1)
    if kind == "texts":
        return f"{measurement['texts']} texts, tokenized and embedded, {threads}"
    if kind == "cold start":
        return f"a process from its start to the first embedding, {threads}"
    shape = f"{measurement['batch']}x{measurement['sequence_length']} tokens, {threads}"
    return {"run": "", "operators": "where time goes, "}.get(kind, f"{kind}, ") + shape


def table(measurement: dict[str, Any]) -> list[Sequence[str]]:
    """A header and rows of cells, all of one length."""
    if measurement["kind"] == "operators":
        listed = [
            (o["operator"], str(o["count"]), duration(o["seconds"]), f"{o['share']:.1%}")
            for o in measurement["operators"]
        ]
        return [("operator", "steps", "time", "share"), *listed]
    sides = measurement["sides"]
    shown = [column for column in _COLUMNS if any(column[1] in side for side in sides)]
    rows = [
        ["" if side.get(field) is None else show(side[field]) for _, field, show in shown]
        for side in sides
    ]
    return [[header for header, *_ in shown], *rows]


def remarks(measurement: dict[str, Any]) -> list[str]:
    """Sentences below a measurement's table."""
    if measurement["kind"] != "operators":
        return []
    products = measurement["products"]
    return [
        f"{products['share']:.1%} of the time in BLAS, at {products['gflops']:.1f} GFLOP/s: "
        f"{products['of_peak']:.0%} of the {products['peak_gflops']:.1f} that large products reach"
    ]


def duration(seconds: float) -> str:
    """Seconds as a person writes them.

    >>> duration(0.0123)
    '12.3 ms'
    """
    size, unit = next((s, u) for s, u in ((1, "s"), (1e-3, "ms"), (0, "µs")) if seconds >= s)
    return f"{seconds / (size or 1e-6):.3g} {unit}"


_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("", "side", str),
    ("median", "median_seconds", duration),
    ("quartiles", "quartile_seconds", lambda pair: " to ".join(map(duration, pair))),
    ("runs", "runs", str),
    ("texts/s", "texts_per_second", "{:.1f}".format),
    ("load", "load_seconds", duration),
    ("peak memory", "peak_bytes", lambda size: f"{size / 1e6:.0f} MB"),
    ("slowdown", "slowdown", "{:.2f}".format),
    ("embedx is", "embedx_speed", "{:.2f} x as fast".format),
    ("difference", "max_abs_difference", "{:.1e}".format),
    ("on average", "mean_abs_difference", "{:.1e}".format),
)
"""Headers, and the fields of a side below them."""
