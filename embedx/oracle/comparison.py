"""What a comparison has found, as data, as text, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedx.oracle.detail import Detail
from embedx.oracle.verdicts import Verdict, is_worse


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
                    "name": o.name, "verdict": o.verdict, "noise_ratio": _json(o.noise_ratio),
                    "flips": o.flips, "why": o.why,
                    **{k: _json(v) for k, v in o.metrics.items()},
                }
                for o in self.outputs
            ],
            "nodes": [
                {
                    "name": p.name, "edge": p.edge, "op_type": p.op_type, "site": p.site,
                    "verdict": p.verdict, "local": _json(p.local),
                    "cumulative": _json(p.cumulative), "flips": p.flips,
                }
                for p in self.places
            ],
            "first": None if self.first is None else {
                "node": self.first.name, "edge": self.first.edge, "op_type": self.first.op_type,
                "site": self.first.site, "covers": list(self.first.covers), "why": self.first.why,
            },
            "flips": self.flips,
            "cost": dict(self.cost),
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: {self.why}", ""]
        lines += [f"reference  {self.reference}", f"candidate  {self.candidate}"]
        lines += ["", *_table(self.outputs)]
        if self.places:
            lines += ["", *_growth(self.places, self.first)]
        if self.first is not None:
            lines += ["", *_culprit(self.first)]
        if self.next:
            lines += ["", f"next: {self.next}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Comparison({self.verdict}: {self.candidate} against {self.reference}; {self.why})"


def _json(number: float | None) -> float | str | None:
    """A number that JSON has; infinity and NaN as text."""
    if number is None or abs(number) < float("inf"):
        return number
    return str(number)


_SHOWN = ("max_abs", "max_rel", "max_ulp", "cosine", "sqnr_db")


def _table(outputs: Sequence[Output]) -> list[str]:
    rows = [("output", "verdict", "noise ratio", *_SHOWN)]
    rows += [
        (
            o.name, o.verdict, _short(o.noise_ratio),
            *(_short(o.metrics.get(name)) for name in _SHOWN),
        )
        for o in outputs
    ]  # fmt: skip
    return aligned(rows)


_MOST = 12
"""Lines for places inside the model; the JSON document and the page have all."""


def _growth(places: Sequence[Place], first: Place | None) -> list[str]:
    rows = [("site or node", "operator", "verdict", "local", "since the inputs", "flips")]
    known = [p for p in places if p.site] or list(places)
    step = max(1, -(-len(known) // _MOST))
    shown = {id(p) for p in known[step - 1 :: step]} | ({id(first)} if first else set())
    rows += [
        (
            p.site or p.name, p.op_type, p.verdict, _short(p.local), _short(p.cumulative),
            str(p.flips) if p.flips else "",
        )
        for p in places
        if id(p) in shown
    ]  # fmt: skip
    more = len(places) - len(rows) + 1
    return [*aligned(rows), *([f"... and {more} more (--json has all)"] if more else [])]


def _culprit(first: Place) -> list[str]:
    lines = [f"first  {first.op_type} {first.name!r}" + f" ({first.site})" * bool(first.site)]
    lines.append(f"       {first.why}")
    if len(first.covers) > 1:
        lines.append(f"       covers {', '.join(first.covers)}")
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns stand under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _short(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"
