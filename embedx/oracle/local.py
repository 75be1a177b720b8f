"""One piece of a model judged alone: from a candidate's own inputs to its own output.

What the candidate has got wrong before is not held against it: the exact operators are given what
the candidate had, and what it made of that is measured against what they make.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx.model.graph import Array, Graph, Node, TensorType, Type, Value, full, reads
from embedx.ops import is_floating, resolve
from embedx.oracle.floor import Floor, column_rms, difference, flipped_floors, floors, row_rms
from embedx.oracle.noise import Noise, is_product, may_decide, of_products, rounds, unit_of
from embedx.oracle.steps import SAME, Coarse
from embedx.oracle.verdicts import LINE, STEP_LINE, Verdict
from embedx.rewrite.normal import drop_dead
from embedx.rewrite.retype import carry_halves_wide
from embedx.run.engine import Engine
from embedx.workers import threads

_SOFTMAX = ("Softmax", "LogSoftmax")
_BOUNDED = ("Cos", "Erf", "Sigmoid", "Sin", "Tanh")
"""Functions up to 1 that runtimes approximate by an absolute error: onnxruntime's Sigmoid is 3,477
units in the last place off at -8.8, which is 4e-8."""
_MANY = 100.0
"""No column is measured by less than so small a part of the noisiest one's floor."""

_RAISED = 16.0
"""How many times more noise decides: a candidate's own inputs are known, up to a hair."""

_SAMPLES, _TO_BE_SURE = 4, 32
"""Runs with noise; of thousands of rows some have little of it in few runs, by chance."""

_OFF_BY_ONE = 0.25
"""Which share of integers may be one step off behind a piece that rounds before, such as a Softmax
in 8 bits that a runtime looks up in a table."""

_NOISY_RUNS = 32
_TIE = 1e-6
"""How near to a tie, relative to its input, a decision may fall either way."""


@dataclass(frozen=True, eq=False)
class Segment:
    """The nodes between watched edges: those that make one of some others."""

    edge: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    """Watched edges and the graph's inputs that the nodes read."""


@dataclass(frozen=True)
class Local:
    """What a piece alone has got wrong."""

    verdict: Verdict
    ratio: float | None
    """How many times what rounding explains it is off; None for what is no float."""
    flips: int = 0
    why: str = ""


def segments(graph: Graph, watched: Collection[str]) -> Iterator[Segment]:
    """The segment of each watched edge that a node makes, in the graph's order."""
    producers = graph.producers()
    places = {id(node): place for place, node in enumerate(graph.nodes)}
    known = {*watched, *(v.name for v in graph.inputs)}
    for first in graph.nodes:
        for edge in first.outputs:
            if edge not in watched:
                continue
            nodes, given, waiting = {id(first): first}, dict[str, None](), [first]
            while waiting:
                for name in reads(waiting.pop()):
                    node = producers.get(name)
                    if name in known and name != edge:
                        given[name] = None
                    elif node is not None and id(node) not in nodes:
                        nodes[id(node)] = node
                        waiting.append(node)
            inner = sorted(nodes.values(), key=lambda node: places[id(node)])
            yield Segment(edge, tuple(inner), tuple(given))


def judged(
    graph: Graph,
    segment: Segment,
    given: Mapping[str, Any],
    value: Any,
    keep: Array | None,
    *,
    coarse: Coarse = SAME,
    seed: int = 0,
) -> Local | None:
    """How a candidate's ``value`` of a segment fits the inputs that it had there.

    ``keep`` are the elements that count; ``coarse`` is how the candidate's file is coarser. None
    for what is no tensor, or is random.
    """
    if not all(isinstance(v, np.ndarray) for v in (value, *given.values())):
        return None
    if not all(resolve(n.op_type, n.opset, n.domain).pure for n in segment.nodes):
        return None
    alone = as_graph(graph, segment, [_declared(n, given[n]) for n in segment.inputs])
    engine = Engine(alone, precision="exact", max_bytes=_room(given))
    (exact,) = engine.run(given)
    if not isinstance(exact, np.ndarray):
        return None
    if exact.shape != value.shape:
        return Local(
            "impossible",
            None,
            why=f"it has the shape {list(value.shape)} instead of {list(exact.shape)}",
        )
    if exact.dtype == value.dtype and np.array_equal(
        exact, value, equal_nan=exact.dtype.kind == "f"
    ):
        return Local("identical", 0.0 if is_floating(exact.dtype) else None)
    if not is_floating(exact.dtype):
        return _integers(engine, segment, given, exact, value)
    off = difference(value, exact)
    return _floats(engine, segment, given, exact, off, keep, _coarser(coarse, value, exact), seed)


def _room(given: Mapping[str, Any]) -> int:
    """Bytes that a piece may take: what it is given fitted in there, too."""
    return 2**32 + 64 * sum(v.nbytes for v in given.values())


