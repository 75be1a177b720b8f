"""A comparison for other tools: Model Explorer, Perfetto, and what reads torch.onnx's reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, TypeAlias, get_args

from embedx.errors import ConfigError
from embedx.html import COLOURS
from embedx.oracle.comparison import Comparison, Place, json_number
from embedx.oracle.detail import EDGES, Detail
from embedx.oracle.verdicts import LINE, VERDICTS, Verdict

Metric: TypeAlias = Literal["local", "cumulative", "deviation", "flips"]

METRICS: tuple[Metric, ...] = get_args(Metric)
"""What a node's value in Model Explorer may be, as the fields of ``Place`` are called."""

_MAIN = "main_graph"
"""What PyTorch and Model Explorer's own adapters call a model's graph."""

_ENDLESS = 1e308
"""Above every value: Model Explorer's thresholds are upper bounds."""


def model_explorer(comparison: Comparison, metric: Metric | None = None) -> dict[str, Any]:
    """Node data for Model Explorer: a value and a colour for each node that has been compared.

    The keys are the ids that the ONNX adapter (``model-explorer-onnx``) gives the nodes: their
    names in the file, and ``[value] NAME`` for an output. Nodes without a name go by their first
    output, which adapters that tell of tensors' names find. A node that several places cover has
    the best of their verdicts, for what is part of a right piece is right. A graph of another name
    than ``main_graph`` is in the data under both.

    ``metric`` is ``"local"`` if places have been compared, and ``"cumulative"`` for outputs alone.
    Raises ConfigError for what is no metric, and for local values where only outputs are known.
    """
    metric = metric or ("local" if comparison.places else "cumulative")
    if metric not in METRICS:
        raise ConfigError(f"the metric is one of {', '.join(METRICS)}, not {metric!r}")
    if metric == "local" and not comparison.places:
        raise ConfigError(
            "nodes have local values where they are compared: at level sites or nodes"
        )
    results: dict[str, Any] = {}
    for place in sorted(comparison.places, key=lambda p: -VERDICTS.index(p.verdict)):
        value = getattr(place, metric)
        if place.verdict == "identical" and metric == "local":
            value = 0.0  # integers, too, which have no floor
        results.update(_results(place.covers, metric, value, place.verdict))
    for output in comparison.outputs if metric != "local" else ():
        deviation = None if output.detail is None else output.detail.deviation
        known = {"cumulative": output.noise_ratio, "deviation": deviation, "flips": output.flips}
        results.update(_results([f"[value] {output.name}"], metric, known[metric], output.verdict))
    data = {"results": results, "thresholds": _thresholds(metric)}
    return dict.fromkeys((_MAIN, comparison.graph or _MAIN), data)


def _results(
    nodes: Iterable[str], metric: Metric, value: float | None, verdict: Verdict
) -> Iterator[tuple[str, Any]]:
    """The colour is the verdict's; that of what has come together so far is of its size."""
    if value is not None:
        colour = COLOURS[verdict][0]
        if metric == "cumulative":
            colour = next(
                (t["bgColor"] for t in _thresholds(metric) if value <= t["value"]), colour
            )
        shown = {"value": json_number(value), "bgColor": colour}
        yield from ((node, shown) for node in nodes)


def _thresholds(metric: Metric) -> list[dict[str, Any]]:
    if metric == "deviation":  # what is much depends on the place
        return []
    steps: list[tuple[float, str]] = [
        (0.0, "identical"),
        (LINE, "rounding"),
        (_ENDLESS, "suspicious"),
    ]
    if metric == "flips":
        steps = [(0.0, "identical"), (_ENDLESS, "quantization")]
    return [{"value": value, "bgColor": COLOURS[verdict][0]} for value, verdict in steps]


def trace_events(comparison: Comparison) -> dict[str, Any]:
    """The places as a timeline in the Trace Event Format, which Perfetto and Chrome open.

    A process each for the reference, in exact precision, and for the candidate where its times are
    known; where none are, all places are equally long. Beside the nodes run the layers, the
    verdicts, and the noise ratios as counters.
    """
    places = comparison.places
    both = [[p.seconds[side] for p in places] for side in (0, 1)]
    events: list[dict[str, Any]] = []
    if places:
        reference = _ends(both[0])
        events += _process(1, f"reference: {comparison.reference}", places, reference)
        events += _beside(1, places, reference)
        if any(seconds is not None for seconds in both[1]):
            named = f"candidate: {comparison.candidate}"
            events += _process(2, named, places, _ends(both[1]))
    if comparison.first is not None:
        start = [0.0, *reference][places.index(comparison.first)]
        events.append(
            {"ph": "i", "s": "g", "name": "it begins here", "pid": 1, "tid": 1, "ts": start}
        )
    told = {"verdict": comparison.verdict, "why": comparison.why, "timed": _timed(both[0])}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": told}


