"""Quantization: floats as small integers, and products of those."""

from __future__ import annotations

from onnx import TensorProto

from .base import INF, Case, f32, ints, octets, scalar, some

U8 = "uint8"
TIES = f32(0.5, 1.5, 2.5, -0.5, 254.5, 255.5, 1e10, -1e10, INF, -INF)

CASES: dict[str, list[Case]] = {
    "QuantizeLinear": [
        Case("opset10", 10, [TIES, scalar(1), scalar(0, U8)]),
        Case("no_zero_point", 10, [TIES, scalar(2)]),
        Case("int8", 10, [TIES, scalar(0.5), scalar(-3, "int8")]),
        Case("zero_point_after_rounding", 13, [f32(0.5, 1.5, 2.5), scalar(1), scalar(1, U8)]),
        Case("per_axis", 13, [some(2, 3, scale=9), f32(0.1, 0.2, 1), ints(U8, 0, 128, 255)]),
        Case("axis0", 13, [some(2, 3, scale=9), f32(0.1, 0.2), ints("int8", 0, -5)], {"axis": 0}),
        Case("axis-1", 13, [some(2, 2, scale=9), f32(0.1, 0.2), ints("int8", 0, 1)], {"axis": -1}),
        Case("int16", 21, [TIES, scalar(0.01), scalar(5, "int16")]),
        Case("uint16", 21, [TIES, scalar(0.01), scalar(5, "uint16")]),
        Case("negative_scale", 13, [TIES, scalar(-0.5), scalar(3, U8)]),
        Case("output_dtype", 21, [TIES, scalar(1)], {"output_dtype": TensorProto.INT8}),
        Case(
            "blocked", 21, [some(2, 4, scale=9), f32([0.1, 0.2], [1, 2]), ints(U8, [0, 1], [2, 3])],
            {"axis": 1, "block_size": 2},
        ),
    ],
    "DequantizeLinear": [
        Case("opset10", 10, [ints(U8, 0, 128, 255), scalar(0.1), scalar(128, U8)]),
        Case("no_zero_point", 10, [ints("int8", -128, 0, 127), scalar(0.1)]),
        Case("int32", 10, [ints("int32", -(2**31), 7), scalar(0.5)]),
        Case(
            "per_axis", 13,
            [ints(U8, [0, 9, 255], [1, 2, 3]), f32(0.1, 0.2, 1), ints(U8, 0, 128, 255)],
        ),
        Case(
            "axis0", 13, [ints("int8", [-128, 9], [1, 2]), f32(0.1, 0.2), ints("int8", 3, -5)],
            {"axis": 0},
        ),
        Case(
            "scales_of_any_sign", 13,
            [ints("int8", [-128, 9], [1, 2]), f32(-0.5, 0), ints("int8", 3, -5)], {"axis": 0},
        ),
        Case("int16", 21, [ints("int16", -(2**15), 5), scalar(0.1), scalar(5, "int16")]),
        Case(
            "blocked", 21,
            [octets(2, 4), f32([0.1, 0.2], [1, 2]), ints(U8, [0, 1], [2, 3])],
            {"axis": 1, "block_size": 2},
        ),
    ],
    "DynamicQuantizeLinear": [
        Case("mixed", 11, [some(2, 3)], {}, (True, True, True)),
        Case("positive", 11, [f32(1, 2, 3.5)], {}, (True, True, True)),
        Case("negative", 11, [f32(-1, -2, -3.5)], {}, (True, True, True)),
        Case("tie_in_float32", 11, [f32(-2.5, 0, 2.5)], {}, (True, True, True)),
    ],
    "QLinearMatMul": [
        Case(
            "u8", 10,
            [
                ints(U8, [208, 236, 0], [3, 214, 255]), scalar(0.0066), scalar(113, U8),
                ints(U8, [152, 51], [60, 26], [0, 127]), scalar(0.00705), scalar(114, U8),
                scalar(0.0107), scalar(118, U8),
            ],
        ),
        Case(
            "per_column", 10,
            [
                ints(U8, [208, 236], [3, 214]), scalar(0.0066), scalar(113, U8),
                ints(U8, [152, 51], [60, 26]), f32(0.00705, 0.01), ints(U8, 114, 0),
                scalar(0.0107), scalar(118, U8),
            ],
        ),
        Case(
            "negative_scales", 10,
            [
                ints(U8, [208, 236], [3, 214]), scalar(-0.0066), scalar(113, U8),
                ints(U8, [152, 51], [60, 26]), f32(0.00705, -0.01), ints(U8, 114, 0),
                scalar(-0.0107), scalar(118, U8),
            ],
        ),
    ],
}  # fmt: skip
