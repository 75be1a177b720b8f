"""A candidate against the referee: a model in exact precision, and what rounding explains."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from embedx.errors import ConfigError, InputError
from embedx.machine import machine
from embedx.model.graph import Graph
from embedx.observe.sites import find_sites
from embedx.oracle.candidates import Stored
from embedx.oracle.comparison import Comparison, Output, Place, begins
from embedx.oracle.detail import Detail, joined
from embedx.oracle.inputs import described
from embedx.oracle.judging import Finding, Job, judged_run
from embedx.oracle.local import segments
from embedx.oracle.matching import cause, coarseness, lacking
from embedx.oracle.noise import may_decide
from embedx.oracle.opened import Feeds, Opened, opened
from embedx.oracle.steps import SAME, Coarse
from embedx.oracle.verdicts import LINE, VERDICTS, Verdict, is_worse, worst
from embedx.run.engine import Source

Level: TypeAlias = Literal["outputs", "sites", "nodes"]

_FEWEST = 2
"""Samples of noise for each of the feeds, however many there are."""


def compare(
    model: Source | None,
    candidate: Source | Mapping[str, Any] | None = None,
    *,
    with_: str = "embedx",
    inputs: Feeds | None = None,
    texts: Sequence[str] | None = None,
    level: Level = "outputs",
    samples: int = 8,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    allow: Verdict = "quantization",
    disabled_optimizers: Sequence[str] = (),
) -> Comparison:
    """Judge a candidate by what exact arithmetic gives, and by what rounding explains.

    ``model`` is run by the referee: embedx in exact precision. ``candidate`` is another model, or
    the outputs (or inner values) of runs: an ``.npz``, a folder of ONNX's test data, or a mapping;
    None is the same model. A model is run by the engine ``with_`` (``candidates.ENGINES``).
    ``inputs`` are feeds, or a file of them (``data_sets.feeds_from``); else they are made of
    ``texts`` by the model's tokenizer, taken from the candidate's folder, or made up.

    At level ``"outputs"`` the outputs are judged by the noise floor: ``samples`` runs with noise of
    the size of rounding, the same for the same ``seed``, shared out among the feeds. At ``"sites"``
    and ``"nodes"`` each piece between watched edges is judged alone as well, by what the candidate
    itself had there. With ``rtol`` or ``atol`` an output beyond ``atol + rtol * |exact|`` is
    suspicious whatever explains it. ``disabled_optimizers`` are onnxruntime's.

    Raises ConfigError, InputError or ModelError for what cannot be compared.
    """
    start = time.perf_counter()
    if level not in ("outputs", "sites", "nodes"):
        raise ConfigError(f"level is outputs, sites or nodes, not {level!r}")
    if allow not in VERDICTS:
        raise ConfigError(f"allow is one of {', '.join(VERDICTS)}, not {allow!r}")
    if samples < _FEWEST:
        raise ConfigError(f"samples must be at least {_FEWEST}, not {samples}")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, and is {seed}")
    for name, number in (("rtol", rtol), ("atol", atol)):
        if number is not None and not 0 <= number < math.inf:
            raise ConfigError(f"{name} must be a number from 0 on, not {number}")
    inner = level != "outputs"
    with opened(
        model, candidate, with_, inputs, texts, inner=inner, disabled=disabled_optimizers
    ) as it:
        referee, feeds = it.referee, it.feeds
        pairs = _watched(it, level)
        share = max(_FEWEST, 2 * -(-samples // (2 * len(feeds))))
        coarse = coarseness(referee.graph, it.file, it.candidate.made)
        tolerance = None if rtol is None and atol is None else (rtol or 0.0, atol or 0.0)
        job = Job(referee, it.candidate, pairs, inner, share, seed, coarse, tolerance)
        findings = [judged_run(job, one) for one in feeds]
    found = _Found(referee.graph, it.file, coarse, pairs, findings)
    names = [v.name for v in referee.graph.outputs]
    outputs = tuple(_output(name, found.of(name)) for name in names if found.of(name))
    places = _places(found) if level != "outputs" else ()
    decides = any(map(may_decide, referee.graph.walk()))
    verdict, why, first = _concluded(outputs, places, level, allow, decides)
    absent = [name for name in names if name in referee.graph.producers() and not found.of(name)]
    if absent and it.file is not None:
        why += f" (the candidate has no output {absent[0]!r})"
    return Comparison(
        verdict, it.reference.name, it.candidate.name, level,
        tuple(described(one) for one in feeds), outputs, places, first, why,
        _next(verdict, level, model, candidate, with_, texts), allow,
        sum(place.flips for place in places),
        machine(), {"exact_runs": (share + 1) * len(feeds), "seconds": time.perf_counter() - start},
        referee.graph.name,
    )  # fmt: skip


def _watched(it: Opened, level: Level) -> dict[str, str]:
    """Those of these edges that are watched at a level."""
    graph, pairs = it.referee.graph, it.pairs(inner=level != "outputs")
    outputs = {v.name for v in graph.outputs} & graph.producers().keys()
    missing = sorted(outputs - pairs.keys())
    if not outputs:
        raise InputError(f"{it.reference.name} computes no output, so there is nothing to compare")
    if missing and (level == "outputs" or outputs & pairs.keys()) and it.file is None:
        raise InputError(f"{it.candidate.name}: there is no value of the output {missing[0]!r}")
    if level == "outputs":
        pairs = {edge: other for edge, other in pairs.items() if edge in outputs}
    elif level == "sites" and not isinstance(it.candidate, Stored):
        wanted = outputs | {site.edge for site in find_sites(graph).values()}
        pairs = {edge: other for edge, other in pairs.items() if edge in wanted}
    if not pairs:
        raise InputError(f"{it.candidate.name} has none of the values {', '.join(sorted(outputs))}")
    return pairs


@dataclass(frozen=True, eq=False)
class _Found:
    """All that the runs say."""

    graph: Graph
    """The referee's."""
    file: Graph | None
    """The candidate's, if its file is another."""
    coarse: Coarse
    pairs: Mapping[str, str]
    runs: Sequence[Mapping[str, Finding]]

    def of(self, edge: str) -> list[Finding]:
        """What each run says of an edge."""
        return [found[edge] for found in self.runs if edge in found]

    def worst_run(self, edge: str) -> int:
        """The run in which what happens at an edge, by itself, is worst."""

        def key(run: int) -> tuple[int, float]:
            found = self.runs[run].get(edge)
            if found is None or found.local is None:
                return -1, 0.0
            return VERDICTS.index(found.local.verdict), found.local.ratio or 0.0

        return max(range(len(self.runs)), key=key, default=0)