def _timed(seconds: Sequence[float | None]) -> bool:
    return any(one is not None for one in seconds)


def _ends(seconds: Sequence[float | None]) -> list[float]:
    """When each place ends, in microseconds; with a length of one where no time is known."""
    timed = _timed(seconds)
    found, now = [], 0.0
    for one in seconds:
        now += 1e6 * (one or 0.0) if timed else 1.0
        found.append(now)
    return found


def _process(
    pid: int, name: str, places: Sequence[Place], ends: Sequence[float]
) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
    yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": 1, "args": {"name": "nodes"}}
    for place, start, end in zip(places, [0.0, *ends], ends, strict=False):
        yield {
            "ph": "X", "name": place.op_type, "cat": place.verdict, "pid": pid, "tid": 1,
            "ts": start, "dur": end - start,
            "args": {
                "node": place.name, "edge": place.edge, "site": place.site,
                "verdict": place.verdict, "local": json_number(place.local),
                "cumulative": json_number(place.cumulative), "flips": place.flips,
                "covers": list(place.covers), "why": place.why,
            },
        }  # fmt: skip


def _beside(pid: int, places: Sequence[Place], ends: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Layers, verdicts and noise ratios along the reference's time."""
    tracks: dict[int, tuple[str, Sequence[str]]] = {
        2: ("layers", _layers(places)), 3: ("verdicts", [p.verdict for p in places]),
    }  # fmt: skip
    starts = [0.0, *ends]
    for tid, (title, names) in tracks.items():
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": title}}
        for name, group in groupby(range(len(places)), key=lambda i: names[i]):
            inside = list(group)
            start, end = starts[inside[0]], ends[inside[-1]]
            yield {
                "ph": "X", "name": name, "cat": title, "pid": pid, "tid": tid, "ts": start,
                "dur": end - start, "args": {"places": len(inside)},
            }  # fmt: skip
    for place, start in zip(places, starts, strict=False):
        for title, value in (("here", place.local), ("so far", place.cumulative)):
            if value is not None and value < float("inf"):
                yield {
                    "ph": "C", "name": f"noise ratio {title}", "pid": pid, "ts": start,
                    "args": {"times": value},
                }  # fmt: skip


def _layers(places: Sequence[Place]) -> list[str]:
    """In which layer each place is, as far as the sites behind it tell."""
    found, layer = [], "behind the layers"
    for place in reversed(places):
        if place.site:
            words = place.site.split(".")
            layer = ".".join(words[:2]) if words[0] == "layers" else words[0]
        found.append(layer)
    return found[::-1]


def verification_info(comparison: Comparison) -> list[dict[str, Any]]:
    """The outputs, then the places inside, with the fields of torch.onnx's ``VerificationInfo``.

    They are as its ``asdict()`` gives them: histograms are counts and the edges of their bins, and
    relative differences are of the exact value's size and 1e-7 more.
    """
    outputs = {o.name: o.detail for o in comparison.outputs}
    inside = {p.edge: p.detail for p in comparison.places if p.edge not in outputs}
    return [*_verified(outputs), *_verified(inside)]


def _verified(details: Mapping[str, Detail | None]) -> Iterator[dict[str, Any]]:
    for name, seen in details.items():
        if seen is not None and seen.abs_counts:
            yield {
                "name": name,
                "max_abs_diff": json_number(seen.max_abs),
                "max_rel_diff": json_number(seen.max_rel),
                "abs_diff_hist": _histogram(seen.abs_counts),
                "rel_diff_hist": _histogram(seen.rel_counts),
                "expected_dtype": f"torch.{seen.types[0]}",
                "actual_dtype": f"torch.{seen.types[1]}",
            }


def _histogram(counts: Iterable[int]) -> list[list[float]]:
    return [[float(n) for n in counts], list(EDGES)]
