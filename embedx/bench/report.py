"""A document of measurements as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

from embedx.peers.known import TEXTS_ONLY
from embedx.peers.side import BATCH_SIZE


def as_json(document: dict[str, Any]) -> str:
    """One JSON document, each measurement on a line of its own."""

    def dumped(value: Any) -> str:
        return json.dumps(value, allow_nan=False)

    *head, (_, measurements) = {"schema_version": 2, **document}.items()
    facts = "".join(f"{dumped(key)}: {dumped(value)},\n" for key, value in head)
    lines = ",\n".join(map(dumped, measurements))
    return f'{{{facts}"measurements": [\n{lines}\n]}}'


def as_text(document: dict[str, Any]) -> str:
    """Tables to read in a terminal, without columns for which its usual width has no room."""
    lines = []
    for name, fact in facts(document):
        lines += wrap(fact, _WIDTH, initial_indent=f"{name:9s} ", subsequent_indent=" " * 10,
                      break_long_words=False, break_on_hyphens=False)  # fmt: skip
    for measurement in document["measurements"]:
        lines += ["", title(measurement), *_fitting(table(measurement))]
        for remark in remarks(measurement):
            lines += wrap(remark, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines.append("")
    for word, meaning in legend(document):
        lines += wrap(f"{word}: {meaning}", _WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def _fitting(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, whose rows with but one cell are headings."""
    for dispensable in (None, *_DISPENSABLE):
        kept = [i for i, header in enumerate(rows[0]) if header != dispensable]
        rows = [row if len(row) == 1 else [row[i] for i in kept] for row in rows]
        widths = [max(map(len, cells)) for cells in zip(*(r for r in rows if r[1:]), strict=True)]
        if sum(widths) + 2 * len(widths) <= _WIDTH:
            break
    lines = []
    for row in rows:
        first, *others = row
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip() if others else first)
    return lines


def facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What was measured, when, and on what."""
    machine, models = document["machine"], document["models"]
    told = [path if name in path else f"{name}: {path}" for name, path in models.items()]
    return [
        *(("model", model) for model in told),
        ("date", machine["date"]),
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"),
        ("versions", ", ".join(f"{k} {v}" for k, v in machine["versions"].items())),
    ]


def title(measurement: dict[str, Any]) -> str:
    """The line above a measurement's table."""
    work, kind = work_of(measurement), measurement["kind"]
    if kind == "texts":
        tokens = " or ".join(f"{n:,}" for n in dict.fromkeys(measurement["tokens"].values()))
        work += f" of {tokens} tokens, tokenized and embedded"
    elif kind == "cold start":
        work = "a process from its start to the first embedding"
    elif kind == "operators":
        work = f"where the time goes in {measurement['model']}, {work}"
    return f"{work}, {threads_of(measurement)}"


def threads_of(measurement: dict[str, Any]) -> str:
    """How many threads each side had."""
    count = measurement["threads"]
    return f"{count} thread" + "s" * (count != 1)


def work_of(measurement: dict[str, Any]) -> str:
    """What is done, in short."""
    kind = measurement["kind"]
    if kind == "texts":
        return f"{measurement['texts']:,} texts"
    if kind == "cold start":
        return "cold start"
    busy = ", beside a busy process" * kind.endswith("busy process")
    return f"{measurement['batch']}x{measurement['sequence_length']} tokens{busy}"


def label(side: dict[str, Any]) -> str:
    """What a side is called among those on the same model."""
    return ", ".join(filter(None, (side["side"], side["batches"])))


def table(measurement: dict[str, Any]) -> list[Sequence[str]]:
    """A header, and rows of as many cells; where there are several models, a name above each's."""
    if measurement["kind"] == "operators":
        listed = [
            (o["operator"], str(o["count"]), duration(o["seconds"]), f"{o['share']:.1%}")
            for o in operators(measurement)
        ]
        return [("operator", "steps", "time", "share"), *listed]
    rows: list[Sequence[str]] = [[header for header, _ in _COLUMNS]]
    models = models_of(measurement)
    for model in models:
        if models[1:]:
            rows.append([model])
        of_it = (side for side in measurement["sides"] if side["model"] == model)
        rows += [[cell(side) or "" for _, cell in _COLUMNS] for side in of_it]
    filled = [i for i, _ in enumerate(rows[0]) if any(row[i] for row in rows[1:] if row[1:])]
    return [row if len(row) == 1 else [row[i] for i in filled] for row in rows]


