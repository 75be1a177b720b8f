"""One run of a candidate, judged edge by edge beside the referee's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from embedx.difference import CLOSE, metrics
from embedx.difference import compare as compare_values
from embedx.errors import ToleranceError
from embedx.model.graph import Array, Node
from embedx.ops import is_floating
from embedx.oracle.candidates import Candidate
from embedx.oracle.detail import Detail, detail
from embedx.oracle.floor import Floors, difference, flipped_floors, floors, row_rms
from embedx.oracle.inputs import mask_of, tokens_of
from embedx.oracle.local import Local, Segment, judged, segments
from embedx.oracle.noise import edges_of_data, flips, may_decide
from embedx.oracle.steps import Coarse
from embedx.oracle.verdicts import LINE, Verdict
from embedx.run.engine import Engine

_MORE = 4
"""How many times more samples there are before a difference is called suspicious."""


@dataclass(frozen=True)
class Job:
    """What is judged in each run, and how."""

    referee: Engine
    """In exact precision, of a graph whose constants are folded."""
    candidate: Candidate
    pairs: Mapping[str, str]
    """The watched edges, and the candidate's edges that mean the same."""
    inner: bool
    """Whether the pieces between watched edges are judged, or outputs alone."""
    samples: int
    seed: int
    coarse: Coarse
    tolerance: tuple[float, float] | None = None
    """Relative and absolute, for outputs, of those who insist."""


@dataclass(frozen=True)
class Finding:
    """What one run says of one edge."""

    verdict: Verdict
    """On all that happened since the inputs."""
    ratio: float | None
    """The noise ratio: how many times what rounding explains the value is off."""
    flips: int | None
    """Decisions that fell otherwise than the referee's; None where there are none."""
    metrics: Mapping[str, float | None]
    local: Local | None
    """On what happened since the watched edges before."""
    why: str = ""
    detail: Detail | None = None
    seconds: tuple[float, float | None] = (0.0, None)
    """What the referee and the candidate took since the watched edges before, if that is known."""


def judged_run(job: Job, feeds: Mapping[str, Any]) -> dict[str, Finding]:
    """What the run says of each watched edge that the candidate shows, in the graph's order.

    Of the values those are held that are still needed.
    """
    with np.errstate(all="ignore"):  # what is no number is compared as such
        return _judged_run(job, feeds)


def _judged_run(job: Job, feeds: Mapping[str, Any]) -> dict[str, Finding]:
    graph = job.referee.graph
    noise = floors(
        job.referee, feeds, job.pairs, samples=job.samples, seed=job.seed, coarse=job.coarse
    )
    scale = _Scale(job, feeds, noise)
    pieces = list(segments(graph, job.pairs))
    theirs_by_edge = [job.pairs[piece.edge] for piece in pieces]
    sizes = {job.pairs[edge]: size for edge, size in noise.sizes.items()}
    ours = _Stream(_watched(job.referee, feeds, job.pairs))
    theirs = _Stream(job.candidate.values(feeds, list(dict.fromkeys(theirs_by_edge)), sizes))
    uses = Counter(name for piece in pieces for name in (*piece.inputs, piece.edge))
    known: dict[str, Any] = dict(feeds)
    found: dict[str, Finding] = {}
    for piece in pieces:
        start = perf_counter()
        exact = ours.taken(piece.edge)
        between = perf_counter()
        value = theirs.seen(job.pairs[piece.edge])
        took = perf_counter() - between if job.candidate.stepwise else None
        if piece.edge in scale.outputs and type(exact) is not type(value):
            found[piece.edge] = _missing(value)
        elif not isinstance(exact, np.ndarray) and piece.edge in scale.outputs:
            found[piece.edge] = _equal_or_not(exact, value)
        elif isinstance(exact, np.ndarray) and isinstance(value, np.ndarray):
            local = _local(job, piece, known, value, scale.mask) if job.inner else None
            finding = scale.judged(piece.edge, exact, value, local)
            seen = scale.detail(finding, piece.edge, exact, value)
            found[piece.edge] = replace(finding, detail=seen, seconds=(between - start, took))
            if value.shape == exact.shape and _kind(value) == _kind(exact):
                known[piece.edge] = value.astype(exact.dtype, copy=False)
        for name in (*piece.inputs, piece.edge):
            uses[name] -= 1
            if not uses[name]:
                known.pop(name, None)
                theirs.drop(job.pairs.get(name, name))
    return found


