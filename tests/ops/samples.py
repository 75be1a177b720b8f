"""One call of each operator, with small whole numbers that every dtype can hold."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from embedx.ops import Array

Sample: TypeAlias = tuple[list[Any], dict[str, Any]]
"""Inputs (``None`` for those left out, lists for sequences) and attributes."""


def f32(*values: Any) -> Array:
    return np.array(values, np.float32)


def u8(*values: Any) -> Array:
    return np.array(values, np.uint8)


def i64(*values: int) -> Array:
    return np.array(values, np.int64)


X = f32([1, 2, 3], [0, 1, 2])
B = np.array([[True, False, True], [False, False, True]])
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4) % 5
IMAGE = np.arange(16, dtype=np.float32).reshape(1, 4, 2, 2) % 7
PIXELS = np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2) % 3
ROW = f32(2, 1, 3)
CACHE = f32([0, 1], [1, 1])
HEADS = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) % 4

UNARY_FLOAT = """
    Acos-7 Acosh-9 Asin-7 Asinh-9 Atan-7 Atanh-9 Ceil-6 Celu-12 Cos-7 Cosh-9 Elu-6 Erf-9 Exp-6
    Floor-6 Gelu-20 HardSigmoid-6 HardSwish-14 Hardmax-1 Hardmax-13 IsInf-10 IsNaN-9 LeakyRelu-6
    Log-6 LogSoftmax-1 LogSoftmax-13 LpNormalization-1 Mish-18 Reciprocal-6 Round-11 Selu-6
    Sigmoid-6 Sin-7 Sinh-9 Softmax-1 Softmax-13 Softplus-1 Softsign-1 Sqrt-6 Swish-24 Tan-7 Tanh-6
    ThresholdedRelu-1
""".split()
UNARY_NUMBER = "Abs-6 Clip-6 Neg-6 NonZero-9 Relu-6 Shrink-9 Sign-9".split()
UNARY_ANY = """
    Dropout-7 Dropout-10 Dropout-12 EyeLike-9 Flatten-1 Identity-1 RandomNormalLike-1
    RandomUniformLike-1
    Shape-1 Size-1 Squeeze-1 Squeeze-13 Transpose-1 Trilu-14 Unique-11 Optional-15
    OptionalHasElement-15 OptionalGetElement-15
""".split()
BINARY = """
    Add-7 Div-7 Equal-7 Greater-7 GreaterOrEqual-12 Less-7 LessOrEqual-12 Max-8 Mean-8 Min-8 Mul-7
    Pow-7 PRelu-7 Sub-7 Sum-8 SwiGLU-28
""".split()
REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
""".split()

