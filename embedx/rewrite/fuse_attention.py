"""Attention's inner part as exporters write it out becomes one node."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Graph, Node
from embedx.rewrite.fusion import Found, fusion, standing_for, with_replaced
from embedx.rewrite.patterns import Call, Edge, Formula, Number, Patterns, call
from embedx.rewrite.rule import rule

_BOOL = ops.code_of(ops.dtype_of(9))


def _on_last_axis(patterns: Patterns, node: Node) -> bool:
    # 3 is the last axis of all attention that splits heads; the kernel looks once more.
    return node.attributes.get("axis", -1 if node.opset >= 13 else 1) in (-1, 3)


def _to_bool(patterns: Patterns, node: Node) -> bool:
    return node.attributes["to"] == _BOOL


def _probabilities(scores: Formula) -> tuple[Formula, ...]:
    softmax = call((ops.softmax, ops.softmax_1), scores, where=_on_last_axis)
    # PyTorch's own attention gives zeros, not NaN, to a query that may not look at any key.
    guarded = call(ops.where, call(ops.isnan, softmax), Edge("dead", weight=True), softmax)
    return softmax, guarded


def _masked(scores: Formula) -> tuple[Formula, ...]:
    mask, fill = Edge("mask"), Edge("fill", weight=True)
    # Where broadcasts by itself, so a mask that was expanded to the scores' shape need not be.
    expanded = call(ops.expand, mask, call(ops.shape, scores))
    masks = (mask, expanded, call(ops.cast, expanded, where=_to_bool))
    added = (scores + mask, scores + mask + Edge("bias"))
    return scores, *added, *(call(ops.where, m, fill, scores) for m in masks)


_product = call(ops.matmul, Edge("q"), Edge("k"))


def _attentions() -> tuple[Call, ...]:
    return tuple(
        call(ops.matmul, probabilities, Edge("v"))
        for product in (_product, _product * Number("scale"))
        for scores in _masked(product)
        for probabilities in _probabilities(scores)
    )


_HEADS = "float[B, 2, T, 4] q, float[B, 2, 4, T] k, float[B, 2, T, 4] v"


@fusion(
    *_attentions(),
    bound=2.0**-18,
    examples=[
        f"""g ({_HEADS}, float[B, 1, 1, T] m) => (float[B, 2, T, 4] y) <float s = {{2}}> {{
        p = MatMul(q, k)  d = Div(p, s)  a = Add(d, m)  w = Softmax<axis = -1>(a)
        y = MatMul(w, v) }}""",
        f"""g ({_HEADS}, bool[B, 1, 1, T] m) => (float[B, 2, T, 4] y)
        <float fill = {{-1000000000}}, float s = {{0.5}}, float dead = {{0}}> {{
        p = MatMul(q, k)  d = Mul(p, s)  h = Shape(d)  e = Expand(m, h)  a = Where(e, fill, d)
        w = Softmax<axis = 3>(a)  i = IsNaN(w)  g = Where(i, dead, w)  y = MatMul(g, v) }}""",
        f"""g ({_HEADS}, float[B, 1, 1, T] m, float[1, 2, T, T] b) => (float[B, 2, T, 4] y) {{
        p = MatMul(q, k)  n = Add(m, b)  a = Add(p, n)  w = Softmax<axis = -1>(a)
        y = MatMul(w, v) }}""",
    ],
)
def attention(found: Found) -> Node | None:
    """``softmax(q @ k * scale + mask + bias) @ v`` becomes embedx::Attention.

    Masks are added in the order of the graph, or one chooses by Where what scores are replaced by
    ``fill``; ``dead`` replaces probabilities that are NaN. The scale is a number, fill and dead are
    constants. The run looks whether all is float32, Softmax is over the last axis, q, k and v have
    the same axes in front, and whether masks, fill and dead broadcast to the scores and not beyond.
    """
    axes = {node.attributes.get("axis", -1) for node in found.nodes("Softmax")}
    if len(axes) > 1:
        return None
    mask, bias = found.edges("mask", "bias")
    first = next((node.inputs for node in found.nodes("Add") if bias), ())
    joined = mask in first and bias in first
    if bias in first and not joined:
        mask, bias = bias, mask
    return found.node(
        "Attention", [*found.edges("q", "k", "v"), mask, *found.edges("fill", "dead"), bias],
        FUSED_DOMAIN, scale=found.match.numbers.get("scale", 1.0),
        axis=axes.pop(), to_bool=int(any(found.nodes("Cast"))), joined=int(joined),
    )  # fmt: skip


_MERGED = (0, 2, 1, 3)
_ORDERS = (_MERGED, (0, 2, 3, 1), _MERGED)
"""How heads that lie side by side in each token become q, k and v."""
_TOKENS = "float[B, T, 8] q, float[B, T, 8] k, float[B, T, 8] v"


@rule(
    f"""g ({_TOKENS}) => (float[B, T, 8] y)
    <int64[4] s = {{0, 0, 2, 4}}, int64[3] t = {{0, 0, 8}}> {{
    a = Reshape(q, s)  b = Transpose<perm = [0, 2, 1, 3]>(a)
    c = Reshape(k, s)  d = Transpose<perm = [0, 2, 1, 3]>(c)  e = Transpose<perm = [0, 1, 3, 2]>(d)
    f = Reshape(v, s)  g = Transpose<perm = [0, 2, 1, 3]>(f)
    p = MatMul(b, e)  w = Softmax<axis = -1>(p)  o = MatMul(w, g)
    h = Transpose<perm = [0, 2, 1, 3]>(o)  y = Reshape(h, t) }}""",
)
def attention_of_heads(graph: Graph) -> Graph:
    """Reshape and Transpose around embedx::Attention become shapes that it takes.

    Reshape cuts a token into heads, and Transpose brings axes (batch, token, head, size) in the
    order of q, k or v; behind, both put the heads side by side again. Nobody else reads what is
    between. Each of the four is looked at for itself. The run looks whether there are four axes.
    """
    patterns = Patterns(graph)
    replaced: dict[int, tuple[Node, ...]] = {}
    for place, node in enumerate(graph.nodes):
        if not patterns.computes(place, "Attention") or len(node.inputs) > 7:
            continue
        inputs = [*node.inputs, *[""] * (7 - len(node.inputs))]
        places, end, output = {place}, place, node.outputs[0]
        shapes = ["", "", "", ""]
        for i, order in enumerate(_ORDERS):
            found = _cut(patterns, inputs[i], order)
            if found:
                inputs[i], shapes[i], covered = found
                places |= covered
        merged = _merged(patterns, output)
        if merged:
            output, shapes[3], covered = merged
            places |= covered
            end = max(covered)
        built = replace(node, inputs=(*inputs, *shapes), outputs=(output,), literal=None)
        standing = standing_for(patterns, places, built) if len(places) > 1 else None
        if standing:
            replaced.update((p, ()) for p in places)
            replaced[end] = (standing,)
    return with_replaced(graph, replaced)


_Covered: TypeAlias = "tuple[str, str, set[int]] | None"
"""An edge, the shape that leads to it or away from it, and the places of the nodes between."""


def _cut(patterns: Patterns, edge: str, order: tuple[int, ...]) -> _Covered:
    """What is cut into heads and ordered to give the edge."""
    axes, covered = [0, 1, 2, 3], set[int]()
    while (place := patterns.places.get(edge)) is not None and patterns.is_read_once(edge):
        node = patterns.graph.nodes[place]
        covered.add(place)
        if patterns.computes(place, ops.reshape) and not node.attributes.get("allowzero", 0):
            x, shape = node.inputs
            return (x, shape, covered) if tuple(axes) == order else None
        perm = node.attributes.get("perm", ())
        if not patterns.computes(place, ops.transpose) or sorted(perm) != [0, 1, 2, 3]:
            return None
        axes = [perm[axis] for axis in axes]
        edge = node.inputs[0]
    return None


def _merged(patterns: Patterns, edge: str) -> _Covered:
    """What becomes of the edge when its heads are put side by side."""
    turn = patterns.only_reader(edge)
    if turn is None or not patterns.computes(turn, ops.transpose):
        return None
    turned = patterns.graph.nodes[turn]
    place = patterns.only_reader(turned.outputs[0])
    if turned.attributes.get("perm") != _MERGED or place is None:
        return None
    node = patterns.graph.nodes[place]
    plain = patterns.computes(place, ops.reshape) and not node.attributes.get("allowzero", 0)
    if not plain or node.inputs[0] != turned.outputs[0]:
        return None
    return node.outputs[0], node.inputs[1], {turn, place}


RULES = (attention, attention_of_heads)