def _missing(value: Any) -> Finding:
    """What is said of an output that the candidate does not give, or gives as something else."""
    told = "the candidate does not give it" if value is None else f"it is a {type(value).__name__}"
    return Finding("impossible", None, None, {}, None, told)


def _equal_or_not(exact: Any, value: Any) -> Finding:
    """What is said of sequences and maps, whose items have no noise floor."""
    try:
        compare_values(value, exact, CLOSE)
    except ToleranceError as error:
        return Finding("suspicious", None, None, {}, None, str(error))
    return Finding("rounding", None, None, {}, None)


def _local(
    job: Job, piece: Segment, known: Mapping[str, Any], value: Array, mask: Array | None
) -> Local | None:
    if any(name not in known for name in piece.inputs):
        return None
    given = {name: known[name] for name in piece.inputs}
    keep = tokens_of(mask, value.shape)
    return judged(job.referee.graph, piece, given, value, keep, coarse=job.coarse, seed=job.seed)


def _watched(
    referee: Engine, feeds: Mapping[str, Any], edges: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    for visit in referee.walk(feeds):
        for name, value in zip(visit.step.node.outputs, visit.outputs, strict=False):
            if name in edges:
                yield name, value


class _Stream:
    """Values by name that come in their own order."""

    def __init__(self, values: Iterator[tuple[str, Any]]) -> None:
        self._values = values
        self._held: dict[str, Any] = {}

    def seen(self, name: str) -> Any:
        """The value of this name, or None if none comes."""
        while name not in self._held:
            following = next(self._values, None)
            if following is None:
                return None
            self._held[following[0]] = following[1]
        return self._held[name]

    def taken(self, name: str) -> Any:
        """The same, for the only time."""
        value = self.seen(name)
        self.drop(name)
        return value

    def drop(self, name: str) -> None:
        """Hold the value no longer."""
        self._held.pop(name, None)


def _kept(x: Array, keep: Array | None) -> Array:
    return x if keep is None else x[np.broadcast_to(keep, x.shape)]


def _kind(x: Array) -> str:
    """What values of different types may stand for each other: floats of any width, or integers."""
    return "float" if is_floating(x.dtype) else {"u": "i"}.get(x.dtype.kind, x.dtype.kind)


class _Scale:
    """What a difference weighs in one run."""

    def __init__(self, job: Job, feeds: Mapping[str, Any], noise: Floors) -> None:
        self._job, self._feeds, self._noise = job, feeds, noise
        self._flipped: Floors | None = None
        self._more: Floors | None = None
        graph = job.referee.graph
        self.mask = mask_of(feeds)
        self._makers: Mapping[str, Node] = graph.producers()
        self._data = edges_of_data(graph)
        self.outputs = {v.name for v in graph.outputs}
        self._decides = any(map(may_decide, graph.walk()))

    def judged(self, edge: str, exact: Array, value: Array, local: Local | None) -> Finding:
        """What the difference of a value from the exact one means."""
        if value.shape != exact.shape:
            why = f"its shape is {list(value.shape)} instead of {list(exact.shape)}"
            return Finding("impossible", None, None, {}, local, why)
        if _kind(value) != _kind(exact):
            why = f"its type is {value.dtype} instead of {exact.dtype}"
            return Finding("impossible", None, None, {}, local, why)
        if self._job.tolerance is not None and edge in self.outputs:
            rtol, atol = self._job.tolerance
            if not np.allclose(value, exact, rtol, atol, equal_nan=True):
                why = f"it is beyond the tolerance of {rtol:g} relative and {atol:g} absolute"
                return Finding("suspicious", None, None, metrics(value, exact), local, why)
        floats = is_floating(exact.dtype) and is_floating(value.dtype)
        wanted = edge in self.outputs and exact.dtype.kind in "fiubV"
        keep = tokens_of(self.mask, exact.shape)
        measured = metrics(_kept(value, keep), _kept(exact, keep)) if wanted else {}
        if exact.dtype == value.dtype and np.array_equal(exact, value, equal_nan=floats):
            return Finding("identical", 0.0 if floats else None, 0, measured, local)
        if not floats:
            return self._integers(edge, exact, value, measured, local)
        off = difference(value, exact)
        off = row_rms(off if keep is None else np.where(keep, off, 0.0))
        ratio = _largest(self._noise, edge, off)
        flipped = flips(self._makers[edge], value, exact) if edge in self._data else None
        if ratio > LINE and edge in self.outputs:
            ratio = _largest(self._surer(), edge, off)
        if ratio <= LINE:
            stepwise = self._job.coarse.steps or any(self._noise.flips.values())
            found: Verdict = "quantization" if stepwise else "rounding"
            return Finding(found, ratio, flipped, measured, local)
        if self._decides:
            again = _largest(self._flips(), edge, off)
            if again <= LINE:
                return Finding("quantization", again, flipped, measured, local)
        return Finding("suspicious", ratio, flipped, measured, local)

    def detail(self, finding: Finding, edge: str, exact: Array, value: Array) -> Detail:
        """What the difference looks like beside the floor that it has been judged by."""
        flipped = self._flipped if finding.verdict == "quantization" else None
        floor = (flipped or self._noise).by_edge.get(edge)
        return detail(value, exact, tokens_of(self.mask, exact.shape), floor)

    def _integers(
        self,
        edge: str,
        exact: Array,
        value: Array,
        measured: Mapping[str, Any],
        local: Local | None,
    ) -> Finding:
        wrong = int(np.count_nonzero(np.asarray(exact != value)))
        flipped = flips(self._makers[edge], value, exact) if edge in self._data else None
        told = f"{wrong} of {exact.size} integers differ"
        if not wrong:
            return Finding("identical", None, flipped, measured, local)
        if edge not in self._data:
            why = f"{told}, which no rounding reaches"
            return Finding("impossible", None, flipped, measured, local, why)
        if flipped is None:
            return Finding("quantization", None, None, measured, local, told)
        usual = max(self._noise.flips.get(edge, 0.0), self._flips().flips.get(edge, 0.0), 1.0)
        verdict: Verdict = "quantization" if wrong <= LINE * usual else "suspicious"
        return Finding(verdict, None, flipped, measured, local, told)

    def _surer(self) -> Floors:
        """The floors of the outputs from more samples, of which few might be small by chance."""
        if self._more is None:
            job = self._job
            self._more = floors(
                job.referee, self._feeds, self.outputs,
                samples=_MORE * job.samples, seed=job.seed, coarse=job.coarse,
            )  # fmt: skip
        return self._more

    def _flips(self) -> Floors:
        """The floors of runs in which decisions have flipped, made when they are needed."""
        if self._flipped is None:
            job = self._job
            self._flipped = flipped_floors(
                job.referee, self._feeds, job.pairs,
                samples=job.samples, seed=job.seed, coarse=job.coarse,
            )  # fmt: skip
        return self._flipped


def _largest(noise: Floors, edge: str, off: Array) -> float:
    floor = noise.by_edge.get(edge)
    if floor is None or floor.rows.shape != off.shape:
        return float("inf") if off.any() else 0.0
    return float(np.max(floor.ratios(off), initial=0.0))
