"""GELU and SiLU as exporters write them out become one node, with the bias in front of GELU."""

from __future__ import annotations

import math

from embedx import ops
from embedx.model.graph import Node
from embedx.rewrite.fusion import MICROSOFT, Found, fusion
from embedx.rewrite.patterns import Edge, Number, Patterns, call

_x, _bias = Edge("x"), Edge("bias", weight=True)
_cube = _x + _x**3 * 0.044715
_factored_cube = _x * (_x**2 * 0.044715 + 1)


@fusion(
    _x * 0.5 * (call(ops.erf, _x * 2**-0.5) + 1),
    bound=2.0**-20,
    examples=[
        """g (float[B, T, 4] x) => (float[B, T, 4] y)
        <float root = {1.4142135}, float one = {1}, float half = {0.5}> {
        d = Div(x, root)  e = Erf(d)  p = Add(e, one)  m = Mul(x, p)  y = Mul(m, half) }""",
        """g (float[N, 4] x) => (float[N, 4] y)
        <float[1] root = {0.70710677}, float[1] one = {1}, float[1] half = {0.5}> {
        h = Mul(half, x)  d = Mul(x, root)  e = Erf(d)  p = Add(one, e)  y = Mul(h, p) }""",
    ],
)
def gelu(found: Found) -> Node:
    """``x / 2 * (1 + erf(x / sqrt(2)))`` becomes Gelu-20.

    The constants are numbers of at most one axis. The run looks whether x is float32 and no scalar.
    """
    return found.node("Gelu", found.edges("x"), opset=20)


@fusion(
    *(
        _x * 0.5 * (call(ops.tanh, inner * math.sqrt(2 / math.pi)) + 1)
        for inner in (_cube, _factored_cube)
    ),
    bound=2.0**-20,
    examples=[
        """g (float[B, T, 4] x) => (float[B, T, 4] y)
        <float three = {3}, float c = {0.044715}, float s = {0.79788456}, float one = {1},
         float half = {0.5}> {
        q = Pow(x, three)  c3 = Mul(q, c)  i = Add(x, c3)  k = Mul(i, s)  t = Tanh(k)
        p = Add(t, one)  h = Mul(x, half)  y = Mul(h, p) }""",
        """g (float[N, 4] x) => (float[N, 4] y)
        <float c = {0.044715}, float s = {0.79788456}, float one = {1}, float half = {0.5}> {
        q = Mul(x, x)  c2 = Mul(c, q)  o = Add(one, c2)  w = Mul(x, s)  k = Mul(w, o)  t = Tanh(k)
        p = Add(one, t)  h = Mul(half, x)  y = Mul(h, p) }""",
    ],
)
def tanh_gelu(found: Found) -> Node:
    """``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`` becomes Gelu-20.

    Needs what :func:`gelu` needs.
    """
    return found.node("Gelu", found.edges("x"), opset=20, approximate="tanh")


@fusion(
    _x * call(ops.sigmoid, _x),
    _x * call(ops.sigmoid, _x * Number("alpha")),
    bound=2.0**-20,
    examples=[
        """g (float[B, T, 4] x, float[B, T, 4] up) => (float[B, T, 4] y) {
        s = Sigmoid(x)  m = Mul(x, s)  y = Mul(m, up) }""",
        """g (float[N, 4] x) => (float[N, 4] y) <float alpha = {1.702}> {
        a = Mul(alpha, x)  s = Sigmoid(a)  y = Mul(s, x) }""",
    ],
)
def swish(found: Found) -> Node:
    """``x * sigmoid(alpha * x)`` becomes Swish-24: SiLU with an alpha of 1, QuickGelu with 1.702.

    The constant is a number of at most one axis. The run looks whether x is float32 and no scalar.
    """
    scaled = "alpha" in found.match.numbers
    alpha = found.number("alpha") if scaled else 1.0
    return found.node("Swish", found.edges("x"), opset=24, alpha=alpha)


def _any_gelu(patterns: Patterns, node: Node) -> bool:
    return True


@fusion(
    call(ops.gelu, _x + _bias, where=_any_gelu),
    bound=2.0**-20,
    examples=[
        """g (float[B, T, 4] x) => (float[B, T, 4] y) <float[4] b = {1, -2, 0.5, 0}> {
        s = Add(x, b)  y = Gelu(s) }""",
        """g (float[N, 4] x) => (float[N, 4] y) <float[4] b = {1, -2, 0.5, 0}> {
        s = Add(b, x)  y = Gelu<approximate = "tanh">(s) }""",
    ],
)
def bias_gelu(found: Found) -> Node | None:
    """Gelu behind the addition of a vector becomes BiasGelu, or FastGelu if it uses tanh.

    The bias is a constant of one axis. The run looks whether all is float32, and whether the bias
    is as long as the last axis.
    """
    x, bias = found.edges("x", "bias")
    if not found.are_vectors(bias):
        return None
    approximate = found.root.attributes.get("approximate", "none")
    return found.node("FastGelu" if approximate == "tanh" else "BiasGelu", [x, bias], MICROSOFT)


RULES = (gelu, tanh_gelu, swish)
BIAS_RULES = (bias_gelu,)