SAMPLES: dict[str, Sample] = {
    **{title: ([X], {}) for title in UNARY_FLOAT + UNARY_NUMBER + UNARY_ANY},
    **{title: ([X + 1, X + 1], {}) for title in BINARY},
    **{f"{name}-1": ([X], {"axes": (1,)}) for name in REDUCTIONS},
    **{f"{name}-18": ([X, i64(-1)], {"keepdims": 0}) for name in REDUCTIONS if name != "ReduceSum"},
    "ReduceSum-13": ([X, i64(0)], {}),
    # arithmetic, elementary, activation
    "Mod-10": ([X + 1, X + 1], {"fmod": 1}),
    "Clip-11": ([X, np.array(1, np.float32), np.array(2, np.float32)], {}),
    "PRelu-1": ([X, ROW], {}),
    # comparison, bitwise
    "And-7": ([B, B[::-1]], {}),
    "Or-7": ([B, B[::-1]], {}),
    "Xor-7": ([B, B[::-1]], {}),
    "Not-1": ([B], {}),
    "Where-9": ([B, X, X + 1], {}),
    "BitCast-26": ([X], {"to": 6}),
    "BitShift-11": ([u8([4], [9]), u8(1, 8)], {"direction": "LEFT"}),
    "BitwiseAnd-18": ([u8(6, 5), u8(3, 1)], {}),
    "BitwiseOr-18": ([u8(6, 5), u8(3, 1)], {}),
    "BitwiseXor-18": ([u8(6, 5), u8(3, 1)], {}),
    "BitwiseNot-18": ([u8(6, 5)], {}),
    # casting, creation
    "Cast-6": ([X], {"to": 7}),
    "CastLike-15": ([X, i64(0)], {}),
    "Constant-1": ([], {"value_ints": (1, 2)}),
    "ConstantOfShape-9": ([i64(2, 3)], {"value": f32(2)}),
    "OneHot-9": ([i64(0, 2), i64(3), f32(0, 1)], {}),
    "RandomNormal-1": ([], {"shape": (2, 3)}),
    "RandomUniform-1": ([], {"shape": (2, 3)}),
    "Range-11": ([np.array(n, np.float32) for n in (1, 5, 2)], {}),
    # searching, cumulative
    "ArgMax-1": ([X], {}),
    "ArgMin-1": ([X], {"axis": -1, "keepdims": 0}),
    "CumProd-26": ([X, i64(1)], {}),
    "CumSum-11": ([X, i64(-1)], {"exclusive": 1}),
    "TopK-1": ([X], {"k": 2}),
    "TopK-10": ([X, i64(2)], {}),
    # slicing, shape
    "CenterCropPad-18": ([X, i64(1, 5)], {}),
    "Concat-1": ([X, X], {}),
    "Concat-4": ([X, X], {"axis": 0}),
    "Pad-2": ([X], {"pads": (1, 0, 0, 1)}),
    "Pad-11": ([X, i64(1, 0, 0, -1)], {}),
    "Slice-1": ([X], {"starts": (0,), "ends": (-1,)}),
    "Slice-10": ([X, i64(0), i64(2), i64(1)], {}),
    "Split-2": ([X], {"axis": 1, "split": (1, 2)}),
    "Split-13": ([X, i64(1, 2)], {"axis": 1}),
    "Split-18": ([X], {"axis": 1, "num_outputs": 2}),
    "Tile-1": ([X, i64(2), i64(1)], {}),
    "Tile-6": ([X, i64(2, 1)], {}),
    "DepthToSpace-1": ([IMAGE], {"blocksize": 2}),
    "SpaceToDepth-1": ([IMAGE], {"blocksize": 2}),
    "Expand-8": ([X, i64(2, 1, 3)], {}),
    "Reshape-1": ([X], {"shape": (3, 2)}),
    "Reshape-5": ([X, i64(3, -1)], {}),
    "Unsqueeze-1": ([X], {"axes": (0,)}),
    "Unsqueeze-13": ([X, i64(0, -1)], {}),
    # indexing
    "Compress-9": ([X, np.array([True, False, True])], {"axis": 1}),
    "Gather-1": ([X, i64(1, -2)], {}),
    "GatherElements-11": ([X, i64(1, 0, -1).reshape(1, 3)], {}),
    "GatherND-11": ([X, i64(1, 2).reshape(1, 2)], {}),
    "ReverseSequence-10": ([X, i64(2, 1, 2)], {}),
    "Scatter-9": ([X, i64(1, 0, -1).reshape(1, 3), ROW.reshape(1, 3)], {}),
    "ScatterElements-11": ([X, i64(1, 0, -1).reshape(1, 3), ROW.reshape(1, 3)], {}),
    "ScatterND-11": ([X, i64(1).reshape(1, 1), ROW.reshape(1, 3)], {}),
    "TensorScatter-24": ([CUBE, CUBE[:, :1], i64(0, 2)], {}),
    # matmul, normalization, attention
    "Det-11": ([f32([2, 1], [1, 3])], {}),
    "Einsum-12": ([X, X], {"equation": "ij, kj -> ik"}),
    "Gemm-7": ([X, X, f32(1, 2)], {"transB": 1}),
    "MatMul-1": ([X, X.T], {}),
    "LayerNormalization-1": ([X, ROW, ROW], {}),
    "RMSNormalization-23": ([X, ROW], {}),
    "Attention-23": ([HEADS, HEADS, HEADS, f32([0, 1, 0])], {"is_causal": 1}),
    "RotaryEmbedding-23": ([HEADS, CACHE, CACHE[::-1], i64(0, 1, 0)[None]], {}),
    # quantization, integer
    "QuantizeLinear-10": ([X, f32(1, 2, 1), u8(1, 0, 1)], {}),
    "DequantizeLinear-10": ([u8([1, 2, 3]), f32(1, 2, 1), u8(1, 0, 1)], {}),
    "DynamicQuantizeLinear-11": ([X], {}),
    "MatMulInteger-10": ([u8([1, 2], [3, 4]), u8([1], [2]), u8(1, 0), u8(1)], {}),
    "QLinearMatMul-10": ([PIXELS, f32(1), u8(1), PIXELS, f32(2), u8(0), f32(1), u8(3)], {}),
    "ConvInteger-10": ([PIXELS, PIXELS, u8(1), u8(0)], {}),
    "QLinearConv-10": ([PIXELS, f32(1), u8(1), PIXELS, f32(2), u8(0), f32(1), u8(3)], {}),
    # sequence
    "ConcatFromSequence-11": ([[X, X]], {"axis": 1}),
    "SequenceAt-11": ([[X, X], np.array(-1)], {}),
    "SequenceConstruct-11": ([X, X], {}),
    "SequenceEmpty-11": ([], {}),
    "SequenceErase-11": ([[X, X], np.array(0)], {}),
    "SequenceInsert-11": ([[X], X], {}),
    "SequenceLength-11": ([[X, X]], {}),
    "SplitToSequence-11": ([X, i64(1, 2)], {"axis": 1}),
}  # fmt: skip
