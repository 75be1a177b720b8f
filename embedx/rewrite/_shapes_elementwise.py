"""Shapes of elementwise operators, normalisations and reductions."""

from __future__ import annotations

from collections.abc import Iterable

from embedx.model.graph import Node
from embedx.rewrite._shape_registry import at, axis_of, rule
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape


@rule(
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


@rule("DynamicQuantizeLinear")
def _quantized(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [shapes[0], (), ()]


@rule(
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor com.microsoft::BiasGelu "
    "com.microsoft::FastGelu"
)
def _broadcast(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    if node.opset < 7 and not node.domain:
        return [shapes[0]]  # the second input may begin at any axis
    given = [shape for name, shape in zip(node.inputs, shapes, strict=True) if name]
    return [edges.sizes.broadcast(*given)]


@rule(
    "LayerNormalization RMSNormalization SimplifiedLayerNormalization "
    "com.microsoft::SkipLayerNormalization com.microsoft::SkipSimplifiedLayerNormalization"
)
def _normalized(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    skips = "Skip" in node.op_type
    if skips:
        x = edges.sizes.broadcast(x, at(shapes, 1))
    for scale in shapes[1 + skips :]:
        if x is not None and scale is not None and len(scale) <= len(x):
            edges.sizes.broadcast(x, scale)
    return [x]


@rule("BatchNormalization GroupNormalization InstanceNormalization")
def _normalized_channels(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, scale = shapes[0], at(shapes, 1)
    of_groups = node.op_type == "GroupNormalization" and node.opset < 21
    if x is not None and len(x) > 1 and scale is not None and len(scale) == 1 and not of_groups:
        edges.sizes.same(scale[0], x[1])
    return [x]


@rule(
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare"
)
def _reduced(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    if x is None:
        return []
    if node.op_type.startswith("Arg"):
        axes: list[int] | None = [axis_of(node, len(x))]
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
