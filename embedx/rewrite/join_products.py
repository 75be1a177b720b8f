"""Products that share an input become one product, be it with weights of 32 or of 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Graph, Node
from embedx.rewrite.fusion import standing_for, with_replaced
from embedx.rewrite.normal import unused_suffix
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
    patterns, suffix = Patterns(graph), unused_suffix(graph, "joined")
    sharing: dict[tuple[str, int], list[_Factor]] = {}
    for place, node in enumerate(graph.nodes):
        if patterns.computes(place, ops.matmul):
            x, weight = node.inputs
            shape = _single(patterns, weight)
            if shape is not None and len(shape) == 2 and x != weight:
                sharing.setdefault((x, shape[0]), []).append(_factor(patterns, place, shape[1]))
    replaced: dict[int, tuple[Node, ...]] = {}
    for (x, _), factors in sharing.items():
        joined = _joined(patterns, x, factors, suffix) if len(factors) > 1 else None
        if joined:
            replaced.update((place, ()) for factor in factors for place in factor.places)
            replaced[factors[0].places[0]] = joined
    return with_replaced(graph, replaced)


def _single(patterns: Patterns, edge: str) -> tuple[int, ...] | None:
    """The shape of a float32 constant. What is still to be cast comes too late for a product."""
    value = None if edge in patterns.places else patterns.value(edge)
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


def _joined(
    patterns: Patterns, x: str, factors: list[_Factor], suffix: str
) -> tuple[Node, ...] | None:
    inputs = (x, *(f.weight for f in factors), *(f.bias for f in factors))
    places = [place for factor in factors for place in factor.places]
    edges, lengths = tuple(f.output for f in factors), tuple(f.columns for f in factors)
    return _side_by_side(patterns, places, "Linear", inputs, edges, lengths, suffix)


def _side_by_side(
    patterns: Patterns, places: list[int], op_type: str, inputs: tuple[str, ...],
    edges: tuple[str, ...], lengths: tuple[int, ...], suffix: str,
) -> tuple[Node, ...] | None:  # fmt: skip
    """A node in place of those at ``places``, and a Split that makes their edges of its output."""
    first = patterns.graph.nodes[places[0]]
    alone = len(edges) == 1
    whole = edges[0] if alone else f"{edges[0]}{suffix}"
    node = Node(op_type, inputs, (whole,), {}, FUSED_DOMAIN, first.name, index=first.index)
    attributes = {"axis": -1, "split": lengths}
    concat = Node("Concat", edges, (whole,), {"axis": -1}, opset=13, index=-1)
    pieces = Node("Split", (whole,), edges, attributes, opset=2, index=-1)
    joined = standing_for(patterns, places, node, *(() if alone else (concat,)))
    return None if joined is None else (joined,) if alone else (joined, pieces)


@dataclass(frozen=True)
class _Quantized:
    """A product of a dynamically quantized tensor with a constant matrix, scaled back to floats."""

    weight: str
    zero_point: str
    scale: str
    bias: str
    columns: int
    output: str
    places: tuple[int, ...]
    """Of the product, and of the one of the scales if there is one."""


@rule(
    """g (float[B, T, 3] x) => (float[B, T, 2] y, float[B, T, 2] z)
    <int8[3, 2] w = {1, -2, 3, 4, -5, 127}, int8 wz = {1}, float ws = {0.5}, float[2] b = {1, -1},
    int8[3, 2] v = {7, -2, 30, 4, 5, -128}, int8[2] vz = {1, 2}, float[2] vs = {0.5, 2}> {
    q, s, p = DynamicQuantizeLinear(x)
    i = MatMulInteger(q, w, p, wz)  f = Cast<to = 1>(i)  c = Mul(s, ws)  m = Mul(f, c)
    y = Add(m, b)
    j = MatMulInteger(q, v, p, vz)  g = Cast<to = 1>(j)  d = Mul(vs, s)  z = Mul(d, g) }""",
    """g (float[N, 3] x) => (float[N, 2] y)
    <int8[3, 2] w = {1, -2, 3, 4, -5, 127}, int8 wz = {0}, float ws = {0.5}, float[2] b = {1, -1}> {
    y = com.microsoft.DynamicQuantizeMatMul(x, w, ws, wz, b) }""",
)
def join_quantized_products(graph: Graph) -> Graph:
    """DynamicQuantizeLinear and the products of what it gives become embedx::QuantizedLinear.

    The products are embedx::ScaledMatMulInteger without a bias of integers, scaled by what
    DynamicQuantizeLinear gives times a constant, or com.microsoft's MatMulIntegerToFloat; nobody
    else reads what is quantized. Weights, their zero points and scales are constants, one number or
    one for each column. So does com.microsoft.DynamicQuantizeMatMul. Several products are side by
    side, and a Split takes them apart.
    """
    patterns, suffix = Patterns(graph), unused_suffix(graph, "joined")
    replaced: dict[int, tuple[Node, ...]] = {}
    for place, node in enumerate(graph.nodes):
        found: list[_Quantized] | None = None
        if patterns.computes(place, ops.dynamic_quantize_linear):
            found = _products_of(patterns, node)
        elif patterns.computes(place, ops.microsoft.dynamic_quantize_matmul):
            _, weight, scale, zero, bias = (*node.inputs, "", "")[:5]
            one = _quantized(patterns, (place,), weight, zero, scale, bias, node.outputs[0])
            found = None if one is None else [one]
        if not found:
            continue
        places = sorted({place, *(p for product in found for p in product.places)})
        parts = ([getattr(q, name) for q in found] for name in _PARTS)
        inputs = (node.inputs[0], *(edge for part in parts for edge in part))
        edges, lengths = tuple(q.output for q in found), tuple(q.columns for q in found)
        joined = _side_by_side(patterns, places, "QuantizedLinear", inputs, edges, lengths, suffix)
        if joined:
            replaced.update((p, ()) for p in places)
            replaced[place] = joined
    return with_replaced(graph, replaced)


_PARTS = ("weight", "scale", "zero_point", "bias")


def _products_of(patterns: Patterns, quantized: Node) -> list[_Quantized] | None:
    """The products of what a DynamicQuantizeLinear gives; None if it is used for more."""
    whole, scale, zero = (*quantized.outputs, "", "", "")[:3]
    if not (whole and scale and zero):
        return None
    found = []
    for place in sorted(patterns.readers(whole)):
        one = _product(patterns, place, whole, scale, zero)
        if one is None:
            return None
        found.append(one)
    known = {p for one in found for p in one.places}
    kept = any(patterns.is_output(edge) for edge in quantized.outputs)
    others = {p for edge in quantized.outputs for p in patterns.readers(edge)} - known
    return None if kept or others else found


def _product(
    patterns: Patterns, place: int, whole: str, scale: str, zero: str
) -> _Quantized | None:
    node = patterns.graph.nodes[place]
    inputs = (*node.inputs, *[""] * 7)
    if patterns.computes(place, ops.microsoft.matmul_integer_to_float):
        if (inputs[0], inputs[2], inputs[4]) != (whole, scale, zero):
            return None
        return _quantized(
            patterns, (place,), inputs[1], inputs[5], inputs[3], inputs[6], node.outputs[0]
        )
    if not patterns.computes(place, "ScaledMatMulInteger"):
        return None
    scaling = patterns.places.get(inputs[4])
    if scaling is None or not patterns.computes(scaling, ops.mul):
        return None
    if (inputs[0], inputs[2], inputs[5]) != (whole, zero, ""):
        return None
    if patterns.only_reader(inputs[4]) != place or whole in inputs[1:7]:
        return None
    factors = list(patterns.graph.nodes[scaling].inputs)
    if factors.count(scale) != 1:
        return None
    factors.remove(scale)
    return _quantized(
        patterns, (scaling, place), inputs[1], inputs[3], factors[0], inputs[6], node.outputs[0]
    )


def _quantized(
    patterns: Patterns, places: tuple[int, ...], weight: str, zero_point: str, scale: str,
    bias: str, output: str,
) -> _Quantized | None:  # fmt: skip
    """The product, if its constants are what they have to be."""
    matrix = patterns.constant(weight)
    if (
        not isinstance(matrix, np.ndarray)
        or matrix.ndim != 2
        or matrix.dtype not in (np.int8, np.uint8)
    ):
        return None
    columns = matrix.shape[1]
    shapes = ((), (1,), (columns,))
    zero = patterns.constant(zero_point) if zero_point else None
    if zero_point and (
        not isinstance(zero, np.ndarray) or zero.dtype != matrix.dtype or zero.shape not in shapes
    ):
        return None
    if _single(patterns, scale) not in shapes or (bias and _single(patterns, bias) not in shapes):
        return None
    return _Quantized(weight, zero_point, scale, bias, columns, output, places)
