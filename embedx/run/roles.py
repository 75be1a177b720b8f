"""What operators expect in inputs that are no plain data: indices, axes, shapes, lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from embedx.model.graph import Graph, Node
from embedx.rewrite.edges import Edges

Reads: TypeAlias = Mapping[str, Sequence[tuple[Node, int]]]

_KEEPING = (
    "Cast CastLike Expand Flatten Identity Reshape Slice Squeeze Tile Transpose Unsqueeze".split()
)
"""Operators whose result has no values but those of their first input."""

_TABLES: dict[tuple[str, int], tuple[int, int | None]] = {
    ("Gather", 1): (0, None),
    ("GatherElements", 1): (0, None),
    ("RotaryEmbedding", 3): (1, 0),
    ("Scatter", 1): (0, None),
    ("ScatterElements", 1): (0, None),
    ("ai.onnx.ml::ArrayFeatureExtractor", 1): (0, -1),
    ("com.microsoft::EmbedLayerNormalization", 0): (2, 0),
    ("com.microsoft::EmbedLayerNormalization", 1): (4, 0),
    ("com.microsoft::EmbedLayerNormalization", 8): (3, 0),
    ("com.microsoft::GatherBlockQuantized", 1): (0, None),
    ("com.microsoft::QEmbedLayerNormalization", 0): (2, 0),
    ("com.microsoft::QEmbedLayerNormalization", 1): (4, 0),
    ("com.microsoft::RotaryEmbedding", 1): (2, 0),
}
"""Inputs that hold indices: into which input, and along which axis (None: the attribute's)."""


def readers(graph: Graph) -> dict[str, list[tuple[Node, int]]]:
    """The nodes that read each edge, those of subgraphs included, and as which of their inputs."""
    found: dict[str, list[tuple[Node, int]]] = {}
    for node in graph.walk():
        for place, name in enumerate(node.inputs):
            found.setdefault(name, []).append((node, place))
    return found


def reached(edge: str, reads: Reads) -> Iterator[tuple[Node, int]]:
    """Where the values of an edge arrive as they are, if perhaps in another shape or type."""
    edges = [edge]
    for name in edges:
        for node, place in reads.get(name, ()):
            yield node, place
            if place == 0 and node.op_type in _KEEPING and node.outputs[0] not in edges:
                edges.append(node.outputs[0])


def table_of(node: Node, place: int) -> str | None:
    """The edge into which an input holds indices; None if it holds none."""
    table, _ = _TABLES.get((node.operator, place), (len(node.inputs), None))
    return node.inputs[table] if table < len(node.inputs) else None


def rows(edges: Edges, node: Node, place: int) -> int | None:
    """How long the axis is into which an input holds indices; None if it holds none."""
    if (node.operator, place) not in _TABLES:
        return None
    table, axis = _TABLES[node.operator, place]
    return _size(edges, node, table, int(node.attributes.get("axis", 0)) if axis is None else axis)


Role: TypeAlias = Callable[[Edges, Node, int], Any]
"""From a node and the number of elements of an input to its values, or one for all of them.

A range says between which numbers they lie; None says that too little is known.
"""
_ROLES: dict[tuple[str, int], Role] = {}


def expected(edges: Edges, node: Node, place: int, count: int) -> Any:
    """What the node expects in an input of ``count`` elements, as a Role says it."""
    size = rows(edges, node, place)
    if size is not None:
        return range(size)
    role = _ROLES.get((node.operator, place))
    try:
        return None if role is None else role(edges, node, count)
    except (ArithmeticError, LookupError, TypeError):
        return None  # such as an attribute that makes no sense


def size_of(edges: Edges, node: Node, place: int, axis: int) -> int | None:
    """The size of an axis of an input that only the node knows; None if it does not matter."""
    if (node.operator, place) in _LENGTHS and axis == 0:
        each, more = _LENGTHS[node.operator, place]
        shape = edges.shape(node.inputs[0])
        if node.op_type == "Split":
            return len(node.outputs)
        if node.op_type == "Resize" and node.opset < 11:
            each = 1  # the scales stood where the region stands now
        return more if not each or shape is None else each * len(shape) + more
    # A window of 1 fits every image.
    return 1 if node.op_type in ("Conv", "ConvTranspose") and place == 1 and axis > 1 else None


def _role(operators: str, place: int) -> Callable[[Role], Role]:
    def register(role: Role) -> Role:
        _ROLES.update({(operator, place): role for operator in operators.split()})
        return role

    return register


def _always(value: Any, *places: str) -> None:
    """One value for all elements of inputs, which are written as ``Operator:place``."""
    for text in places:
        operator, _, place = text.rpartition(":")
        _ROLES[operator, int(place)] = lambda edges, node, count: value


_always(
    0, "CumProd:1", "CumSum:1", "Pad:1", "SequenceAt:1", "SequenceErase:1", "SequenceInsert:2",
    "Slice:1", "TensorScatter:2",
)  # fmt: skip
_always(
    1, "ConstantOfShape:0", "If:0", "Loop:1", "Range:2", "Resize:2", "STFT:1", "Slice:4", "Tile:1",
    "TopK:1", "Upsample:1", "Compress:1",
)  # fmt: skip
_always(2, "Loop:0")
_always(3, "OneHot:1", "Range:1")
_always(0, "Range:0", "MelWeightMatrix:3")
_always(8, "BlackmanWindow:0", "HammingWindow:0", "HannWindow:0", "MelWeightMatrix:0")
_always(16, "MelWeightMatrix:1")
_always(8000, "MelWeightMatrix:2")
_always(4000, "MelWeightMatrix:4")
_always(0.5, "Bernoulli:0", "Dropout:1")
_always(range(1, 8), "Div:1", "Mod:1")
_always(range(8), "BitShift:1")
_always(2**31 - 1, "Slice:2")
_always("1", "Cast:0")


def rank_of(edges: Edges, node: Node, place: int) -> int | None:
    """How many axes an input has by what the node does with it; None if it does not tell."""
    if (node.operator, place) in _LENGTHS:
        return 1
    if (node.operator, place) in _SCALARS:
        return 0
    if node.op_type == "Transpose" and "perm" in node.attributes:
        return len(node.attributes["perm"])
    if node.op_type in ("Gemm", "EmbedLayerNormalization"):
        return 2
    if node.op_type in ("GRU", "LSTM", "RNN", "Attention", "MultiHeadAttention"):
        return 3 if place < 3 else None
    if node.op_type in ("AveragePool", "LpPool", "MaxPool"):
        return len(node.attributes.get("kernel_shape", (1, 1))) + 2
    if node.op_type in ("GlobalAveragePool", "GlobalMaxPool", "BatchNormalization"):
        return 4 if place == 0 else 1
    others = [edges.shape(name) for i, name in enumerate(node.inputs) if i != place]
    known = [len(shape) for shape in others if shape is not None]
    if not known or node.op_type not in (
        "Add",
        "Concat",
        "Conv",
        "ConvTranspose",
        "MatMul",
        "Mul",
        "Sub",
    ):
        return None
    return max(max(known), 2)


_SCALARS = {
    ("If", 0), ("Loop", 0), ("Loop", 1), ("Range", 0), ("Range", 1), ("Range", 2), ("OneHot", 1),
    ("CumSum", 1), ("CumProd", 1), ("SequenceAt", 1), ("SequenceErase", 1), ("SequenceInsert", 2),
    ("Dropout", 1), ("Dropout", 2), ("Trilu", 1),
}  # fmt: skip
_LENGTHS: dict[tuple[str, int], tuple[int, int]] = {
    ("AffineGrid", 1): (0, 4),
    ("ConstantOfShape", 0): (0, 2),
    ("Expand", 1): (1, 0),
    ("Pad", 1): (2, 0),
    ("Reshape", 1): (1, 0),
    ("Resize", 1): (2, 0),
    ("Resize", 2): (1, 0),
    ("Resize", 3): (1, 0),
    ("Split", 1): (0, 2),
    ("SplitToSequence", 1): (0, 2),
    ("Tile", 1): (1, 0),
    ("Upsample", 1): (1, 0),
    **{("Slice", place): (0, 1) for place in (1, 2, 3, 4)},
    **{(name, 1): (0, 1) for name in ("Squeeze", "Unsqueeze", "TopK")},
    **{(name, 1): (0, 1) for name in (
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ReduceSumSquare"
    ).split()},
}  # fmt: skip
"""Inputs that are vectors: how many numbers for each axis of the first input, and how many more."""


def _numbers(edges: Edges, node: Node, place: int) -> list[int] | None:
    """The shape of an input if all of it is known."""
    shape = edges.shape(node.inputs[place]) if place < len(node.inputs) else None
    known = [size for size in shape or () if isinstance(size, int)]
    return known if shape is not None and len(known) == len(shape) else None


def _size(edges: Edges, node: Node, place: int, axis: int) -> int | None:
    """One size of an input, if it is known."""
    shape = edges.shape(node.inputs[place]) if place < len(node.inputs) else None
    size = shape[axis] if shape and -len(shape) <= axis < len(shape) else None
    return size if isinstance(size, int) else None


@_role(
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare Unsqueeze",
    1,
)
@_role("Pad Slice", 3)
def _axes(edges: Edges, node: Node, count: int) -> Any:
    return list(range(count))


@_role("Squeeze", 1)
def _single_axes(edges: Edges, node: Node, count: int) -> Any:
    shape = _numbers(edges, node, 0)
    ones = [i for i, size in enumerate(shape or ()) if size == 1]
    return ones[:count] if len(ones) >= count else list(range(count))


@_role("Expand Reshape", 1)
@_role("Resize", 3)
def _shape(edges: Edges, node: Node, count: int) -> Any:
    shape = _numbers(edges, node, 0)
    axes = node.attributes.get("axes")
    if shape is not None and axes is not None and len(axes) == count:
        return [shape[axis] for axis in axes]
    if shape is not None and len(shape) == count:
        return shape
    first = [-1] if node.op_type == "Reshape" else [1]
    return (first + [1] * count)[:count]


@_role("Resize", 1)
def _region(edges: Edges, node: Node, count: int) -> Any:
    return 1 if node.opset < 11 else [0.0] * (count // 2) + [1.0] * (count - count // 2)


@_role("Split SplitToSequence", 1)
def _lengths(edges: Edges, node: Node, count: int) -> Any:
    size = _size(edges, node, 0, int(node.attributes.get("axis", 0)))
    if node.op_type == "SplitToSequence" and edges.shape(node.inputs[1]) == ():
        return 1
    if size is None:
        return None
    each = size // max(count, 1)
    return [each] * (count - 1) + [size - each * (count - 1)]


@_role("GatherND", 1)
@_role("ScatterND", 1)
def _tuples(edges: Edges, node: Node, count: int) -> Any:
    data, indices = _numbers(edges, node, 0), _numbers(edges, node, 1)
    if not data or not indices:
        return None
    first = int(node.attributes.get("batch_dims", 0))
    return range(min(data[first : first + indices[-1]], default=0))


@_role("OneHot", 0)
def _classes(edges: Edges, node: Node, count: int) -> Any:
    depth = edges.numbers(node, 1)
    return range(depth[0]) if depth else None


@_role("NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss", 1)
def _labels(edges: Edges, node: Node, count: int) -> Any:
    size = _size(edges, node, 0, 1)
    return None if size is None else range(size)


@_role("RoiAlign", 2)
def _images(edges: Edges, node: Node, count: int) -> Any:
    size = _size(edges, node, 0, 0)
    return None if size is None else range(size)


@_role("GRU LSTM RNN", 4)
def _steps(edges: Edges, node: Node, count: int) -> Any:
    return _size(edges, node, 0, 1 if node.attributes.get("layout") else 0)


@_role("ReverseSequence", 1)
def _reversed_steps(edges: Edges, node: Node, count: int) -> Any:
    return _size(edges, node, 0, int(node.attributes.get("time_axis", 0)))


@_role("AffineGrid", 1)
def _grid(edges: Edges, node: Node, count: int) -> Any:
    return [_size(edges, node, 0, 0) or 1, 1, *range(2, count)]


@_role("Col2Im", 1)
def _image(edges: Edges, node: Node, count: int) -> Any:
    """The image whose last axis has as many places for a block of one pixel as there are blocks."""
    blocks = _size(edges, node, 0, 2)
    if blocks is None:
        return None
    stride = node.attributes.get("strides", (1,) * count)[-1]
    pads = node.attributes.get("pads", (0,) * 2 * count)
    spans = [1] * (count - 1) + [(blocks - 1) * stride + 1]
    return [span - pads[i] - pads[i + count] for i, span in enumerate(spans)]


_always(1, "Col2Im:2")


@_role("com.microsoft::GroupQueryAttention", 5)
def _last_keys(edges: Edges, node: Node, count: int) -> Any:
    total = _all_keys(edges, node, count)
    return None if total is None else total - 1


@_role("com.microsoft::GroupQueryAttention", 6)
def _all_keys(edges: Edges, node: Node, count: int) -> Any:
    queries, past = _size(edges, node, 0, 1), _size(edges, node, 3, 2)
    return None if queries is None else queries + (past or 0)


@_role("MaxUnpool", 1)
def _places(edges: Edges, node: Node, count: int) -> Any:
    shape = _numbers(edges, node, 0)
    return None if shape is None else range(math.prod(shape))


@_role("MaxUnpool", 2)
def _unpooled(edges: Edges, node: Node, count: int) -> Any:
    shape, kernel = _numbers(edges, node, 0), node.attributes.get("kernel_shape", ())
    if shape is None or len(shape) != len(kernel) + 2:
        return None
    strides = node.attributes.get("strides", (1,) * len(kernel))
    spans = zip(shape[2:], kernel, strides, strict=True)
    return [*shape[:2], *((size - 1) * stride + span for size, span, stride in spans)]


@_role("ai.onnx.ml::DictVectorizer", 0)
def _vocabulary(edges: Edges, node: Node, count: int) -> Any:
    words = node.attributes.get("string_vocabulary") or node.attributes.get("int64_vocabulary")
    return [word.decode() if isinstance(word, bytes) else word for word in words or ()]
