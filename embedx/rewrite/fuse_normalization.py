"""Normalisations as exporters write them out become one node, with the additions before them."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedx import ops
from embedx.model.graph import Node
from embedx.rewrite.fusion import MICROSOFT, Found, fusion
from embedx.rewrite.patterns import Call, Edge, Formula, Number, Patterns, call

_x, _bias, _residual = Edge("x"), Edge("bias", weight=True), Edge("residual")
_scale, _shift, _epsilon = Edge("scale", weight=True), Edge("shift", weight=True), Number("epsilon")


def _keeps_last_axis(patterns: Patterns, node: Node) -> bool:
    axes: Any = node.attributes.get("axes")
    if len(node.inputs) > 1:
        axes = patterns.constant(node.inputs[1])
    listed = np.ravel(axes).tolist() if isinstance(axes, np.ndarray | tuple) else None
    return listed == [-1] and node.attributes.get("keepdims", 1) == 1


def _mean(x: Formula) -> Call:
    return call((ops.reduce_mean, ops.reduce_mean_1), x, where=_keeps_last_axis)


_centred = _x - _mean(_x)
_standardised = _centred * (_mean(_centred**2) + _epsilon) ** -0.5
_WEIGHTS = "<float[4] w = {1, 0.5, -2, 3}, float[4] b = {0.25, 0, 1, -1}"


@fusion(
    _standardised * _scale + _shift,
    _standardised * _scale,
    bound=2.0**-18,
    examples=[
        f"""g (float[B, T, 4] x) => (float[B, T, 4] y)
        {_WEIGHTS}, float two = {{2}}, float eps = {{0.00001}}> {{
        m = ReduceMean<axes = [-1]>(x)  c = Sub(x, m)  q = Pow(c, two)
        v = ReduceMean<axes = [-1]>(q)  e = Add(v, eps)  r = Sqrt(e)  z = Div(c, r)
        s = Mul(z, w)  y = Add(s, b) }}""",
        f"""g (float[N, 4] x) => (float[N, 4] y)
        {_WEIGHTS}, float[1] eps = {{0.00001}}> {{
        m = ReduceMean<axes = [-1], keepdims = 1>(x)  c = Sub(x, m)  d = Sub(x, m)  q = Mul(c, c)
        v = ReduceMean<axes = [-1]>(q)  e = Add(eps, v)  r = Sqrt(e)  i = Reciprocal(r)
        z = Mul(i, c)  y = Mul(w, z) }}""",
    ],
)
def layer_normalization(found: Found) -> Node | None:
    """``(x - mean(x)) / sqrt(var(x) + epsilon) * scale + shift`` becomes LayerNormalization-17.

    The means are over the last axis alone and keep it; scale and shift are constants of one axis,
    epsilon is a number. The run looks whether all is float32, and whether scale and shift are as
    long as the last axis.
    """
    parameters = [edge for edge in found.edges("scale", "shift") if edge]
    if not found.are_vectors(*parameters):
        return None
    return found.node(
        "LayerNormalization", [*found.edges("x"), *parameters], opset=17,
        axis=-1, epsilon=found.number("epsilon"),
    )  # fmt: skip


@fusion(
    _x * (_mean(_x**2) + _epsilon) ** -0.5 * _scale,
    bound=2.0**-18,
    examples=[
        f"""g (float[B, T, 4] x) => (float[B, T, 4] y)
        {_WEIGHTS}, float two = {{2}}, float eps = {{0.00001}}> {{
        q = Pow(x, two)  v = ReduceMean<axes = [-1]>(q)  e = Add(v, eps)  r = Sqrt(e)
        i = Reciprocal(r)  z = Mul(x, i)  y = Mul(w, z) }}"""
    ],
)
def rms_normalization(found: Found) -> Node | None:
    """``x / sqrt(mean(x**2) + epsilon) * scale`` becomes RMSNormalization-23.

    Needs what :func:`layer_normalization` needs.
    """
    if not found.are_vectors(*found.edges("scale")):
        return None
    return found.node(
        "RMSNormalization", found.edges("x", "scale"), opset=23,
        axis=-1, epsilon=found.number("epsilon"),
    )  # fmt: skip


def _plain_on_last_axis(patterns: Patterns, node: Node) -> bool:
    in_single = node.attributes.get("stash_type", 1) == 1
    return node.attributes.get("axis", -1) == -1 and in_single and not any(node.outputs[1:])


@fusion(
    *(
        call(ops.layer_normalization, summed, _scale, where=_plain_on_last_axis)
        for summed in (_x + _residual + _bias, _x + _residual)
    ),
    bound=2.0**-18,
    examples=[
        f"""g (float[B, T, 4] x, float[B, T, 4] r) => (float[B, T, 4] y)
        {_WEIGHTS}> {{
        s = Add(x, r)  y = LayerNormalization<epsilon = 0.00001>(s, w, b) }}""",
        f"""g (float[N, 4] x, float[N, 4] r) => (float[N, 4] y)
        {_WEIGHTS}, float[4] bias = {{1, 2, 3, 4}}> {{
        p = Add(bias, x)  s = Add(p, r)  y = LayerNormalization(s, w) }}""",
    ],
)
def skip_layer_normalization(found: Found) -> Node | None:
    """LayerNormalization of ``x + residual`` (``+ bias``) becomes SkipLayerNormalization.

    It is over the last axis, in float32, and nobody reads its mean and deviation; scale, shift and
    bias are constants of one axis. The run looks whether all is float32, whether x and the residual
    give the shape of x, and whether the vectors are as long as its last axis.
    """
    scale, *shift = found.root.inputs[1:]
    x, residual, bias = found.edges("x", "residual", "bias")
    if not found.are_vectors(scale, *shift, bias):
        return None
    return found.node(
        "SkipLayerNormalization", [x, residual, scale, *(shift or [""]), bias], MICROSOFT,
        epsilon=found.root.attributes.get("epsilon", 1e-5),
    )  # fmt: skip


RULES = (layer_normalization, rms_normalization)
SKIP_RULES = (skip_layer_normalization,)
