"""The shapes of a graph's edges, followed from its inputs' through the operators.

Nothing is computed and no node is refused: an operator without a rule here makes edges of unknown
shape, and a node that cannot run leaves a contradiction in the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from embedx.model.graph import Graph, Node
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape, Size, Sizes


def edges_of(graph: Graph, inputs: Mapping[str, Shape], sizes: Sizes) -> Edges:
    """What is known of the edges of a sorted graph whose inputs have these shapes.

    What the operators demand of sizes that are only names is learned by ``sizes``.
    """
    edges = Edges(inputs, sizes)
    _follow(graph, edges)
    return edges


def _follow(graph: Graph, edges: Edges) -> None:
    for name, weight in graph.initializers.items():
        if isinstance(weight, np.ndarray):
            edges.hold(name, weight)
        else:
            edges.set_shape(name, tuple(weight.shape))
    for node in graph.nodes:
        for name in node.outputs:  # in a body it may hide another one
            edges.forget(name)
        try:
            _follow_node(node, edges)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            edges.sizes.contradictions += 1  # such as an attribute that makes no sense
        for body in node.subgraphs.values():
            inner = edges.inner()
            for value in body.inputs:
                inner.forget(value.name)
            _follow(body, inner)


def _follow_node(node: Node, edges: Edges) -> None:
    if node.op_type == "Constant":
        held = next(iter(node.attributes.values()), None)
        if isinstance(held, np.ndarray | tuple | int | float):
            edges.hold(node.outputs[0], np.asarray(held))
        return
    reckon = None if node.domain else _VALUES.get(node.op_type)
    if reckon is not None and (values := reckon(edges, node)) is not None:
        edges.set_values(node.outputs[0], values)
    rule = _RULES.get(node.operator)
    if rule is not None:
        made = rule(edges, node, [edges.shape(name) for name in node.inputs])
        for name, shape in zip(node.outputs, made, strict=False):
            edges.set_shape(name, shape)


Rule: TypeAlias = Callable[[Edges, Node, list[Shape]], Iterable[Shape]]
"""From the shapes of a node's inputs to those of its outputs, as many as are known."""
_RULES: dict[str, Rule] = {}