def _coarser(coarse: Coarse, value: Array, exact: Array) -> Coarse:
    """The same for a value that is of a narrower type than the exact one."""
    if value.dtype.itemsize >= exact.dtype.itemsize:
        return coarse
    return replace(coarse, unit=max(coarse.unit, unit_of(value.dtype)))


def _declared(name: str, value: Array) -> Value:
    return Value(name, TensorType(value.dtype, (None,) * value.ndim))


def as_graph(graph: Graph, segment: Segment, inputs: Sequence[Value], kind: Type = None) -> Graph:
    """The segment as a graph of its own, with these inputs, and an output of this type."""
    given = {v.name for v in inputs}
    # Of a node with several results one may be given, and another wanted.
    nodes = (
        replace(node, outputs=tuple(f"{n} again" if n in given else n for n in node.outputs))
        for node in segment.nodes
    )
    alone = replace(
        graph, inputs=tuple(inputs), outputs=(Value(segment.edge, kind),), nodes=tuple(nodes),
        initializers={k: v for k, v in graph.initializers.items() if k not in given},
        values={}, files=(),
    )  # fmt: skip
    return drop_dead(alone)


def _integers(
    engine: Engine, segment: Segment, given: Mapping[str, Any], exact: Array, value: Array
) -> Local:
    """Integers are equal, or they were decided by a hair."""
    wrong = np.asarray(exact != value)
    if any(map(may_decide, segment.nodes)) and exact.dtype.kind in "iub":
        near = _near_ties(engine, given, exact)
        if not (wrong & ~near).any():
            return Local(
                "quantization", None, int(wrong.sum()), "decisions at a tie fell otherwise"
            )
        steps = np.abs(value.astype(np.int64) - exact.astype(np.int64))
        if len(segment.nodes) > 1 and steps.max() == 1 and wrong.mean() <= _OFF_BY_ONE:
            told = "integers are one step off where rounding stands in front of them"
            return Local("quantization", None, int(wrong.sum()), told)
        wrong &= ~near
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return Local(
        "impossible", None, int(wrong.sum()),
        f"{int(wrong.sum())} of {wrong.size} integers differ: at {list(place)} "
        f"{value[place]} instead of {exact[place]}",
    )  # fmt: skip


def _near_ties(engine: Engine, given: Mapping[str, Any], exact: Array) -> Array:
    """Which results are others if an input is moved by a hair, in one direction or at random."""
    generator = np.random.default_rng(0)
    found = np.zeros(exact.shape, bool)
    for name, x in given.items():
        if not is_floating(x.dtype):
            continue
        hair = max(_TIE, 4 * unit_of(x.dtype))
        normals = (generator.standard_normal(x.shape) for _ in range(4))
        for step in (hair, -hair, *(hair * n for n in normals)):
            moved = (x.astype(np.float64) * (1 + step)).astype(x.dtype)
            (other,) = engine.run({**given, name: moved})
            found |= np.asarray(other != exact)
    if len(engine.graph.nodes) == 1:
        return found
    # What is rounded in between decides, too, and halves may be carried in float32 there.
    wide = Engine(carry_halves_wide(engine.graph), precision="exact")
    for one in (engine, wide):
        for seed in range(_NOISY_RUNS):
            noise = Noise(one.graph, seed=seed, flipping=1.0, everywhere=True)
            *_, last = one.walk(given, noise.around)
            found |= np.asarray(last.outputs[0] != exact)
    return found


def _floats(
    engine: Engine, segment: Segment, given: Mapping[str, Any], exact: Array, off: Array,
    keep: Array | None, coarse: Coarse, seed: int,
) -> Local:  # fmt: skip
    if keep is not None:
        off = np.where(keep, off, 0.0)
    if not off.any():
        return Local("rounding", 0.0)
    rounding = [node for node in segment.nodes if rounds(node)]
    deciding = [node for node in segment.nodes if may_decide(node)]
    stepped = any(name in coarse.steps for node in segment.nodes for name in node.outputs)
    halves = any(x.dtype.itemsize == 2 and is_floating(x.dtype) for x in given.values())
    if not (rounding or deciding or coarse.unit or stepped or halves):
        place = tuple(int(i) for i in np.argwhere(off)[0])
        return Local(
            "impossible", float("inf"),
            why=f"values that are only moved are others: at {list(place)} by {off[place]:.3g}",
        )  # fmt: skip
    # Runtimes keep chains of half precision in float32, so its products had other inputs, too.
    plain = exact.dtype.itemsize > 2 and not stepped
    if plain and len(segment.nodes) == 1 and rounding and is_product(rounding[0]):
        return _product(rounding[0], segment, engine.graph, given, exact, off, coarse.unit)
    rows = row_rms(off)
    options: dict[str, Any] = {"seed": seed, "coarse": coarse, "moving": not stepped}
    least = _least(segment, exact, coarse) if rounding else np.zeros(2)
    for samples in (_SAMPLES, _TO_BE_SURE):
        found = floors(engine, given, {segment.edge}, samples=samples, **options)
        floor = found.by_edge[segment.edge]
        last = np.maximum(least[0] * floor.sizes, least[1])
        floor = replace(floor, rows=np.maximum(floor.rows, last))
        ratio = _ratio(floor.ratios(rows))
        if ratio <= LINE:
            break
    if stepped:
        linear = all(is_product(node) or node.op_type == "Add" for node in rounding)
        return _stepwise(off, floor, linear)
    if ratio <= LINE:
        flipping = deciding and any(found.flips.values())
        return Local("quantization" if flipping else "rounding", ratio)
    if deciding:
        flipped = flipped_floors(engine, given, {segment.edge}, **options, most=_RAISED)
        also = _ratio(flipped.by_edge[segment.edge].ratios(rows))
        if also <= LINE:
            return Local("quantization", also, why="decisions inside it fell otherwise")
    return Local("suspicious", ratio, why=f"it is off by {ratio:.3g} times what rounding explains")


