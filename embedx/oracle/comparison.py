"""What a comparison has found, as data, as text, and as JSON."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedx.oracle.detail import Detail
from embedx.oracle.verdicts import LINE, VERDICTS, Verdict, is_worse

MEASURES = {
    "max_abs": "max absdiff", "max_rel": "max reldiff", "max_ulp": "max ulp",
    "cosine": "cosine", "sqnr_db": "SQNR dB", "psnr_db": "PSNR dB",
}  # fmt: skip
"""The measures that are shown, and what Polygraphy or Olive call them."""


@dataclass(frozen=True)
class Output:
    """One output of the model, over all inputs."""

    name: str
    verdict: Verdict
    noise_ratio: float | None
    """The largest of its rows; None for what is no float."""
    flips: int | None
    """Integers that differ; None for floats, where they cannot be counted."""
    metrics: Mapping[str, float | None]
    why: str
    detail: Detail | None = None


@dataclass(frozen=True)
class Place:
    """One watched edge inside the model, over all inputs."""

    name: str
    """The node's name."""
    edge: str
    op_type: str
    site: str | None
    verdict: Verdict
    """On what happens between the watched edges before it and this one."""
    local: float | None
    """How many times what rounding explains it is off there."""
    cumulative: float | None
    """The same since the inputs of the model."""
    flips: int
    covers: tuple[str, ...]
    """The nodes in between."""
    why: str
    detail: Detail | None = None
    """Of the difference since the inputs of the model."""
    seconds: tuple[float | None, float | None] = (None, None)
    """What the referee and the candidate took for what it covers, at most, if that is known."""

    @property
    def deviation(self) -> float | None:
        """How far off the values are since the inputs, relative to their size (``Detail``)."""
        return None if self.detail is None else self.detail.deviation

    @property
    def floor(self) -> float | None:
        """What of it rounding explains."""
        return None if self.detail is None else self.detail.floor

    run: int = 0
    """Which of the inputs shows it best."""