def _output(name: str, several: Sequence[Finding]) -> Output:
    verdict = worst(f.verdict for f in several)
    measured: dict[str, float | None] = {}
    for key in several[0].metrics:
        values = [v for f in several if (v := f.metrics.get(key)) is not None]
        least = key == "cosine" or key.endswith("_db")
        measured[key] = (min if least else max)(values) if values else None
    ratio, flips = _most(f.ratio for f in several), _total(f.flips for f in several)
    why = _why(several, verdict)
    return Output(name, verdict, ratio, flips, measured, why, _detail(several))


def _places(found: _Found) -> tuple[Place, ...]:
    """The watched edges of which some run says something, in the graph's order."""
    sites = {site.edge: name for name, site in find_sites(found.graph).items()}
    places = []
    for piece in segments(found.graph, found.pairs):
        several = found.of(piece.edge)
        locals_ = [f.local for f in several if f.local is not None]
        if not locals_:
            continue
        verdict = worst(one.verdict for one in locals_)
        why = next((one.why for one in locals_ if one.verdict == verdict and one.why), "")
        node = piece.nodes[-1]
        if found.file is not None and verdict != "identical":
            wrong = is_worse(verdict, "quantization")
            told = cause(piece.nodes, found.graph, found.file, found.pairs, of_floats=not wrong)
            if wrong:
                node = lacking(piece.nodes[:-1], found.file) or node
            if told is not None and (wrong or found.coarse is SAME):
                node, why = told[0], "; ".join(filter(None, (told[1], why)))
                verdict = worst((verdict, "suspicious"))
        places.append(
            Place(
                node.name or piece.edge, piece.edge, node.operator, sites.get(piece.edge), verdict,
                _most(one.ratio for one in locals_), _most(f.ratio for f in several),
                _total(f.flips for f in several) or 0,
                tuple(n.name or n.outputs[0] for n in piece.nodes), why, _detail(several),
                (_most(f.seconds[0] for f in several), _most(f.seconds[1] for f in several)),
                found.worst_run(piece.edge),
            )
        )  # fmt: skip
    return tuple(places)


