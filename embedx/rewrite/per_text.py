"""Texts that run together, each quantized as if it were alone.

The scale of a dynamically quantized tensor covers all of it, so texts in one batch would change
each other. Where the first axis of the tensor is the batch, each text can have a scale of its own,
and all that is left of the neighbours is rounding: a product with a constant matrix adds up in an
order that depends on the number of rows. A quantized value that rounds the other way is no small
difference, so there must be no such product in front of a quantization.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from embedx.model.graph import FUSED_DOMAIN, Graph, Node, TensorType, Value, reads
from embedx.rewrite.edges import Edges
from embedx.rewrite.shape_rules import edges_of
from embedx.rewrite.sizes import Shape, Sizes

_BATCH = "batch"
_ELEMENTWISE = (
    "Abs Add And Cast Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual IsInf IsNaN "
    "LeakyRelu Less LessOrEqual Log Max Min Mod Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid "
    "Sign Sin Sqrt Sub Swish Tanh Where BiasGelu FastGelu QuickGelu"
)
_MOVING = (
    "Concat ConstantOfShape Expand Flatten Gather GatherElements GatherND Identity Range Reshape "
    "Shape Size Slice Split Squeeze Tile Transpose Unsqueeze"
)
_BY_ROW = (
    "ArgMax ArgMin CumSum LayerNormalization RMSNormalization ReduceMax ReduceMin "
    "SimplifiedLayerNormalization SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization Softmax"
)
_EXACT = "DequantizeLinear MatMulInteger QuantizeLinear QuantizedLinear ScaledMatMulInteger"
_SAFE = frozenset(f"{_ELEMENTWISE} {_MOVING} {_BY_ROW} {_EXACT}".split())
"""Operators whose results for a text have the same bits whatever other texts there are."""


def quantized_per_text(graph: Graph, written: Graph) -> Graph:
    """The graph with a scale for each text, if what is quantized has the bits that it has alone.

    ``written`` is the graph before its nodes were fused, all of whose inputs have the batch as
    their first axis. If one quantization can't be for each text, none is.
    """
    quantized = [node for node in graph.nodes if _is_quantized(node)]
    if not quantized:
        return graph
    edges = edges_of(written, {v.name: _with_batch(v) for v in written.feeds}, Sizes())
    fine = all(_is_batch(edges, node.inputs[0]) for node in quantized)
    if not fine or not all(_keeps_bits(edges, node) for node in _behind(graph, quantized)):
        return graph
    nodes = (
        replace(node, attributes={**node.attributes, "by_text": 1}) if _is_quantized(node) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def _with_batch(value: Value) -> Shape:
    """The shape of an input, with one name for the batch of all of them."""
    shape = value.type.shape if isinstance(value.type, TensorType) else None
    if not shape:
        return None
    rest = (f"{value.name}:{i}" if d is None else d for i, d in enumerate(shape[1:], 1))
    return (_BATCH, *rest)


def _is_quantized(node: Node) -> bool:
    return node.domain == FUSED_DOMAIN and node.op_type == "QuantizedLinear"


def _is_batch(edges: Edges, name: str) -> bool:
    """Whether a tensor of several axes has the batch as its first."""
    shape = edges.shape(name)
    return shape is not None and len(shape) > 1 and shape[0] == edges.sizes.of(_BATCH)


def _behind(graph: Graph, nodes: Iterable[Node]) -> list[Node]:
    """The nodes on which others depend."""
    needed = {name for node in nodes for name in node.inputs}
    found = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(reads(node))
            found.append(node)
    return found


def _keeps_bits(edges: Edges, node: Node) -> bool:
    if node.subgraphs:
        return False
    if node.op_type in _SAFE or (node.domain, node.op_type) == (FUSED_DOMAIN, "Attention"):
        return True
    if node.op_type != "MatMul":
        return False
    # Products of stacked matrices are made one by one, and others may have no texts in them.
    left, right = (edges.shape(name) for name in node.inputs)
    stacked = right is not None and len(right) > 2
    return stacked or (left is not None and edges.sizes.of(_BATCH) not in left)
