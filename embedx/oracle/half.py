"""Where half precision would fail a float32 model, and which nodes are to stay in float32.

The model runs as a converter to float16 would leave it: constants and the results of all nodes are
rounded to float16, where constants that are too large become 65504, and too small ones 5.96e-08, as
in onnxruntime's and onnxconverter-common's converters. A result may be too large, and so infinite.
Or it is so small that little is left of it: below 6.1e-05 numbers lose digits, below 3e-08 there is
only 0. Small numbers beside large ones do no harm, so what counts is how much of a row is lost,
where a row runs along the last axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx.model.graph import Array, Graph, Node, SparseTensor, full, reads
from embedx.rewrite.normal import constants_as_initializers, with_fed
from embedx.run.binding import bind
from embedx.run.engine import Engine
from embedx.run.execute import Compute
from embedx.run.step import Step

LARGEST = 65504.0
"""The largest number of float16."""
_LEAST = 5.96e-08
_NORMAL = 2.0**-14
_LOST = 1e-4
"""If more than this share of its energy is lost (40 dB), a row is lost."""
_ATTEMPTS = 5
"""So often a list of nodes is tried, and made longer by what then shows."""


@dataclass(frozen=True, eq=False)
class Trouble:
    """A node whose result half precision cannot hold."""

    node: Node
    largest: float
    """Its largest absolute value."""
    overflows: int
    """How many numbers are too large."""
    lost: int
    """How many rows are lost, being too small, or made of a constant that half precision lacks."""
    batch: int
    """In which batch it was first seen."""
    edges: frozenset[str]
    """What must not be rounded to half precision."""


@dataclass(frozen=True, eq=False)
class Broken:
    """The first node that makes NaN or Inf of numbers."""

    node: Node
    what: str
    batch: int


@dataclass(frozen=True, eq=False)
class Half:
    """What half precision does to a model."""

    troubles: tuple[Trouble, ...]
    """In the order in which they are computed."""
    node_block_list: tuple[str, ...]
    """The nodes that must stay in float32: those in trouble, and who reads what they make."""
    nameless: tuple[str, ...]
    """Nodes that belong to that list and have no name by which a converter could know them."""
    first: Broken | None
    """What breaks first in half precision and does not in float32."""
    first_in_float: Broken | None
    """What breaks first in float32, if the output is broken: a fault of the model itself."""
    denormal: float
    """The share of all numbers but zeros that are too small to have all digits, or become 0."""
    in_float: tuple[Array, ...]
    """What comes out for each batch in float32,"""
    in_half: tuple[Array, ...]
    """in half precision,"""
    with_list: tuple[Array, ...]
    """and in half precision but for the nodes of the list."""


def half_precision(graph: Graph, batches: Sequence[Mapping[str, Array]]) -> Half:
    """What half precision would do to a float32 model with one output, in normal form.

    Batches should be padded, as padding shows what masks do.
    """
    graph = constants_as_initializers(with_fed(graph, set()))
    in_float = _Run(graph, None)
    in_half = _Run(_in_half(graph, set()), _Rounding(graph))
    floats, halves = (tuple(map(run.output, batches)) for run in (in_float, in_half))
    seen: dict[str, Trouble] = {}
    blocked, wide = set[str](), frozenset[str]()
    for _ in range(_ATTEMPTS):
        careful = _Rounding(graph, wide, careful=True)
        outputs = tuple(map(_Run(_in_half(graph, blocked), careful).output, batches))
        if not careful.troubles.keys() - seen.keys():
            break
        seen = {**careful.troubles, **seen}
        wide = frozenset[str]().union(*(t.edges for t in seen.values()))
        blocked = {_key(n) for n in graph.nodes if not wide.isdisjoint((*reads(n), *n.outputs))}
    nodes = [n for n in graph.nodes if _key(n) in blocked]
    order = {_key(node): i for i, node in enumerate(graph.nodes)}
    fine = all(np.isfinite(x).all() for x in floats)
    return Half(
        troubles=tuple(seen[k] for k in sorted(seen, key=lambda k: order.get(k, -1))),
        node_block_list=tuple(n.name for n in nodes if n.name),
        nameless=tuple(str(n) for n in nodes if not n.name),
        first=next((b for k, b in in_half.broken.items() if k not in in_float.broken), None),
        first_in_float=None if fine else next(iter(in_float.broken.values()), None),
        denormal=careful.small / max(careful.numbers, 1),
        in_float=floats,
        in_half=halves,
        with_list=outputs,
    )


def first_broken(graph: Graph, batches: Sequence[Mapping[str, Array]]) -> Broken | None:
    """The first node of a graph in normal form that makes NaN or Inf of numbers."""
    run = _Run(graph, None)
    for feeds in batches:
        run.output(feeds)
    return next(iter(run.broken.values()), None)


def in_half(values: Array) -> Array:
    """Constants as converters write them in float16: finite ones stay finite, and none becomes 0.

    >>> in_half(np.float32([-1e-12, 0, 1e9, np.inf])).tolist()
    [-5.960464477539063e-08, 0.0, 65504.0, inf]
    """
    sizes = np.abs(values)
    finite = np.where(np.isfinite(values), np.clip(sizes, _LEAST, LARGEST), sizes)
    limited = np.where(values == 0, 0, np.copysign(finite, values))
    return np.asarray(limited.astype(np.float16).astype(np.float32))


def _in_half(graph: Graph, blocked: set[str]) -> Graph:
    """The graph with its constants in half precision, but for those that only ``blocked`` read."""
    readers = graph.consumers()
    narrow: dict[str, Array | SparseTensor] = {}
    for name, value in graph.initializers.items():
        whole = full(value)
        stays = all(_key(node) in blocked for node in readers.get(name, ()))
        narrow[name] = value if whole.dtype != np.float32 or stays else in_half(whole)
    return replace(graph, initializers=narrow)


def _key(node: Node) -> str:
    """What tells a node from all others: the first edge that it makes."""
    return next(filter(None, node.outputs), "")


class _Run:
    """Runs of a graph, in which numbers may be rounded, and the first that break."""

    def __init__(self, graph: Graph, rounding: _Rounding | None) -> None:
        self.engine = Engine(graph, precision="exact")
        self.rounding = rounding
        self.broken: dict[str, Broken] = {}
        self._batch = 0

    def output(self, feeds: Mapping[str, Array]) -> Array:
        """The first output for a batch."""
        made: dict[str, Any] = {}

        def around(step: Step, inputs: Sequence[Any], compute: Compute) -> Sequence[Any]:
            outputs = list(compute())
            if self.rounding is not None:
                self.rounding.round(step.node, inputs, outputs, self._batch)
            masks = set() if self.rounding is None else self.rounding.masks
            for name, value in zip(step.node.outputs, outputs, strict=False):
                what = _made(inputs, value)
                if what == "NaN" or (what and name not in masks):
                    self.broken.setdefault(name, Broken(step.node, what, self._batch))
            made.update(zip(step.node.outputs, outputs, strict=False))
            return outputs

        for _ in self.engine.walk(feeds, around):
            pass
        self._batch += 1
        return np.asarray(made[self.engine.output_names[0]])


def _made(inputs: Sequence[Any], output: Any) -> str | None:
    """NaN or Inf if a node makes them of what is neither."""
    if not _is_float(output) or np.isfinite(output).all():
        return None
    floats = [x for x in inputs if _is_float(x)]
    if np.isnan(output).any():
        return None if any(np.isnan(x).any() for x in floats) else "NaN"
    return "Inf" if all(np.isfinite(x).all() for x in floats) else None


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


class _Rounding:
    """Rounds what nodes make to half precision, and looks at what that does.

    With ``careful`` it leaves alone what would be in trouble, and the edges in ``wide``, so that
    what follows gets numbers to work with.
    """

    def __init__(
        self, graph: Graph, wide: frozenset[str] = frozenset(), *, careful: bool = False
    ) -> None:
        self.troubles: dict[str, Trouble] = {}
        self.numbers = self.small = 0
        self._wide, self._careful = wide, careful
        constants = {k: v for k, v in graph.constants.items() if v.dtype == np.float32}
        dense = {k: v for k, v in constants.items() if isinstance(v, np.ndarray) and v.size}
        self.masks = {k for k, v in dense.items() if _is_mask(v)}
        """Edges with what masks are filled with, which may as well be infinite."""
        changed = {k for k, v in dense.items() if _changes(v)} - self.masks - wide
        self._changed = {k: dense[k] for k in changed}
        """Constants that half precision cannot hold."""

    def round(self, node: Node, inputs: Sequence[Any], outputs: list[Any], batch: int) -> None:
        """Put rounded results in place of a node's."""
        for i, name in enumerate(node.outputs[: len(outputs)]):
            value = outputs[i]
            if not name or not _is_float(value) or value.dtype != np.float32:
                continue
            if node.op_type == "ConstantOfShape":
                outputs[i] = in_half(value)
            elif not (self._careful and self._trouble(node, name, inputs, value, batch)):
                with np.errstate(over="ignore"):
                    outputs[i] = value.astype(np.float16).astype(np.float32)
            if value.size and value.min() <= -LARGEST and not self.masks.isdisjoint(node.inputs):
                self.masks.add(name)

    def _trouble(
        self, node: Node, name: str, inputs: Sequence[Any], value: Array, batch: int
    ) -> bool:
        """Whether half precision cannot hold a result, or need not, as others have found."""
        sizes = np.abs(value)
        finite = np.isfinite(value)
        self.numbers += int(np.count_nonzero(sizes))
        self.small += int(np.count_nonzero((sizes > 0) & (sizes < _NORMAL)))
        if name in self._wide:
            return True
        masks = self.masks.intersection(node.inputs)
        over = finite & (sizes > LARGEST)
        if masks:
            over &= value > 0
        with np.errstate(over="ignore", invalid="ignore"):
            noise = np.where(np.abs(value) > LARGEST, 0, value - value.astype(np.float16))
            noise = np.where(finite, noise, 0)
        lost = _lost_rows(np.where(finite, value, 0), noise)
        edges = {name}
        constants = self._changed.keys() & set(node.inputs)
        if constants:
            right = self._with_constants(node, inputs)
            lost_by_constant = _lost_rows(right, right - value)
            edges |= constants if lost_by_constant else set()
            lost = max(lost, lost_by_constant)
        nan = bool(np.isnan(value).any()) and not any(
            _is_float(x) and np.isnan(x).any() for x in inputs
        )
        if nan:
            edges |= masks
        if not (over.any() or lost or nan):
            return False
        key = _key(node)
        last = self.troubles.get(key)
        largest = float(sizes[finite].max(initial=0))
        self.troubles[key] = Trouble(
            node,
            max(largest, last.largest if last else 0),
            int(np.count_nonzero(over)) + (last.overflows if last else 0),
            lost + (last.lost if last else 0),
            last.batch if last else batch,
            frozenset(edges) | (last.edges if last else frozenset()),
        )
        return True

    def _with_constants(self, node: Node, inputs: Sequence[Any]) -> Array:
        """What the node makes with the constants that the file has."""
        given = [self._changed.get(n, x) for n, x in zip(node.inputs, inputs, strict=False)]
        with np.errstate(all="ignore"):
            result = bind(node, "exact")(*given)
        return np.asarray(result[0] if isinstance(result, tuple) else result)


def _is_mask(constant: Array) -> bool:
    return bool((constant < -LARGEST).any() and ((constant < -LARGEST) | (constant == 0)).all())


def _changes(constant: Array) -> bool:
    """Whether there is a number in it that is too large or too small for half precision."""
    sizes = np.abs(constant[np.isfinite(constant) & (constant != 0)])
    return bool(sizes.size and (sizes.max() > LARGEST or sizes.min() < _LEAST))


def _lost_rows(value: Array, noise: Array) -> int:
    """How many rows lose too much; what has one number to a row is one row."""
    rows = value.reshape(-1, value.shape[-1]) if value.ndim and value.shape[-1] > 1 else value
    shape = rows.shape if rows is not value else (1, -1)
    energy, lost = ((x.astype(np.float64).reshape(shape) ** 2).sum(axis=1) for x in (value, noise))
    return int(np.count_nonzero(lost > _LOST * energy))
