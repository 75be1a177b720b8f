"""Neurons without effect are left out of both matrices between which they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Array, Graph, Node
from embedx.rewrite.fusion import standing_for
from embedx.rewrite.normal import drop_dead, renamed, unused_suffix
from embedx.rewrite.patterns import Patterns
from embedx.rewrite.rule import rule

_PRODUCTS = (ops.mul, ops.swiglu)
"""Operators that give 0 if an input is 0, and nothing larger than the product of their inputs."""
_SUMS = (
    ops.add, ops.relu, ops.tanh, ops.erf, ops.sigmoid, ops.gelu, ops.swish, ops.microsoft.gelu,
    ops.microsoft.bias_gelu, ops.microsoft.fast_gelu, ops.microsoft.quick_gelu,
)  # fmt: skip
"""Operators that give nothing larger than the sum of their inputs and 1."""
_MOST = 32
"""Nodes between two matrices."""
_LARGE = 2.0**30
"""How large what is left out may be behind the first matrix; beyond, the run leaves nothing out."""
_FINITE = 2.0**120
"""How large it may become until the second one."""
_WORTH = 0.1
"""The share of neurons without effect from which on they are left out."""


@dataclass(frozen=True)
class _Hidden:
    """The neurons in front of a product with a constant matrix."""

    x: str
    """What they are computed from."""
    places: tuple[int, ...]
    """Of the products with x, and of the steps behind them."""
    dropped: Array
    """Which neurons have no effect, bool (neurons,)."""
    largest: float
    """Rows of x that are no longer, by their Euclidean norm, keep these neurons finite."""


@rule(
    """g (float[B, T, 3] x) => (float[B, T, 2] y)
    <float[3, 4] a = {1, 2, 0, 4, 5, 6, 0, 8, 9, -1, 0, -3}, float[4] b = {0.5, -1, -2, 2},
    float[4, 2] c = {1, 2, 0, 0, 5, 6, -7, 8}> {
    p = MatMul(x, a)  s = Add(p, b)  r = Relu(s)  y = MatMul(r, c) }""",
    """g (float[B, T, 3] x) => (float[B, T, 2] y)
    <float[3, 4] a = {1, 2, 0, 4, 5, 6, 0, 8, 9, -1, 0, -3}, float[4] b = {0.5, -1, 0, 2},
    float[4, 2] c = {1, 2, 0, 0, 5, 6, -7, 8}> {
    p = MatMul(x, a)  s = Add(b, p)  r = Gelu(s)  y = MatMul(r, c) }""",
    """g (float[N, 3] x) => (float[N, 2] y)
    <float[3, 4] a = {1, 2, 0, 4, 5, 6, 0, 8, 9, -1, 0, -3},
    float[3, 4] d = {0, 2, 3, -1, 0, 1, -2, 3, 0, -1, 1, 1}, float[4] b = {0.5, -1, 0, 2},
    float[4, 2] c = {1, 2, 3, 4, 5, 6, -7, 8}> {
    p = MatMul(x, a)  t = Sigmoid(p)  s = Mul(p, t)  q = MatMul(x, d)  u = Add(q, b)
    m = Mul(s, u)  y = MatMul(m, c) }""",
    bound=2.0**-18,
)
def drop_neurons(graph: Graph) -> Graph:
    """In ``f(x @ a + b) @ c``, columns of a and b and rows of c that have no effect are left out.

    A neuron has none if its row of c is zero; or if its own value is zero whatever x is, as with a
    column of zeros in a and f(b) = 0, and its row of c is finite. f is made of activations, sums
    and products, column by column; several products of the same x may meet in it, as in gated
    layers. The matrices, and what is added or multiplied on the way, numbers or vectors, are
    float32 constants. Nobody else reads what is between x and the result.

    A neuron that is not finite would have an effect, NaN. So the result becomes
    embedx::PrunedMatMul, which also takes x: the run looks whether its rows are so short that no
    neuron that is left out overflows, and computes all of them as written if not.
    """
    patterns = Patterns(graph)
    replaced: dict[int, Node] = {}
    names: dict[tuple[str, int, bytes], str] = {}
    constants = dict(graph.initializers)
    suffix = unused_suffix(graph, "kept")

    def cut(edge: str, axis: int, kept: Array) -> str:
        """A new constant: some rows or columns of another."""
        value = _single(patterns, edge)
        assert value is not None
        name = names.setdefault((edge, axis, kept.tobytes()), f"{edge}~{len(names)}{suffix}")
        constants.setdefault(name, np.take(value, kept, axis))
        return name

    for place, node in enumerate(graph.nodes):
        hidden = _hidden(patterns, place)
        if hidden is None or not replaced.keys().isdisjoint((*hidden.places, place)):
            continue
        kept = np.flatnonzero(~hidden.dropped)
        last, weight = node.inputs
        left_out = len(hidden.dropped) - len(kept)
        product = replace(
            node,
            op_type="PrunedMatMul",
            domain=FUSED_DOMAIN,
            inputs=(f"{last}{suffix}", cut(weight, 0, kept), hidden.x),
            attributes={"largest": hidden.largest, "left_out": left_out},
        )
        standing = standing_for(patterns, (*hidden.places, place), product)
        if standing is None:
            continue
        replaced[place] = _covering_one(standing)
        made = {e: f"{e}{suffix}" for inner in hidden.places for e in graph.nodes[inner].outputs}
        for inner in hidden.places:
            values = {edge: patterns.value(edge) for edge in graph.nodes[inner].inputs}
            vectors = {
                edge: cut(edge, -1, kept)
                for edge, value in values.items()
                if value is not None and value.shape[-1:] == hidden.dropped.shape
            }
            replaced[inner] = _with_edges(graph.nodes[inner], {**made, **vectors})
    if not replaced:
        return graph
    nodes = tuple(replaced.get(place, node) for place, node in enumerate(graph.nodes))
    return drop_dead(replace(graph, nodes=nodes, initializers=constants))


def _hidden(patterns: Patterns, place: int) -> _Hidden | None:
    """The neurons that the node at a place multiplies by a matrix, if enough have no effect."""
    places = _inside(patterns, place)
    products = [p for p in places if patterns.computes(p, ops.matmul)]
    nodes = patterns.graph.nodes
    if len({nodes[p].inputs[0] for p in products}) != 1:
        return None
    constants = [_single(patterns, nodes[p].inputs[1]) for p in (*products, place)]
    matrices = [c for c in constants if c is not None and c.ndim == 2 and c.size]
    if len(matrices) < len(constants):
        return None
    *first, second = matrices
    if any(matrix.shape[1] != len(second) for matrix in first):
        return None
    # A look at one row and one column spares most models one at all of their weights.
    edges = [edge for p in places for edge in nodes[p].inputs]
    vectors = [v for e in edges if (v := _single(patterns, e)) is not None and v.ndim < 2]
    rows = [matrix[0] for matrix in first]
    seen = [
        v == 0 for v in (*rows, *vectors, second[:, 0]) if v.shape[-1:] in ((), second.shape[:1])
    ]
    if not _worth(np.logical_or.reduce(np.broadcast_arrays(*seen))):
        return None
    zero = _zeros(patterns, places, {p: np.abs(m[0]) for p, m in zip(products, first, strict=True)})
    if zero is None or not _worth((second[:, 0] == 0) | zero):
        return None
    lengths = [np.linalg.norm(matrix.astype(np.float64), axis=0) for matrix in first]
    zero = _zeros(patterns, places, dict(zip(products, lengths, strict=True)))
    assert zero is not None
    longest = np.maximum.reduce(lengths)
    dropped = ~second.any(axis=1) | (zero & np.isfinite(second).all(axis=1))
    dropped &= np.isfinite(longest)
    if not _worth(dropped):
        return None
    largest = _LARGE / max(float(longest[dropped].max()), 1 / _LARGE)
    return _Hidden(nodes[products[0]].inputs[0], tuple(places), dropped, largest)


def _worth(dropped: Array) -> bool:
    return bool(dropped.sum() >= max(1, _WORTH * len(dropped)))


def _single(patterns: Patterns, edge: str) -> Array | None:
    value = patterns.value(edge)
    return value if isinstance(value, np.ndarray) and value.dtype == np.float32 else None


def _inside(patterns: Patterns, place: int) -> list[int]:
    """The nodes between an x and the product at a place: products with constants, and steps.

    None of them if there are other nodes, or if others need what is between.
    """
    if not _by_constant(patterns, place):
        return []
    nodes = patterns.graph.nodes
    found: set[int] = set()
    waiting = [nodes[place].inputs[0]]
    while waiting:
        inner = patterns.places.get(waiting.pop())
        if inner is None or len(found) > _MOST:
            return []
        if inner in found:
            continue
        found.add(inner)
        if _by_constant(patterns, inner):
            continue
        if _step(patterns, inner) is None:
            return []
        waiting += [e for e in nodes[inner].inputs if e and patterns.constant(e) is None]
    made = [edge for inner in found for edge in nodes[inner].outputs]
    alone = all(patterns.readers(e) <= {*found, place} and not patterns.is_output(e) for e in made)
    return sorted(found) if alone else []


def _by_constant(patterns: Patterns, place: int) -> bool:
    inputs = patterns.graph.nodes[place].inputs
    constants = [patterns.constant(edge) is not None for edge in inputs]
    return patterns.computes(place, ops.matmul) and constants == [False, True]


def _step(patterns: Patterns, place: int) -> Callable[..., Array] | None:
    """The operator of a step that works column by column."""
    attributes = patterns.graph.nodes[place].attributes.values()
    if not all(math.isfinite(value) for value in attributes if isinstance(value, float)):
        return None
    operators = (*_PRODUCTS, *_SUMS)
    return next((step for step in operators if patterns.computes(place, step)), None)


def _zeros(patterns: Patterns, places: Sequence[int], lengths: dict[int, Array]) -> Array | None:
    """Which neurons are 0 for every x; ``lengths`` are the norms of the products' columns.

    None if constants don't fit, or may make a neuron too large.
    """
    nodes = patterns.graph.nodes
    (count,) = next(iter(lengths.values())).shape
    values: dict[str, Any] = {"": None}
    sizes = {"": 0.0}
    for place in places:
        node = nodes[place]
        (made,) = node.outputs
        if place in lengths:
            values[made] = np.where(lengths[place] == 0, np.float32(0), np.float32(np.nan))
            sizes[made] = _LARGE
            continue
        for edge in node.inputs:
            if edge not in values:
                constant = _single(patterns, edge)
                if constant is None or constant.shape not in ((), (1,), (count,)):
                    return None
                values[edge], sizes[edge] = constant, float(np.abs(constant).max())
        step = _step(patterns, place)
        assert step is not None
        given, large = [values[e] for e in node.inputs], [sizes[e] for e in node.inputs]
        sizes[made] = math.prod(large) if step in _PRODUCTS else 1 + sum(large)
        if not sizes[made] <= _FINITE:
            return None
        with np.errstate(all="ignore"):
            values[made] = step(*given, **node.attributes)
        if step in _PRODUCTS:
            nothing = np.logical_or.reduce(np.broadcast_arrays(*(value == 0 for value in given)))
            values[made] = np.where(nothing, np.float32(0), values[made])
    return np.asarray(values[made] == 0)


def _with_edges(node: Node, others: Mapping[str, str]) -> Node:
    """The node, and what it stands for, with other edges."""

    def rename(edge: str) -> str:
        return others.get(edge, edge)

    literal = node.literal
    if literal is not None:
        inputs, outputs = (
            tuple(replace(v, name=rename(v.name)) for v in values)
            for values in (literal.inputs, literal.outputs)
        )
        nodes = tuple(renamed(n, rename, {}) for n in literal.nodes)
        literal = replace(literal, inputs=inputs, outputs=outputs, nodes=nodes)
    return replace(renamed(node, rename, {}), literal=literal)


def _covering_one(node: Node) -> Node:
    """The node as one that covers only the last of those that it stands for."""
    assert node.literal is not None
    *others, last = node.literal.nodes
    nodes = (*(replace(other, index=-1) for other in others), last)
    return replace(node, literal=replace(node.literal, nodes=nodes))
