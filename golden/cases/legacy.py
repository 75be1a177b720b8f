"""The forms before opset 7 or 8, spelled as the newer ones that onnxruntime has."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Case, bools, f32, i64, some

PLACED: dict[str, Any] = {"axis": 0, "broadcast": 1}


def forms(a: Array, b: Array, column: Array) -> list[Case]:
    """Equal shapes, B at the end of A's shape, and B from A's first axis on."""
    since = 7
    return [
        Case("opset6_one_shape", 6, [a, a[::-1].copy()], same_as=(since, [a, a[::-1].copy()], {})),
        Case("opset6_at_the_end", 6, [a, b], {"broadcast": 1}, same_as=(since, [a, b], {})),
        Case("opset6_axis", 6, [a, column], PLACED, same_as=(since, [a, column[:, None]], {})),
    ]


CASES: dict[str, list[Case]] = {}
A = f32([0.5, 2, 4], [1, 3, 0.25])
for _name in ("Add", "Sub", "Mul", "Div", "Pow", "Greater", "Less"):
    CASES[_name] = forms(A, f32(2, 3, 0.5), f32(0.5, 3))
CASES["Equal"] = forms(
    A.astype(np.int32), f32(0, 3, 4).astype(np.int32), f32(2, 3).astype(np.int32)
)
B = bools([True, False, True], [False, False, True])
for _name in ("And", "Or", "Xor"):
    CASES[_name] = forms(B, B[0], B[0, :2])
for _name in ("Max", "Min", "Sum", "Mean"):
    DATA = [some(2, 2), some(2, 2, seed=1), some(2, 2, seed=2)]
    CASES[_name] = [Case("opset6", 6, DATA, same_as=(8, DATA, {}))]

X, Y, C = some(2, 3), some(3, 2, seed=1), some(2, 2, seed=2)
CASES["Gemm"] = [
    Case("opset6", 6, [X, Y, C], {"alpha": 0.5, "beta": 2.0}, same_as=(
        7, [X, Y, C], {"alpha": 0.5, "beta": 2.0}
    )),
    Case("opset6_row", 6, [X, Y, C[0]], {"broadcast": 1}, same_as=(7, [X, Y, C[0]], {})),
    Case("opset6_transposed", 6, [X, X, C], {"transB": 1}, same_as=(
        7, [X, X, C], {"transB": 1}
    )),
]  # fmt: skip
CASES["Dropout"] = [Case("opset6", 6, [X], {"is_test": 1}, same_as=(7, [X], {}))]

# Tried out and removed at opset 10.
IMAGES = some(2, 2, 3, 4)
CASES["Affine"] = [Case("defaults", 7, [X]), Case("both", 9, [X], {"alpha": 0.5, "beta": -2.0})]
CASES["Scale"] = [Case("defaults", 7, [X]), Case("three", 9, [X], {"scale": 3.0})]
CASES["ScaledTanh"] = [Case("both", 7, [X], {"alpha": 2.0, "beta": 0.5})]
CASES["ParametricSoftplus"] = [Case("both", 7, [X], {"alpha": 2.0, "beta": 0.5})]
CASES["ImageScaler"] = [Case("channels", 8, [IMAGES], {"scale": 2.0, "bias": [0.5, -1.0]})]
CASES["Crop"] = [
    Case("border", 7, [IMAGES], {"border": [1, 0, 2, 1]}),
    Case("size", 9, [IMAGES], {"border": [1, 0, 2, 1], "scale": [3, 2]}),
]
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
CASES["DynamicSlice"] = [
    Case("first_axes", 7, [ROWS, i64(1, -2), i64(2, 99)]),
    Case("one_axis", 9, [ROWS, i64(0), i64(-1), i64(1)]),
]
CASES["ThresholdedRelu"] = [Case("opset7", 7, [X], {"alpha": 0.25})]
CASES["MeanVarianceNormalization"] = [
    Case("opset7", 7, [IMAGES]),
    Case("opset7_across_channels", 7, [IMAGES], {"across_channels": 1}),
    Case("opset8_centred", 8, [IMAGES], {"normalize_variance": 0}),
]