def _rule(names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return register


def _at(shapes: Sequence[Shape], place: int) -> Shape:
    return shapes[place] if place < len(shapes) else None


def _axis(node: Node, rank: int, default: int = 0) -> int:
    """The attribute ``axis``, from the front; what lies outside becomes 0."""
    axis = int(node.attributes.get("axis", default))
    axis += rank if axis < 0 else 0
    return axis if 0 <= axis < rank else 0


@_rule(
    "Abs Acos Acosh Asin Asinh Atan Atanh Bernoulli BitwiseNot Cast CastLike Ceil Celu Clip Cos "
    "Cosh CumProd CumSum DequantizeLinear Dropout Elu Erf Exp EyeLike Floor Gelu HardSigmoid "
    "HardSwish Hardmax Identity IsInf IsNaN LeakyRelu Log LogSoftmax LpNormalization LRN "
    "MeanVarianceNormalization Mish Neg Not QuantizeLinear RandomNormalLike RandomUniformLike "
    "Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish "
    "Tan Tanh ThresholdedRelu Trilu com.microsoft::DequantizeLinear com.microsoft::Gelu "
    "com.microsoft::QuantizeLinear com.microsoft::QuickGelu com.microsoft::RotaryEmbedding "
    "RotaryEmbedding ScatterElements ScatterND Scatter"
)
def _like_first(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [shapes[0]]


@_rule("DynamicQuantizeLinear")
def _quantized(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [shapes[0], (), ()]


@_rule(
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor com.microsoft::BiasGelu "
    "com.microsoft::FastGelu"
)
def _broadcast(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    if node.opset < 7 and not node.domain:
        return [shapes[0]]  # the second input may begin at any axis
    given = [shape for name, shape in zip(node.inputs, shapes, strict=True) if name]
    return [edges.sizes.broadcast(*given)]


@_rule(
    "LayerNormalization RMSNormalization SimplifiedLayerNormalization "
    "com.microsoft::SkipLayerNormalization com.microsoft::SkipSimplifiedLayerNormalization"
)
def _normalized(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    skips = "Skip" in node.op_type
    if skips:
        x = edges.sizes.broadcast(x, _at(shapes, 1))
    for scale in shapes[1 + skips :]:
        if x is not None and scale is not None and len(scale) <= len(x):
            edges.sizes.broadcast(x, scale)
    return [x]


@_rule("BatchNormalization GroupNormalization InstanceNormalization")
def _normalized_channels(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, scale = shapes[0], _at(shapes, 1)
    of_groups = node.op_type == "GroupNormalization" and node.opset < 21
    if x is not None and len(x) > 1 and scale is not None and len(scale) == 1 and not of_groups:
        edges.sizes.same(scale[0], x[1])
    return [x]


def _product(edges: Edges, a: Shape, b: Shape) -> Shape:
    """The shape of a product of matrices, of which vectors are the rows and the columns."""
    if a is None or b is None or not a or not b:
        return None
    sizes = edges.sizes
    sizes.same(b[-2] if len(b) > 1 else b[0], a[-1])
    stack = sizes.broadcast(a[:-2], b[:-2])
    assert stack is not None
    return (*stack, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


@_rule(
    "MatMul MatMulInteger com.microsoft::DynamicQuantizeMatMul com.microsoft::MatMulInteger16 "
    "com.microsoft::MatMulIntegerToFloat"
)
def _matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [_product(edges, shapes[0], _at(shapes, 1))]


@_rule("QLinearMatMul")
def _quantized_matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [_product(edges, shapes[0], _at(shapes, 3))]


@_rule("com.microsoft::FusedMatMul com.microsoft::TransposeMatMul")
def _fused_matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    if node.attributes.get("transBatchA") or node.attributes.get("transBatchB"):
        return []
    turned = [
        (*shape[:-2], shape[-1], shape[-2])
        if node.attributes.get(name) and shape is not None and len(shape) > 1
        else shape
        for name, shape in zip(("transA", "transB"), shapes, strict=False)
    ]
    return [_product(edges, *turned)]


@_rule("Gemm com.microsoft::FusedGemm")
def _gemm(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    turned = [
        None if shape is None or len(shape) != 2 else shape[:: -1 if node.attributes.get(t) else 1]
        for shape, t in zip(shapes, ("transA", "transB"), strict=False)
    ]
    y = _product(edges, *turned)
    return [y if y is None or _at(shapes, 2) is None else edges.sizes.broadcast(y, shapes[2])]


@_rule("com.microsoft::MatMulNBits com.microsoft::MatMulBnb4")
def _packed_matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    weight = (int(node.attributes.get("K", 0)), int(node.attributes.get("N", 0)))
    return [_product(edges, shapes[0], weight)]


@_rule("Transpose")
def _transpose(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    order = node.attributes.get("perm")
    if x is None:
        return []
    order = tuple(range(len(x)))[::-1] if order is None else order
    return [tuple(x[i] for i in order)] if sorted(order) == list(range(len(x))) else []


@_rule("Unsqueeze com.microsoft::ExpandDims")
def _unsqueeze(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, axes = shapes[0], edges.numbers(node, 1, "axes")
    if x is None or axes is None:
        return []
    rank = len(x) + len(axes)
    places = {axis % rank for axis in axes}
    rest = iter(x)
    return [tuple(1 if i in places else next(rest) for i in range(rank))]


@_rule("Squeeze")
def _squeeze(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, axes = shapes[0], edges.numbers(node, 1, "axes")
    given = len(node.inputs) > 1 or "axes" in node.attributes
    if x is None or (given and axes is None):
        return []
    if axes is None:
        known = all(isinstance(size, int) for size in x)
        return [tuple(size for size in x if size != 1)] if known else []
    places = {axis % max(len(x), 1) for axis in axes}
    for place in places:
        edges.sizes.same(1, x[place])
    return [tuple(size for i, size in enumerate(x) if i not in places)]


@_rule("Flatten")
def _flatten(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    if shapes[0] is None:
        return []
    axis = int(node.attributes.get("axis", 1))
    return [(edges.sizes.product(shapes[0][:axis]), edges.sizes.product(shapes[0][axis:]))]


@_rule("Reshape")
def _reshape(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    attribute = node.attributes.get("shape")
    target = attribute if len(node.inputs) < 2 else edges.values(node.inputs[1])
    if target is None:
        return []
    copies = not node.attributes.get("allowzero", 0)
    return [edges.sizes.reshaped(shapes[0], target, zero_copies=copies)]


@_rule("Concat")
def _concat(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    known = [shape for shape in shapes if shape is not None]
    if not known or len({len(shape) for shape in known}) > 1 or not known[0]:
        return []
    axis = _axis(node, len(known[0]))
    sizes = edges.sizes
    first = known[0]
    for shape in known[1:]:
        for i, size in enumerate(shape):
            if i != axis:
                sizes.same(first[i], size)
    pieces = [sizes.of(shape[axis]) for shape in known]
    total = sizes.total(pieces) if len(known) == len(shapes) else sizes.new()
    return [(*first[:axis], total, *first[axis + 1 :])]


@_rule("Split")
def _split(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, lengths = shapes[0], edges.numbers(node, 1, "split")
    if not x:
        return []
    axis, count = _axis(node, len(x)), len(node.outputs)
    if lengths is not None:
        edges.sizes.same(sum(lengths), x[axis])
        pieces: Sequence[Size] = lengths
    elif len(node.inputs) > 1 or node.opset >= 18:
        pieces = [edges.sizes.new() for _ in range(count)]
    else:
        edges.sizes.multiple(x[axis], count)
        size = edges.sizes.of(x[axis])
        pieces = [size // count if isinstance(size, int) else edges.sizes.new()] * count
    return [(*x[:axis], piece, *x[axis + 1 :]) for piece in pieces]


@_rule("Slice")
def _slice(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    if x is None:
        return []
    old = len(node.inputs) == 1
    starts, ends, axes, steps = (
        edges.numbers(node, 1 + i, name)
        for i, name in enumerate(("starts", "ends", "axes", "steps"))
    )
    if axes is None and (old or len(node.inputs) < 4 or not node.inputs[3]):
        axes = list(range(len(starts or ends or ())))
    if axes is None:
        return [tuple(edges.sizes.new() for _ in x)]
    if steps is None and (old or len(node.inputs) < 5 or not node.inputs[4]):
        steps = [1] * len(axes)
    result = list(x)
    for i, axis in enumerate(axes):
        size = edges.sizes.of(x[axis % len(x)]) if -len(x) <= axis < len(x) else ""
        if size == "":
            edges.sizes.contradictions += 1
        elif starts and ends and steps and steps[i] and isinstance(size, int):
            result[axis] = len(range(size)[starts[i] : ends[i] : steps[i]])
        else:
            result[axis] = edges.sizes.new()
    return [tuple(result)]


@_rule("Expand")
def _expand(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    target = edges.values(node.inputs[1])
    return [] if target is None else [edges.sizes.broadcast(shapes[0], target)]


@_rule("ConstantOfShape")
def _constant_of_shape(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [edges.values(node.inputs[0])]


@_rule("Shape")
def _shape(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    values = edges.values(node.outputs[0])
    return [(edges.sizes.new() if values is None else len(values),)]


@_rule("Range")
def _range(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [(edges.sizes.new(),)]


@_rule("Gather")
def _gather(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    table, indices = shapes[0], _at(shapes, 1)
    if not table or indices is None:
        return []
    axis = _axis(node, len(table))
    return [(*table[:axis], *indices, *table[axis + 1 :])]


@_rule("GatherElements")
def _gather_elements(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [_at(shapes, 1)]


@_rule("OneHot")
def _one_hot(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    indices, depth = shapes[0], edges.numbers(node, 1)
    if indices is None:
        return []
    axis = _axis(node, len(indices) + 1, -1)
    size: Size = depth[0] if depth else edges.sizes.new()
    return [(*indices[:axis], size, *indices[axis:])]


@_rule("TopK")
def _top_k(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, k = shapes[0], edges.numbers(node, 1, "k")
    if not x:
        return []
    axis = _axis(node, len(x), -1)
    return [(*x[:axis], k[0] if k else edges.sizes.new(), *x[axis + 1 :])] * 2


@_rule(
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare"
)
def _reduced(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    if x is None:
        return []
    if node.op_type.startswith("Arg"):
        axes: list[int] | None = [_axis(node, len(x))]
    else:
        axes = edges.numbers(node, 1, "axes")
        if axes is None and len(node.inputs) > 1 and node.inputs[1]:
            return []
    if not axes:
        axes = [] if node.attributes.get("noop_with_empty_axes") else list(range(len(x)))
    places = {axis % max(len(x), 1) for axis in axes}
    kept = node.attributes.get("keepdims", 1)
    return [
        tuple(1 if i in places else size for i, size in enumerate(x) if kept or i not in places)
    ]


_CONVOLUTIONS = {"QLinearConv": (0, 3)}


@_rule("Conv ConvInteger QLinearConv com.microsoft::FusedConv")
def _conv(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, w = (_at(shapes, i) for i in _CONVOLUTIONS.get(node.op_type, (0, 1)))
    if x is None or w is None or len(x) != len(w) or len(x) < 3:
        return []
    edges.sizes.same(edges.sizes.product([w[1], int(node.attributes.get("group", 1))]), x[1])
    return [(x[0], w[0], *_windows(edges, node, x[2:], w[2:]))]


@_rule("ConvTranspose")
def _conv_transpose(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, w = shapes[0], _at(shapes, 1)
    if x is None or w is None or len(x) != len(w) or len(x) < 3:
        return []
    edges.sizes.same(w[0], x[1])
    channels = edges.sizes.product([w[1], int(node.attributes.get("group", 1))])
    return [(x[0], channels, *(edges.sizes.new() for _ in x[2:]))]


@_rule("AveragePool LpPool MaxPool")
def _pool(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, kernel = shapes[0], node.attributes.get("kernel_shape", ())
    if x is None or len(kernel) != len(x) - 2:
        return []
    y = (*x[:2], *_windows(edges, node, x[2:], kernel))
    return [y, y]


@_rule("GlobalAveragePool GlobalLpPool GlobalMaxPool")
def _global_pool(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    return [] if x is None else [(*x[:2], *(1 for _ in x[2:]))]


def _windows(
    edges: Edges, node: Node, spaces: Sequence[Size], kernel: Sequence[Size]
) -> Iterable[Size]:
    """How often a window fits along each axis."""
    rank = len(spaces)
    ones, zeros = (1,) * rank, (0,) * 2 * rank
    strides, dilations, pads = (
        tuple(node.attributes.get(name, default))
        for name, default in (("strides", ones), ("dilations", ones), ("pads", zeros))
    )
    automatic = node.attributes.get("auto_pad", b"NOTSET")
    same = automatic in (b"SAME_UPPER", b"SAME_LOWER", "SAME_UPPER", "SAME_LOWER")
    if len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank:
        return [edges.sizes.new() for _ in spaces]
    result: list[Size] = []
    for i, (space, span) in enumerate(zip(map(edges.sizes.of, spaces), kernel, strict=True)):
        if not isinstance(space, int) or not isinstance(span, int):
            result.append(edges.sizes.new())
            continue
        if same:
            count = -(-space // strides[i])
        else:
            rest = space + pads[i] + pads[i + rank] - dilations[i] * (span - 1) - 1
            up = strides[i] - 1 if node.attributes.get("ceil_mode") else 0
            count = (rest + up) // strides[i] + 1 if rest >= 0 else 0
            if up and (count - 1) * strides[i] >= space + pads[i]:
                count -= 1  # no window begins in the padding behind
        if count < 1:
            edges.sizes.contradictions += 1
        result.append(count)
    return result


@_rule("Pad")
def _pad(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, pads = shapes[0], edges.numbers(node, 1, "pads")
    if x is None:
        return []
    if pads is None or len(pads) != 2 * len(x):
        return [tuple(edges.sizes.new() for _ in x)]
    return [
        tuple(
            edges.sizes.total([size, before + after])
            for size, before, after in zip(x, pads[: len(x)], pads[len(x) :], strict=True)
        )
    ]


@_rule("Resize Upsample")
def _resize(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [] if shapes[0] is None else [tuple(edges.sizes.new() for _ in shapes[0])]


@_rule("LSTM GRU RNN")
def _recurrent(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, w, r = shapes[0], _at(shapes, 1), _at(shapes, 2)
    if x is None or w is None or r is None or (len(x), len(w), len(r)) != (3, 3, 3):
        return []
    sizes = edges.sizes
    sizes.same(w[2], x[2])
    by_batch = node.attributes.get("layout", 0)
    steps, batch = (x[1], x[0]) if by_batch else (x[0], x[1])
    state = (batch, w[0], r[2]) if by_batch else (w[0], batch, r[2])
    for place in (5, 6):
        given = _at(shapes, place)
        if given is not None and len(given) == 3:
            sizes.equal(state, given)
    lengths = _at(shapes, 4)
    if lengths is not None and len(lengths) == 1:
        sizes.same(batch, lengths[0])
    whole = (batch, steps, w[0], r[2]) if by_batch else (steps, w[0], batch, r[2])
    return [whole, state, state]


@_rule("Einsum")
def _einsum(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    equation = node.attributes.get("equation", "")
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    terms, arrow, result = text.replace(" ", "").partition("->")
    labels = terms.split(",")
    if not arrow or "." in terms or len(labels) != len(shapes):
        return []
    known: dict[str, Size] = {}
    for term, shape in zip(labels, shapes, strict=True):
        if shape is not None and len(term) == len(shape):
            for label, size in zip(term, shape, strict=True):
                met = edges.sizes.broadcast((known.get(label, 1),), (size,))
                known[label] = met[0] if met else size
    return [tuple(known[label] for label in result)] if set(result) <= set(known) else []


@_rule("com.microsoft::EmbedLayerNormalization")
def _embedded(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    ids, words = shapes[0], _at(shapes, 2)
    if ids is None or words is None or len(ids) != 2:
        return []
    for place in (1, 7, 8):
        other = _at(shapes, place)
        if other is not None and len(other) == 2:
            edges.sizes.broadcast(ids, other)
    return [(*ids, words[-1])]


@_rule("com.microsoft::Attention com.microsoft::QAttention")
def _attention(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, weight = shapes[0], _at(shapes, 1)
    if x is None or weight is None or len(x) != 3 or len(weight) != 2:
        return []
    edges.sizes.same(weight[0], x[2])
    width = edges.sizes.of(weight[1])
    split = node.attributes.get("qkv_hidden_sizes")
    value = split[2] if split else width // 3 if isinstance(width, int) else edges.sizes.new()
    return [(*x[:2], value)]


@_rule("com.microsoft::MultiHeadAttention")
def _multi_head_attention(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    query, key, value = (_at(shapes, i) for i in range(3))
    if query is None or len(query) != 3:
        return []
    sizes = edges.sizes
    if key is not None and len(key) == 3:
        sizes.same(query[0], key[0])
        sizes.same(query[2], key[2])
        if value is not None and len(value) == 3:
            sizes.same(key[0], value[0])
            sizes.same(key[1], value[1])
            return [(*query[:2], value[2])]
    return [query] if value is None and key is not None else []


@_rule("com.microsoft::GroupQueryAttention")
def _grouped_attention(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    query, key = shapes[0], _at(shapes, 1)
    heads = int(node.attributes.get("num_heads", 0))
    shared = int(node.attributes.get("kv_num_heads", 0))
    if query is None or len(query) != 3 or not heads or not shared:
        return []
    sizes = edges.sizes
    width = sizes.of(query[2])
    packed = not (len(node.inputs) > 1 and node.inputs[1])
    parts = heads + 2 * shared if packed else heads
    head = width // parts if isinstance(width, int) else sizes.new()
    if key is not None and len(key) == 3:
        sizes.equal(key, (query[0], query[1], sizes.product([shared, head])))
    caches = [shape for shape in shapes[3:5] if shape is not None and len(shape) == 4]
    for cache in caches:
        sizes.equal((query[0], shared, caches[0][2], head), cache)
    present = (query[0], shared, sizes.new(), head)
    return [(*query[:2], sizes.product([heads, head])), present, present]


Values: TypeAlias = tuple[Size, ...] | None


def _shape_values(edges: Edges, node: Node) -> Values:
    shape = edges.shape(node.inputs[0])
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return None if shape is None else shape[start:end]


def _size_values(edges: Edges, node: Node) -> Values:
    shape = edges.shape(node.inputs[0])
    return None if shape is None else (edges.sizes.product(shape),)


def _same_values(edges: Edges, node: Node) -> Values:
    return edges.values(node.inputs[0])


def _gathered_values(edges: Edges, node: Node) -> Values:
    values, places = edges.values(node.inputs[0]), edges.numbers(node, 1)
    if values is None or places is None:
        return None
    inside = all(-len(values) <= place < len(values) for place in places)
    return tuple(values[place] for place in places) if inside else None


def _sliced_values(edges: Edges, node: Node) -> Values:
    values = edges.values(node.inputs[0])
    starts, ends = edges.numbers(node, 1, "starts"), edges.numbers(node, 2, "ends")
    steps = edges.numbers(node, 4, "steps") if len(node.inputs) > 4 else [1]
    if values is None or not starts or not ends or not steps or len(starts) != 1 or not steps[0]:
        return None
    return values[starts[0] : ends[0] : steps[0]]


def _concatenated_values(edges: Edges, node: Node) -> Values:
    pieces = [
        (edges.sizes.new(),) if edges.shape(name) == (1,) and edges.values(name) is None
        else edges.values(name)
        for name in node.inputs
    ]  # fmt: skip
    return None if None in pieces else tuple(size for piece in pieces for size in piece or ())


def _reckoned_values(edges: Edges, node: Node) -> Values:
    a, b = (edges.values(name) for name in node.inputs)
    if not a or not b or len({len(a), len(b)} - {1}) > 1:
        return None
    count = max(len(a), len(b))
    pairs = zip(a * (count // len(a)), b * (count // len(b)), strict=True)
    if node.op_type == "Mul":
        return tuple(edges.sizes.product(pair) for pair in pairs)
    if node.op_type == "Add":
        return tuple(map(edges.sizes.total, pairs))
    known = [(x, y) for x, y in pairs if isinstance(x, int) and isinstance(y, int)]
    if len(known) < count or (node.op_type == "Div" and any(y <= 0 or x < 0 for x, y in known)):
        return None
    functions: dict[str, Callable[[int, int], int]] = {
        "Sub": int.__sub__,
        "Div": int.__floordiv__,
    }
    return tuple(functions[node.op_type](x, y) for x, y in known)


_VALUES: dict[str, Callable[[Edges, Node], Values]] = {
    "Shape": _shape_values,
    "Size": _size_values,
    "Gather": _gathered_values,
    "Slice": _sliced_values,
    "Concat": _concatenated_values,
    **dict.fromkeys(("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"), _same_values),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _reckoned_values),
}
