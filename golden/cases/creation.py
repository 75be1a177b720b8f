"""Tensors made from little or nothing, and conversions."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from .base import (
    INF,
    NAN,
    Array,
    Case,
    bf16,
    bools,
    counting,
    empty,
    f16,
    f32,
    f64,
    i64,
    ints,
    scalar,
    some,
    words,
)


def three(dtype: str, *values: float) -> list[Array]:
    return [scalar(value, dtype) for value in values]


CASES: dict[str, list[Case]] = {
    "Constant": [
        Case("opset1", 1, [], {"value": f32([1, 2])}),
        Case("int8", 13, [], {"value": ints("int8", 1)}),
        Case("float", 12, [], {"value_float": 0.1}),
        Case("floats", 12, [], {"value_floats": [0.1, 2.5]}),
        Case("int", 12, [], {"value_int": 2**60}),
        Case("ints", 13, [], {"value_ints": [1, -2]}),
        Case("string", 13, [], {"value_string": "word"}),
        Case("strings", 13, [], {"value_strings": ["one", "two"]}),
    ],
    "ConstantOfShape": [
        Case("default", 9, [i64(2, 3)]),
        Case("scalar", 9, [i64()], {"value": f32(1.5)}),
        Case("bool", 9, [i64(2)], {"value": bools(True)}),
        Case("nothing", 9, [i64(2, 0)], {"value": i64(1)}),
    ],
    "Range": [
        Case("float32", 11, three("float32", 1, 2, 0.1)),
        Case("float32_down", 11, three("float32", 10, 4, -2)),
        Case("float64", 11, three("float64", 0, 1, 0.3)),
        Case("int64", 11, three("int64", 2**53, 2**53 + 5, 2)),
        Case("int32", 11, three("int32", 10, 6, -3)),
        Case("int16", 11, three("int16", 0, 3, 1)),
        Case("nothing", 11, three("int64", 5, 1, 1)),
    ],
    "EyeLike": [
        Case("default", 9, [some(2, 3)]),
        Case("above", 9, [counting(2, 3, dtype="int32")], {"k": 1}),
        Case("below", 9, [some(3, 2)], {"k": -1, "dtype": TensorProto.INT64}),
    ],
    "OneHot": [
        Case("scalar_depth", 9, [i64(0, 2, 1), scalar(3, "int64"), f32(0, 1)]),
        Case("axis0", 9, [i64(0, 2), i64(3), i64(5, 7)], {"axis": 0}),
        Case("outside", 11, [i64(-1, -3, 3, -4), i64(3), f32(0, 1)]),
        Case("float_indices", 11, [f32(0, 2), i64(3), i64(0, 1)]),
        Case("lost_digits", 11, [i64(1), i64(2), f32(1e8, 0.1)]),
        Case("middle", 11, [i64([0, 1], [1, 0]), i64(2), f32(0, 1)], {"axis": 1}),
    ],
    "Trilu": [
        Case("upper", 14, [counting(3, 3)]),
        Case("lower", 14, [counting(2, 3)], {"upper": 0}),
        Case("k", 14, [counting(2, 3, 3, dtype="int64"), scalar(1, "int64")]),
        Case("k_below", 14, [counting(3, 3), scalar(-1, "int64")], {"upper": 0}),
        Case("k_beyond", 14, [counting(2, 2), scalar(5, "int64")]),
        Case("no_elements", 14, [empty(2, 0, 3)]),
        Case("bool", 14, [bools([True, True], [True, True])]),
    ],
    # With a spread that is lost in rounding the generator does not matter.
    "RandomNormal": [Case("lost_spread", 1, [], {"mean": 2.5, "scale": 1e-30, "shape": [2, 2]})],
    "RandomNormalLike": [
        Case("lost_spread", 1, [some(2, 2)], {"mean": 2.5, "scale": 1e-30}),
        Case("float64", 1, [some(3)], {"mean": 2.5, "scale": 1e-30, "dtype": TensorProto.DOUBLE}),
    ],
    "RandomUniform": [Case("lost_spread", 1, [], {"low": 2.5, "high": 2.5, "shape": [2, 2]})],
    "RandomUniformLike": [
        Case("lost_spread", 1, [some(2, 2)], {"low": 2.5, "high": 2.5}),
        Case("float64", 1, [some(3)], {"low": 0.5, "high": 0.5, "dtype": TensorProto.DOUBLE}),
    ],
    "Bernoulli": [
        Case("certain", 15, [f32(0, 1, 1, 0)]),
        Case("float16", 15, [f32(0, 1).astype("float16")]),
    ],
    "Multinomial": [Case("certain", 7, [f32([0, -1e30], [-1e30, 0])], {"sample_size": 3})],
    "Cast": [
        Case("opset6_to_int64", 6, [f32(1.9, -1.9, 0)], {"to": TensorProto.INT64}),
        Case(
            "to_float16", 9, [f32(1e-8, 0.1, 65519, 65520, 1e10, NAN)], {"to": TensorProto.FLOAT16}
        ),
        Case("double_to_float", 13, [f64(0.1, 1e300, -INF, 1e-50)], {"to": TensorProto.FLOAT}),
        Case("to_bool", 13, [f32(0, 0.1, NAN, -1)], {"to": TensorProto.BOOL}),
        Case("bool_to_float", 13, [bools(True, False)], {"to": TensorProto.FLOAT}),
        Case("int_wraps", 13, [i64(300, -1, 2**40 + 7)], {"to": TensorProto.UINT8}),
        Case("int64_to_float", 13, [i64(2**53 + 1, -(2**63))], {"to": TensorProto.FLOAT}),
        Case("uint8_to_int32", 13, [ints("uint8", 0, 255)], {"to": TensorProto.INT32}),
        Case(
            "string_to_float", 13, [words("1.5", "-INF", "NaN", "1e3")], {"to": TensorProto.FLOAT}
        ),
        Case("string_to_int", 13, [words("7", "-9007199254740993")], {"to": TensorProto.INT64}),
        Case("int_to_string", 13, [i64(7, -9007199254740993)], {"to": TensorProto.STRING}),
        Case("bfloat16_to_float", 13, [bf16(1.5, 1e30)], {"to": TensorProto.FLOAT}),
        Case("no_elements", 13, [empty(0, 2)], {"to": TensorProto.INT32}),
        Case("same", 13, [f32(1)], {"to": TensorProto.FLOAT}),
    ],
    "CastLike": [
        Case("to_int64", 15, [f32(1.9, -1.9), i64(0)]),
        Case("to_float16", 15, [f32(1e-8, 65520), f16(0)]),
        Case("to_bool", 19, [i64(0, 5), bools(True)]),
    ],
    "Dropout": [
        Case("opset7", 7, [some(2, 3)], {"ratio": 0.3}),
        Case("opset10", 10, [some(2, 3)]),  # onnxruntime leaves the mask unfilled
        Case("opset12", 12, [some(2, 3)], {}, (True, True)),
        Case("ratio", 13, [some(3), scalar(0.9), scalar(False, "bool")], {}, (True, True)),
        Case("zero_ratio", 13, [some(3), scalar(0), scalar(True, "bool")], {}, (True, True)),
    ],
}
_ = np