def _concluded(
    outputs: Sequence[Output], places: Sequence[Place], level: Level, allow: Verdict, decides: bool
) -> tuple[Verdict, str, Place | None]:
    """The verdict on all, why, and the first place that is worse than allowed."""
    inside, outside = worst(p.verdict for p in places), worst(o.verdict for o in outputs)
    first = next((p for p in places if is_worse(p.verdict, allow)), None)
    flipped = any(place.flips for place in places)
    if level == "nodes" and places and not is_worse(inside, "quantization"):
        if decides and outside == "suspicious":
            outside = "quantization"  # a flip grows through the layers, and each node is right
        elif not flipped and inside != "quantization" and outside == "quantization":
            outside = "rounding"  # roundings to integers might have fallen otherwise, and none has
    verdict = worst((inside, outside))
    if first is not None:
        return verdict, f"{_named(first)}: {first.why}", first
    if flipped and verdict == "quantization":
        pieces = "node" if level == "nodes" else "piece"
        return verdict, f"{begins(places).rstrip('.')}; each {pieces} is right", None
    return verdict, _told(verdict, outputs), None


def _named(place: Place) -> str:
    return f"{place.op_type} {place.name!r}" + f" ({place.site})" * bool(place.site)


def _told(verdict: Verdict, outputs: Sequence[Output]) -> str:
    if verdict == "identical":
        return "every bit is what exact arithmetic gives, rounded once at each operator"
    of_it = [o for o in outputs if o.verdict == verdict] or outputs
    output = max(of_it, key=lambda o: o.noise_ratio or 0.0)
    if output.why:
        return f"{output.name}: {output.why}"
    ratio = output.noise_ratio or 0.0
    if verdict == "suspicious":
        far = f"{output.name} is {ratio:.3g} noise floors off, and {LINE:g} would be much"
        return f"rounding does not explain it: {far}"
    what = "rounding to integers" if verdict == "quantization" else "rounding"
    return f"{what} explains it: {output.name} is {ratio:.3g} noise floors off (line: {LINE:g})"


def _next(
    verdict: Verdict, level: Level, model: Any, candidate: Any, engine: str, texts: Any
) -> str:
    """A command that tells more, if the models are files."""
    names = [model, *([] if candidate is None else [candidate])]
    if not all(isinstance(n, str | os.PathLike) for n in names) or verdict in (
        "identical",
        "rounding",
    ):
        return ""
    words = [
        *map(str, names),
        "--with",
        engine,
        *(["--texts", "FILE"] if texts is not None else []),
    ]
    if level == "outputs":
        return shlex.join(["embedx", "compare", *words, "--level", "nodes"])
    if verdict == "quantization":
        return ""
    return shlex.join(["embedx", "bisect", *words])


def _why(several: Sequence[Finding], verdict: Verdict) -> str:
    return next((f.why for f in several if f.verdict == verdict and f.why), "")


def _detail(several: Sequence[Finding]) -> Detail | None:
    known = [(f.detail, f.ratio) for f in several if f.detail is not None]
    return joined([one for one, _ in known], [ratio for _, ratio in known])


def _most(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _total(values: Iterable[int | None]) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