def _least(segment: Segment, exact: Array, coarse: Coarse) -> Array:
    """What a row may be off by at least: relative to its size, and absolutely.

    Few samples may miss the rounding of a row that one large element outweighs.
    """
    unit = max(coarse.unit, unit_of(exact.dtype))
    relative = absolute = unit
    if any(node.op_type in _SOFTMAX for node in segment.nodes):
        relative *= np.sqrt(exact.shape[-1]) / 2  # each small summand may round what is there
    if segment.nodes[-1].op_type not in _BOUNDED:
        absolute = 0.0
    return np.array([relative, absolute])


def _stepwise(off: Array, floor: Floor, linear: bool) -> Local:
    """A product whose factors are rounded to steps: as a whole, by rows, and by columns.

    The columns of ``linear`` pieces alone are: where a function is flat, it has hardly any noise.
    """
    rows = row_rms(off)
    whole = float(np.sqrt(np.square(rows).sum() / np.square(floor.rows).sum()))
    each = column_rms(off) / np.maximum(floor.columns, floor.columns.max() / _MANY)
    by_column = _ratio(each) if linear else 0.0
    ratio = _ratio(floor.ratios(rows))
    if whole <= (STEP_LINE if linear else 2 * STEP_LINE) and max(ratio, by_column / 2) <= LINE:
        return Local("quantization", whole)
    worst = max(whole, ratio, by_column)
    where = f" at [..., {int(np.argmax(each))}]" if by_column == worst else ""
    told = f"it is off by {worst:.3g} times what rounding to integers must add{where}"
    return Local("suspicious", worst, why=told)


def _ratio(ratios: Array) -> float:
    return float(np.max(ratios, initial=0.0))


def _product(
    node: Node, segment: Segment, graph: Graph, given: Mapping[str, Any], exact: Array, off: Array,
    unit: float,
) -> Local:  # fmt: skip
    """A sum of products against what an order of summation can do to it.

    Any order stays within (K + 1) u |A| |B| for K summands (Higham 2002, Accuracy and Stability of
    Numerical Algorithms, section 3.1); with rounding errors of random sign it is about sqrt(K)
    instead of K (Higham and Mary 2019, A new approach to probabilistic rounding error analysis).
    """
    inputs = [given.get(name, full(graph.initializers.get(name))) for name in node.inputs]
    with threads(1):
        size = of_products(node, inputs, np.abs)
    terms = _terms(node, inputs)
    summing = max(unit_of(np.dtype(np.float32)) if exact.dtype.itemsize < 8 else 2.0**-53, unit)
    # Both sides have rounded their sum to the result's type, and not always to the same side.
    last = 2.02 * max(unit_of(exact.dtype), unit) * np.abs(exact.astype(np.float64))
    with np.errstate(all="ignore"):
        ratios = np.where(off == 0, 0.0, np.maximum(np.abs(off) - last, 0) / (summing * size))
    place = tuple(int(i) for i in np.unravel_index(np.argmax(ratios), ratios.shape))
    most = float(ratios[place])
    ratio = float(most / np.sqrt(terms))
    if ratio <= LINE and most <= terms + 1:
        return Local("rounding", ratio)
    where = f"at {list(place)} it is off by {abs(off[place]):.3g}, {most:.3g} u |A||B|"
    if most > terms + 1:
        return Local(
            "impossible",
            ratio,
            why=f"{where}; no order of {terms} summands costs more than {terms + 1}",
        )
    return Local("suspicious", ratio, why=f"{where}, for {terms} summands")


def _terms(node: Node, inputs: Sequence[Any]) -> int:
    """How many products a sum has, a bias included."""
    if node.op_type == "MatMul":
        return max(int(inputs[0].shape[-1]), 1)
    return max(int(of_products(node, inputs, np.ones_like).max(initial=1)), 1)