def operators(measurement: dict[str, Any]) -> list[dict[str, Any]]:
    """The operators that take at least a hundredth of the time each, and the others as one."""
    rows: list[dict[str, Any]] = measurement["operators"]
    few = [row for row in rows if row["share"] < 0.01]
    if not few[1:]:
        return rows
    sums = {key: sum(row[key] for row in few) for key in ("count", "seconds", "share")}
    return [*(r for r in rows if r not in few), {"operator": f"({len(few)} others)", **sums}]


def models_of(measurement: dict[str, Any]) -> list[str]:
    """The names of the models that were measured together."""
    return list(dict.fromkeys(side["model"] for side in measurement["sides"]))


def legend(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The words in the tables, and what they mean."""
    measurements = document["measurements"]
    sides = [side for m in measurements for side in m.get("sides", ())]
    used = {header for m in measurements for header in table(m)[0]}
    used |= {side["batches"] for side in sides} | {s["side"] for s in sides if "embedx_speed" in s}
    return [(word, meaning) for word, meaning in _MEANINGS.items() if word in used]


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

    >>> duration(0.0123), duration(0.9999), duration(1234.5)
    ('12.3 ms', '1000 ms', '1234 s')
    """
    size, unit = next((s, u) for s, u in ((1, "s"), (1e-3, "ms"), (0, "µs")) if seconds >= s)
    number = seconds / (size or 1e-6)
    return f"{number:.3g} {unit}" if number < 999.5 else f"{number:.0f} {unit}"


def _spread(side: dict[str, Any]) -> str | None:
    low, high = side["wall_quartiles"]
    return f"{(high - low) / 2 / side['wall_seconds']:.0%}" if side["runs"] > 1 else None


def _of(field: str, show: Callable[[Any], str]) -> Callable[[dict[str, Any]], str | None]:
    return lambda side: None if side.get(field) is None else show(side[field])


_WIDTH = 79
_DISPENSABLE = ("load", "texts/s", "MB")
"""Columns that go, in this order, where a table is too wide; JSON and HTML have them."""
_BATCHES = f"batches of {BATCH_SIZE} texts"
_COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], str | None]], ...] = (
    ("", label),
    ("wall", _of("wall_seconds", duration)),
    ("\N{PLUS-MINUS SIGN}", _spread),
    ("CPU", _of("cpu_seconds", duration)),
    ("texts/s", _of("texts_per_second", "{:.1f}".format)),
    ("load", _of("load_seconds", duration)),
    ("MB", _of("peak_bytes", lambda size: f"{size / 1e6:.0f}")),
    ("slowdown", _of("slowdown", "{:.2f}".format)),
    ("embedx", _of("embedx_speed", "{:.2f} x".format)),
    ("differs", _of("max_abs_difference", "{:.1e}".format)),
)
"""Headers, and the cells below them."""

_MEANINGS = {
    "wall": "seconds on the clock, the median of all runs",
    "\N{PLUS-MINUS SIGN}": "half of the runs lie within this of it",
    "CPU": "seconds that the process computed, user and system, all threads together",
    "load": "seconds until the model is ready; for texts those of all imports are in it",
    "MB": "the most memory that the process held, in millions of bytes",
    "slowdown": "the time beside a busy process over that alone",
    "embedx": "its speed on the clock as a multiple of this side's: above 1 it is faster",
    "differs": "by how much any number differs from embedx's at most",
    "sorted": f"{_BATCHES} of like length, each padded to the longest in its batch",
    "naive": f"{_BATCHES} in the given order, padded in the same way",
    TEXTS_ONLY: "its ONNX backend on the same file; it sorts texts by itself",
}
"""Words that a table may hold."""
