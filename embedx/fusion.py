"""Nodes that together compute one formula become one node, as onnxruntime's optimizer does it.

What comes out are operators of the standard and of ``com.microsoft``, so each has its readable
form in ``embedx.ops``; only attention's inner part, which no operator of theirs is, gets a name in
the domain ``embedx``. A fused node covers the nodes that it stands for, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx.graph import Graph, Node
from embedx.patterns import Call, Edge, Formula, Match, Number, Patterns, call
from embedx.rewrite import drop_dead

_MICROSOFT = "com.microsoft"
FUSED_DOMAIN = "embedx"
"""The domain of what only kernels compute."""


@dataclass(frozen=True)
class Fusion:
    """A formula, and the node that replaces what computes it; ``None`` leaves it alone."""

    formula: Formula
    build: Callable[[Patterns, Match, Node], Node | None]


def fuse(graph: Graph, tolerance: float = 2**-20) -> Graph:
    """The graph with one node for each GELU, normalisation, attention and quantized product.

    ``graph`` must be sorted, and without nodes that only compute constants. A constant such as the
    root of 2 may be off by ``tolerance``, as its type has rounded it. Results differ from the
    unfused ones by rounding.
    """
    for stage in STAGES:
        graph = _fused(graph, stage, tolerance)
    return graph


def _fused(graph: Graph, fusions: Sequence[Fusion], tolerance: float) -> Graph:
    patterns = Patterns(graph, tolerance)
    covered: set[int] = set()
    replaced: dict[int, Node] = {}
    # From the end, so that the largest part of a nested formula is seen first.
    for place in reversed(range(len(graph.nodes))):
        node = graph.nodes[place]
        for fusion in fusions if place not in covered else ():
            match = patterns.find(fusion.formula, node.outputs[0])
            if match is None or not covered.isdisjoint(match.nodes):
                continue
            built = fusion.build(patterns, match, node)
            if built is not None:
                sources = (graph.nodes[i] for i in sorted(match.nodes))
                flat = (inner for source in sources for inner in source.covers or (source,))
                replaced[place] = replace(built, covers=tuple(flat))
                covered |= match.nodes
                break
    nodes = (
        replaced.get(i, node)
        for i, node in enumerate(graph.nodes)
        if i in replaced or i not in covered
    )
    return drop_dead(replace(graph, nodes=tuple(nodes)))


def _node(
    root: Node,
    op_type: str,
    inputs: Sequence[str],
    domain: str = "",
    opset: int = 1,
    **attributes: Any,
) -> Node:
    return Node(
        op_type, tuple(inputs), root.outputs[:1], attributes, domain, root.name,
        opset=opset, index=root.index,
    )  # fmt: skip


# ----------------------------------------------------------------------------------- activations

_x, _bias, _residual = Edge("x"), Edge("bias", weight=True), Edge("residual")
_cube = _x + _x**3 * 0.044715
_GELU = _x * 0.5 * (call("Erf", _x * 2**-0.5) + 1)
_TANH_GELU = _x * 0.5 * (call("Tanh", _cube * math.sqrt(2 / math.pi)) + 1)
_TANH_GELU_FACTORED = (
    _x * 0.5 * (call("Tanh", _x * (_x**2 * 0.044715 + 1) * math.sqrt(2 / math.pi)) + 1)
)


def _gelu(patterns: Patterns, match: Match, root: Node) -> Node:
    return _node(root, "Gelu", [match.edges["x"]], opset=20)


def _tanh_gelu(patterns: Patterns, match: Match, root: Node) -> Node:
    return _node(root, "Gelu", [match.edges["x"]], opset=20, approximate="tanh")


def _bias_gelu(patterns: Patterns, match: Match, root: Node) -> Node | None:
    x, bias = match.edges["x"], match.edges["bias"]
    if not _is_vector(patterns, bias):
        return None
    fast = root.attributes.get("approximate", "none") == "tanh"
    return _node(root, "FastGelu" if fast else "BiasGelu", [x, bias], _MICROSOFT)


def _is_vector(patterns: Patterns, *edges: str) -> bool:
    weights = (patterns.weight(edge) for edge in edges)
    return all(isinstance(w, np.ndarray) and w.ndim == 1 and w.size > 1 for w in weights)


# -------------------------------------------------------------------------------- normalisations


def _on_last_axis(graph: Graph, node: Node) -> bool:
    axes: Any = node.attributes.get("axes")
    if len(node.inputs) > 1:
        axes = graph.initializers.get(node.inputs[1])
    listed = np.ravel(axes).tolist() if isinstance(axes, np.ndarray | tuple) else None
    return listed == [-1] and node.attributes.get("keepdims", 1) == 1


def _mean(x: Formula) -> Call:
    return Call("ReduceMean", (x,), where=_on_last_axis)


_scale, _shift, _epsilon = Edge("scale", weight=True), Edge("shift", weight=True), Number("epsilon")
_centred = _x - _mean(_x)
_STANDARDISED = _centred * (_mean(_centred**2) + _epsilon) ** -0.5
_LAYER_NORM = _STANDARDISED * _scale + _shift
_UNSHIFTED_LAYER_NORM = _STANDARDISED * _scale
_RMS_NORM = _x * (_mean(_x**2) + _epsilon) ** -0.5 * _scale


def _layer_norm(patterns: Patterns, match: Match, root: Node) -> Node | None:
    parameters = [match.edges[name] for name in ("scale", "shift") if name in match.edges]
    if not _is_vector(patterns, *parameters):
        return None
    inputs, epsilon = [match.edges["x"], *parameters], match.numbers["epsilon"]
    return _node(root, "LayerNormalization", inputs, opset=17, axis=-1, epsilon=epsilon)


def _rms_norm(patterns: Patterns, match: Match, root: Node) -> Node | None:
    x, scale, epsilon = match.edges["x"], match.edges["scale"], match.numbers["epsilon"]
    if not _is_vector(patterns, scale):
        return None
    return _node(root, "RMSNormalization", [x, scale], opset=23, axis=-1, epsilon=epsilon)


def _alone_on_last_axis(graph: Graph, node: Node) -> bool:
    return node.attributes.get("axis", -1) == -1 and not any(node.outputs[1:])


_INPUTS_OF_NORM = (_x + _residual + _bias, _x + _residual)


def _skip_layer_norm(patterns: Patterns, match: Match, root: Node) -> Node | None:
    bias = match.edges.get("bias", "")
    scale, *shift = root.inputs[1:]
    if not _is_vector(patterns, scale, *filter(None, (*shift, bias))):
        return None
    inputs = [match.edges["x"], match.edges["residual"], scale, *(shift or [""]), bias]
    epsilon = root.attributes.get("epsilon", 1e-5)
    return _node(root, "SkipLayerNormalization", inputs, _MICROSOFT, epsilon=epsilon)


# ------------------------------------------------------------------------------------- attention


def _softmax_on_last_axis(graph: Graph, node: Node) -> bool:
    # 3 is the last axis of all attention that splits heads; the kernel looks once more.
    return node.attributes.get("axis", -1 if node.opset >= 13 else 1) in (-1, 3)


def _probabilities(scores: Formula) -> tuple[Formula, ...]:
    softmax = Call("Softmax", (scores,), where=_softmax_on_last_axis)
    # PyTorch's own attention gives zeros, not NaN, to a query that may not look at any key.
    guarded = call("Where", call("IsNaN", softmax), Edge("dead", weight=True), softmax)
    return softmax, guarded


def _masked(scores: Formula) -> tuple[Formula, ...]:
    mask, fill = Edge("mask"), Edge("fill", weight=True)
    # Where broadcasts by itself, so a mask that was expanded to the scores' shape need not be.
    expanded = call("Expand", mask, call("Shape", scores))
    masks = (mask, expanded, call("Cast", expanded))
    added = (scores + mask, scores + mask + Edge("bias"))
    return scores, *added, *(call("Where", m, fill, scores) for m in masks)


_product = call("MatMul", Edge("q"), Edge("k"))
_ATTENTION = tuple(
    call("MatMul", probabilities, Edge("v"))
    for product in (_product, _product * Number("scale"))
    for scores in _masked(product)
    for probabilities in _probabilities(scores)
)


def _attention(patterns: Patterns, match: Match, root: Node) -> Node:
    edges = [match.edges.get(name, "") for name in ("q", "k", "v", "mask", "fill", "dead", "bias")]
    softmax = next(n for n in _nodes(patterns, match) if n.op_type == "Softmax")
    return _node(
        root, "Attention", edges, FUSED_DOMAIN,
        scale=match.numbers.get("scale", 1.0), axis=softmax.attributes.get("axis", -1),
    )  # fmt: skip


def _nodes(patterns: Patterns, match: Match) -> list[Node]:
    return [patterns.graph.nodes[i] for i in sorted(match.nodes)]


# ---------------------------------------------------------------------------- quantized products


def _to_float(graph: Graph, node: Node) -> bool:
    return node.attributes.get("to") == 1


_accumulator = call("MatMulInteger", Edge("a"), Edge("b"))
_WHOLE = [Call("Cast", (sums,), where=_to_float) for sums in (_accumulator + _bias, _accumulator)]


def _scaled_product(patterns: Patterns, match: Match, root: Node) -> Node | None:
    (product,) = (n for n in _nodes(patterns, match) if n.op_type == "MatMulInteger")
    operands = [*product.inputs, "", ""][:4]
    inputs = [*operands, match.edges["scale"], match.edges.get("bias", "")]
    return _node(root, "ScaledMatMulInteger", inputs, FUSED_DOMAIN)


def _shifted_product(patterns: Patterns, match: Match, root: Node) -> Node | None:
    (product,) = (n for n in _nodes(patterns, match) if n.op_type == "ScaledMatMulInteger")
    if len(product.inputs) != 6 or not _is_vector(patterns, match.edges["shift"]):
        return None
    return replace(product, inputs=(*product.inputs, match.edges["shift"]), outputs=root.outputs)


STAGES: tuple[tuple[Fusion, ...], ...] = (
    (
        Fusion(_GELU, _gelu),
        Fusion(_TANH_GELU, _tanh_gelu),
        Fusion(_TANH_GELU_FACTORED, _tanh_gelu),
        Fusion(_LAYER_NORM, _layer_norm),
        Fusion(_RMS_NORM, _rms_norm),
        *(Fusion(formula, _attention) for formula in _ATTENTION),
        *(
            Fusion(call("Mul", *operands), _scaled_product)
            for whole in _WHOLE
            for operands in ((whole, Edge("scale")), (Edge("scale"), whole))
        ),
    ),
    (
        Fusion(_UNSHIFTED_LAYER_NORM, _layer_norm),
        Fusion(call("Gelu", _x + _bias), _bias_gelu),
        Fusion(
            call("ScaledMatMulInteger", Edge("a"), domain=FUSED_DOMAIN) + _shift, _shifted_product
        ),
        *(
            Fusion(
                Call("LayerNormalization", (summed, _scale), where=_alone_on_last_axis),
                _skip_layer_norm,
            )
            for summed in _INPUTS_OF_NORM
        ),
    ),
)
