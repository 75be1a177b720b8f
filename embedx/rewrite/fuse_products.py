"""What dynamic quantization puts around an integer product becomes one node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Node
from embedx.rewrite.fusion import Found, fusion
from embedx.rewrite.patterns import Edge, Patterns, call

_FLOAT = ops.code_of(np.dtype(np.float32))
_scale, _bias, _shift = Edge("scale"), Edge("bias", weight=True), Edge("shift", weight=True)
_accumulator = call(ops.matmul_integer, Edge("a"), Edge("b"))


def _to_float(patterns: Patterns, node: Node) -> bool:
    return node.attributes["to"] == _FLOAT


_whole = [call(ops.cast, sums, where=_to_float) for sums in (_accumulator + _bias, _accumulator)]
_WEIGHTS = "<int8[3, 4] w = {1, -2, 3, 4, -5, 6, 7, 8, -9, 10, 127, -128}, uint8 z = {7}"


@fusion(
    *(
        call(ops.mul, *operands)
        for whole in _whole
        for operands in ((whole, _scale), (_scale, whole))
    ),
    examples=[
        f"""g (uint8[N, 3] a, float s) => (float[N, 4] y) {_WEIGHTS}> {{
        i = MatMulInteger(a, w, z)  f = Cast<to = 1>(i)  y = Mul(f, s) }}""",
        f"""g (uint8[B, N, 3] a, float s) => (float[B, N, 4] y)
        {_WEIGHTS}, int8[4] wz = {{0, 1, 2, 3}}, int32[4] b = {{1, 2, 3, 4}}> {{
        i = MatMulInteger(a, w, z, wz)  j = Add(i, b)  f = Cast<to = 1>(j)  y = Mul(s, f) }}""",
    ],
)
def scaled_product(found: Found) -> Node:
    """``float32(MatMulInteger(a, b) + bias) * scale`` becomes embedx::ScaledMatMulInteger.

    The bias is a constant. The run looks whether scale and bias are one number, or one for each
    column, that do not add axes.
    """
    (product,) = found.nodes("MatMulInteger")
    operands = [*product.inputs, "", ""][:4]
    return found.node(
        "ScaledMatMulInteger", [*operands, *found.edges("scale", "bias")], FUSED_DOMAIN
    )


@fusion(
    call("ScaledMatMulInteger", Edge("a")) + _shift,
    examples=[
        f"""g (uint8[N, 3] a, float s) => (float[N, 4] y)
        {_WEIGHTS}, float[4] h = {{0.5, -1, 2, 0}}> {{
        i = MatMulInteger(a, w, z)  f = Cast<to = 1>(i)  p = Mul(f, s)  y = Add(h, p) }}"""
    ],
)
def shifted_product(found: Found) -> Node | None:
    """A vector that is added to embedx::ScaledMatMulInteger becomes an input of it.

    The vector is a constant of one axis. The run looks whether it is float32 and one number for
    each column.
    """
    (product,) = found.nodes("ScaledMatMulInteger")
    shift = found.edges("shift")
    if len(product.inputs) != 6 or not found.are_vectors(*shift):
        return None
    return replace(product, inputs=(*product.inputs, *shift), outputs=found.root.outputs)


RULES = (scaled_product, shifted_product)
