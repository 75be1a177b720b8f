"""Products that share an input become one product."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Graph, Node
from embedx.rewrite.fusion import standing_for
from embedx.rewrite.patterns import Patterns
from embedx.rewrite.rule import rule


@dataclass(frozen=True)
class _Factor:
    """A constant matrix by which a tensor is multiplied, and what is added to its columns."""

    weight: str
    bias: str
    columns: int
    output: str
    places: tuple[int, ...]
    """Of the product, and of the addition if there is one."""


@rule(
    """g (float[B, T, 3] x) => (float[B, T, 2] q, float[B, T, 1] k, float[B, T, 2] v)
    <float[3, 2] a = {1, 2, 3, 4, 5, 6}, float[2] h = {0.5, -1},
    float[3, 1] b = {1, -1, 2}, float[3, 2] c = {-3, 2, 0, 1, 1, 0}, float[2] i = {-1, 2}> {
    p = MatMul(x, a)  q = Add(h, p)  k = MatMul(x, b)  r = MatMul(x, c)  v = Add(r, i) }""",
    bound=2.0**-18,
)
def join_products(graph: Graph) -> Graph:
    """``x @ a + h``, ``x @ b``, ... become embedx::Linear(x, a, b, ..., h, "", ...) and a Split.

    The matrices are float32 constants with equally many rows. To the columns of each a constant
    vector may be added, if nobody else reads the product. embedx::Linear gives the products side by
    side.
    """
    patterns = Patterns(graph)
    sharing: dict[tuple[str, int], list[_Factor]] = {}
    for place, node in enumerate(graph.nodes):
        if patterns.computes(place, ops.matmul):
            x, weight = node.inputs
            shape = _single(patterns, weight)
            if shape is not None and len(shape) == 2 and x != weight:
                sharing.setdefault((x, shape[0]), []).append(_factor(patterns, place, shape[1]))
    replaced: dict[int, tuple[Node, ...]] = {}
    for (x, _), factors in sharing.items():
        joined = _joined(patterns, x, factors) if len(factors) > 1 else None
        if joined:
            replaced.update((place, ()) for factor in factors for place in factor.places)
            replaced[factors[0].places[0]] = joined
    nodes = (n for place, node in enumerate(graph.nodes) for n in replaced.get(place, (node,)))
    return replace(graph, nodes=tuple(nodes)) if replaced else graph


def _single(patterns: Patterns, edge: str) -> tuple[int, ...] | None:
    """The shape of a constant in float32."""
    value = patterns.value(edge)
    return value.shape if isinstance(value, np.ndarray) and value.dtype == np.float32 else None


def _factor(patterns: Patterns, place: int, columns: int) -> _Factor:
    product = patterns.graph.nodes[place]
    weight, output = product.inputs[1], product.outputs[0]
    reader = patterns.only_reader(output)
    if reader is not None and patterns.computes(reader, ops.add):
        added = patterns.graph.nodes[reader]
        bias = next(name for name in added.inputs if name != output)
        if _single(patterns, bias) == (columns,):
            return _Factor(weight, bias, columns, added.outputs[0], (place, reader))
    return _Factor(weight, "", columns, output, (place,))


def _joined(patterns: Patterns, x: str, factors: list[_Factor]) -> tuple[Node, Node] | None:
    """The product, and the Split behind it."""
    first = patterns.graph.nodes[factors[0].places[0]]
    edges, lengths = tuple(f.output for f in factors), tuple(f.columns for f in factors)
    side_by_side = f"{first.outputs[0]}~joined"
    inputs = (x, *(f.weight for f in factors), *(f.bias for f in factors))
    linear = Node(
        "Linear", inputs, (side_by_side,), domain=FUSED_DOMAIN, name=first.name, index=first.index
    )
    concat = Node("Concat", edges, (side_by_side,), {"axis": -1}, opset=13, index=-1)
    pieces = Node(
        "Split", (side_by_side,), edges, {"axis": -1, "split": lengths}, opset=2, index=-1
    )
    places = [place for factor in factors for place in factor.places]
    standing = standing_for(patterns, places, linear, concat)
    return None if standing is None else (standing, pieces)
