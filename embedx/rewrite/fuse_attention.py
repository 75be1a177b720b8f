"""Attention's inner part as exporters write it out becomes one node."""

from __future__ import annotations

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Node
from embedx.rewrite.fusion import Found, fusion
from embedx.rewrite.patterns import Call, Edge, Formula, Number, Patterns, call

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


RULES = (attention,)