@dataclass(frozen=True)
class Comparison:
    """A model's referee against a candidate; ``str()`` of it is a report."""

    verdict: Verdict
    reference: str
    candidate: str
    level: str
    inputs: tuple[Mapping[str, str], ...]
    """Types and shapes of the feeds of each run, by name."""
    outputs: tuple[Output, ...]
    places: tuple[Place, ...] = ()
    """Watched edges inside the model, in the order of execution."""
    first: Place | None = None
    """The first that is worse than allowed."""
    why: str = ""
    """One sentence."""
    next: str = ""
    """A command that tells more."""
    allow: Verdict = "quantization"
    flips: int = 0
    """Decisions that fell otherwise, as far as they can be seen."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    """How many exact runs were made, and seconds."""
    graph: str = ""
    """The name that the model gives its graph."""

    @property
    def passed(self) -> bool:
        """Whether the verdict is no worse than allowed."""
        return not is_worse(self.verdict, self.allow)

    @property
    def document(self) -> dict[str, Any]:
        """The comparison as JSON can hold it (schema ``embedx.compare/1``)."""
        return {
            "schema": "embedx.compare/1",
            "verdict": self.verdict,
            "exit": 0 if self.passed else 1,
            "why": self.why,
            "next": self.next,
            "level": self.level,
            "reference": self.reference,
            "candidate": self.candidate,
            "environment": dict(self.environment),
            "inputs": [dict(feeds) for feeds in self.inputs],
            "outputs": [
                {
                    "name": o.name, "verdict": o.verdict, "noise_ratio": json_number(o.noise_ratio),
                    "flips": o.flips, "why": o.why, "worst": _elements(o.detail),
                    **{k: json_number(v) for k, v in o.metrics.items()},
                }
                for o in self.outputs
            ],
            "nodes": [
                {
                    "name": p.name, "edge": p.edge, "op_type": p.op_type, "site": p.site,
                    "verdict": p.verdict, "local": json_number(p.local),
                    "cumulative": json_number(p.cumulative), "flips": p.flips,
                    "deviation": json_number(p.deviation),
                    "floor": json_number(p.floor),
                }
                for p in self.places
            ],
            "first": None if self.first is None else {
                "node": self.first.name, "edge": self.first.edge, "op_type": self.first.op_type,
                "site": self.first.site, "covers": list(self.first.covers), "why": self.first.why,
                "worst": _elements(self.first.detail),
            },
            "flips": self.flips,
            "cost": dict(self.cost),
        }  # fmt: skip

    def __str__(self) -> str:
        passed = "passes" if self.passed else "fails"
        lines = [f"{self.verdict.upper()}  ({passed}: up to {self.allow} is allowed)"]
        lines += [*_filled(self.why, "  "), ""]
        lines += [
            f"reference  {self.reference}, in exact precision",
            f"candidate  {self.candidate}",
            *_filled(_fed(self.inputs), "inputs     "),
            "",
            *_table(self.outputs),
        ]
        if self.places:
            lines += ["", *_growth(self.places, self.first)]
        if any(place.flips for place in self.places):
            lines += ["", *_filled(begins(self.places), "")]
        if self.first is not None:
            lines += ["", *_culprit(self.first, self.why)]
        if self.next:
            lines += ["", f"next: {self.next}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        sides = f"{self.candidate} against {self.reference}"
        return f"Comparison({self.verdict}: {sides}; {self.why})"


def json_number(number: float | None) -> float | str | None:
    """A number that JSON has; infinity and NaN as text."""
    if number is None or isinstance(number, int):
        return number
    return float(number) if abs(number) < float("inf") else str(float(number))


def _elements(seen: Detail | None) -> list[dict[str, Any]]:
    return [
        {
            "index": list(e.place), "exact": json_number(e.exact),
            "candidate": json_number(e.value), "floor": json_number(e.floor),
        }
        for e in (() if seen is None else seen.worst)
    ]  # fmt: skip


def called(place: Place, most: int = 64) -> str:
    """What people call a place: its site, or its operator and node."""
    return place.site or f"{place.op_type} {shortened(place.name, most - len(place.op_type) - 1)}"


def counted(places: Sequence[Place]) -> str:
    """How many places have which verdict, in a sentence."""
    met = Counter(place.verdict for place in places)
    each = ", ".join(f"{met[v]} {v}" for v in VERDICTS if met[v])
    return f"{len(places):,} place{'s' * (len(places) != 1)}: {each}."


def begins(places: Sequence[Place]) -> str:
    """How many decisions fell the other way, and where they begin, in a sentence."""
    flipped = [place for place in places if place.flips]
    if not flipped:
        return "No decision fell the other way."
    total = sum(place.flips for place in flipped)
    where = f"at {called(flipped[0])}"
    if total == 1:
        return f"One decision fell the other way, {where}."
    if len(flipped) == 1:
        return f"{total:,} decisions fell the other way, all {where}."
    first = f"{flipped[0].flips:,} of them first, {where}"
    return f"{total:,} decisions fell the other way, at {len(flipped)} places, {first}."


def short(number: float | None) -> str:
    """A number to read: three digits; ``-`` for None."""
    return "-" if number is None else f"{number:.3g}"


def closeness(cosine: float | None) -> str:
    """A cosine whose distance from 1 can be seen.

    >>> closeness(0.97412), closeness(1 - 2e-9), closeness(1.0)
    ('0.9741', '1 - 2e-09', '1')
    """
    if cosine is None or not 0.999 < cosine < 1:
        return "-" if cosine is None else f"{cosine:.4g}"
    return f"1 - {1 - cosine:.1g}"


def shortened(name: str, most: int) -> str:
    """A name of no more than ``most`` letters, without its middle if that is too long.

    >>> shortened("/encoder/layer.3/output/MatMul", 20)
    '/encode...put/MatMul'
    """
    if len(name) <= most:
        return name
    end = (2 * most) // 3 - 3
    return f"{name[: most - end - 3]}...{name[len(name) - end :]}"


_COLUMNS = 100
"""No line of a report is longer, unless a name or a command is."""


def _filled(text: str, start: str) -> list[str]:
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _fed(inputs: Sequence[Mapping[str, str]]) -> str:
    first = ", ".join(f"{name} {kind}" for name, kind in (inputs[0] if inputs else {}).items())
    return first + (f", and {len(inputs) - 1} more" if len(inputs) > 1 else "")


def _table(outputs: Sequence[Output]) -> list[str]:
    shown = {name: title for name, title in MEASURES.items() if name != "psnr_db"}
    rows = [("output", "verdict", "noise ratio", *shown.values())]
    rows += [
        (
            o.name, o.verdict, short(o.noise_ratio),
            *((closeness if m == "cosine" else short)(o.metrics.get(m)) for m in shown),
        )
        for o in outputs
    ]  # fmt: skip
    told = f"(noise ratio: the difference in noise floors: what rounding explains; line: {LINE:g})"
    return [*aligned(_fitted(rows)), told]


_MOST = 12
"""Lines for places inside the model; the JSON document and the page have all."""


def _growth(places: Sequence[Place], first: Place | None) -> list[str]:
    flips = any(p.flips for p in places)
    rows = [("place", "operator", "verdict", "here", "so far", *["flips"] * flips)]
    rows += [
        (
            p.site or p.name, shortened(p.op_type, 20), p.verdict, short(p.local),
            short(p.cumulative), *[str(p.flips or "")] * flips,
        )
        for p in _telling(places, first)
    ]  # fmt: skip
    told = counted(places).removesuffix(".")
    more = len(places) - len(rows) + 1
    return [
        f"{told}{' (some of them here; --json and --html have all)' if more else ''}",
        *aligned(_fitted(rows)),
        "(in noise floors; here: for what the candidate had there; so far: from the inputs on)",
    ]


def _telling(places: Sequence[Place], first: Place | None) -> list[Place]:
    """Some places that stand for all: the ends of layers, or every so many; and the first."""
    ends = [
        p for p in places if re.fullmatch(r"embeddings\.output|layers\.\d+\.output", p.site or "")
    ]
    known = ends or list(places)
    step = -(-len(known) // _MOST)
    shown = {p.edge for p in (*known[step - 1 :: step], *([] if first is None else [first]))}
    return [p for p in places if p.edge in shown]


def _culprit(first: Place, said: str) -> list[str]:
    named = f"{first.op_type} {first.name}"
    lines = _filled(f"it begins at {named}" + f" ({first.site})" * bool(first.site), "")
    if first.why not in said:
        lines += _filled(first.why, "  ")
    if len(first.covers) > 1:
        nodes = f"{len(first.covers)} nodes, {first.covers[0]} to {first.covers[-1]}"
        lines += _filled(f"covers {nodes} (--json and --html have all)", "  ")
    if first.detail is not None and first.detail.worst:
        rows = [("element", "exact", "candidate", "off by", "times the floor")]
        rows += [
            (
                str(list(e.place)), f"{e.exact:.7g}", f"{e.value:.7g}",
                short(abs(e.value - e.exact)), short(e.times),
            )
            for e in first.detail.worst[:3]
        ]  # fmt: skip
        lines += [f"  {line}" for line in aligned(rows)]
    return lines


def _fitted(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Rows whose first cells are short enough for a line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    most = max(_COLUMNS - sum(widths[1:]) - 2 * len(widths[1:]), 12)
    return [(shortened(first, most), *others) for first, *others in rows]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns stand under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
