"""What looks at many elements for one: Softmax, normalisation, reductions."""

from __future__ import annotations

import numpy as np

from .base import (
    BFLOAT16,
    INF,
    Case,
    bools,
    empty,
    f16,
    f32,
    i64,
    ints,
    some,
)

CASES: dict[str, list[Case]] = {}

# Softmax and its kin: before opset 13 the axis cuts the shape in two.
for name in ("Softmax", "LogSoftmax", "Hardmax"):
    cube, rank4 = some(2, 3, 2, scale=2), some(2, 2, 2, 2, scale=2, seed=1)
    CASES[name] = [
        Case("opset1_default", 1, [cube]),
        Case("opset11_default", 11, [cube]),
        *[Case(f"opset11_axis{axis}", 11, [cube], {"axis": axis}) for axis in (0, 1, 2, -1, -2)],
        Case("opset11_rank4", 11, [rank4], {"axis": 2}),
        Case("opset11_rank4_default", 11, [rank4]),
        Case("opset13_default", 13, [cube]),
        *[Case(f"opset13_axis{axis}", 13, [cube], {"axis": axis}) for axis in (0, 1, -2)],
        Case("large", 13, [f32([1000, 999, -1000], [-1e30, -1e30, -2e30])]),
        Case("one_column", 13, [some(3, 1)]),
    ]
CASES["Softmax"] += [
    Case("masked", 13, [f32([-INF, 1, 2], [-INF, -INF, -INF])]),
    Case("float16", 13, [some(2, 4, dtype="float16", scale=3)]),
]
for name in ("Softmax", "LogSoftmax"):
    CASES[name].append(Case("float64", 13, [some(2, 3, dtype="float64")]))
CASES["LogSoftmax"].append(Case("far_apart", 13, [f32(0, -200)]))
CASES["Hardmax"].append(Case("tie", 13, [f32([1, 3, 3], [0, 0, 0])]))

# Normalisation.
SPREAD = f16([300, -300, 100, 0], [60000, -60000, 1, 2])
CASES["LayerNormalization"] = [
    Case("opset9", 9, [some(2, 4), some(4, seed=1), some(4, seed=2)], {}, (True, True, True)),
    Case("opset14_halves", 14, [SPREAD, f32(1, 2, 1, 0.5), f32(0, 1, 0, 0)]),
    Case("defaults", 17, [some(2, 4), some(4, seed=1), some(4, seed=2)]),
    Case("no_bias", 17, [some(2, 4), some(4, seed=1)]),
    Case("statistics", 17, [some(2, 4), some(4, seed=1)], outputs=(True, True, True)),
    Case("deviation_only", 17, [some(2, 4), some(4, seed=1)], outputs=(True, False, True)),
    Case("two_axes", 17, [some(2, 2, 3), some(2, 3, seed=1)], {"axis": 1}, (True, True, True)),
    Case("axis0", 17, [some(2, 3), some(2, 3, seed=1), some(2, 3, seed=2)], {"axis": -2}),
    Case("epsilon", 17, [some(2, 4, scale=0.01), some(4, seed=1)], {"epsilon": 0.1}),
    Case("constant_rows", 17, [f32([5, 5, 5], [0, 0, 0]), f32(1, 2, 3), f32(7, 8, 9)]),
    Case("far_from_zero", 17, [f32([1000, 1001, 1002, 1003]), f32(1, 1, 1, 1)]),
    Case("float16", 17, [SPREAD, f16(1, 2, 1, 0.5), f16(0, 1, 0, 0)], outputs=(True, True, True)),
    Case("float64", 17, [some(2, 4, dtype="float64"), some(4, dtype="float64", seed=1)]),
]
CASES["RMSNormalization"] = [
    Case("defaults", 23, [some(2, 4), some(4, seed=1)]),
    Case("two_axes", 23, [some(2, 2, 3), some(2, 3, seed=1)], {"axis": 1}),
    Case("epsilon", 23, [some(2, 4, scale=0.01), some(4, seed=1)], {"epsilon": 0.1}),
    Case("float16", 23, [SPREAD, f16(1, 2, 1, 0.5)]),
]
CASES["LpNormalization"] = [
    Case("opset1", 1, [some(2, 3)]),
    Case("p1", 22, [some(2, 3)], {"p": 1, "axis": 0}),
    Case("float64", 1, [some(2, 3, dtype="float64")], {"axis": 0}),
]

# Reductions: axes as an attribute, then as an input.
FLOATING_REDUCTIONS = ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean")
WHOLE_REDUCTIONS = (
    "ReduceL1",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
for name in FLOATING_REDUCTIONS + WHOLE_REDUCTIONS:
    cube = np.abs(some(2, 3, 2)) if name == "ReduceLogSum" else some(2, 3, 2)
    new = 13 if name == "ReduceSum" else 18
    CASES[name] = [
        Case("opset1_all", 1, [cube]),
        Case("opset1_axis1", 1, [cube], {"axes": [1]}),
        Case("opset11_negative", 11, [cube], {"axes": [-1, 0], "keepdims": 0}),
        Case("all", new, [cube]),
        Case("all_dropped", new, [cube], {"keepdims": 0}),
        Case("axes", new, [cube, i64(0, -1)]),
        Case("empty_axes", new, [cube, i64()]),
        Case("noop", new, [cube, i64()], {"noop_with_empty_axes": 1}),
        Case("noop_without_axes", new, [cube], {"noop_with_empty_axes": 1}),
        Case("float64", new, [cube.astype(np.float64), i64(1)], {"keepdims": 0}),
        Case("float16", new, [cube.astype(np.float16), i64(1)]),
        Case("bfloat16", new, [cube.astype(BFLOAT16), i64(1)]),
    ]
for name in WHOLE_REDUCTIONS:
    new = 13 if name == "ReduceSum" else 18
    CASES[name] += [
        Case("int32", new, [ints("int32", [1, -2, 3], [-4, 5, 6]), i64(1)]),
        Case("int64", new, [i64([2**53, 1, 2**53], [-1, 5, -6]), i64(1)]),
    ]
for name in ("ReduceSum", "ReduceProd", "ReduceL1", "ReduceSumSquare"):
    CASES[name] += [
        Case("wraps", 18, [ints("int32", 2**31 - 1, 2, 1)]),
        Case("no_elements", 18, [empty(2, 0), i64(1)]),
    ]
for name in ("ReduceMax", "ReduceMin"):
    CASES[name] += [
        Case("int8", 18, [ints("int8", [-128, 5], [127, 0]), i64(1)]),
        Case("uint8", 12, [ints("uint8", 200, 3)]),
        Case("bool", 20, [bools([True, False], [False, False]), i64(1)]),
        Case("infinite", 18, [f32([-INF, 1, INF], [-INF, -INF, -INF]), i64(1)]),
    ]
CASES["ReduceSum"].append(Case("float16_long", 13, [f16(2048, *[1] * 8)]))
CASES["ReduceMean"] += [
    Case("int32", 18, [ints("int32", [1, 2, 4], [-1, -2, -4]), i64(1)]),
    Case("float16_large", 18, [f16(60000, 60000, 30000)]),
]
CASES["ReduceL2"].append(Case("float16_large", 18, [f16(300, 300)]))
CASES["ReduceLogSumExp"].append(Case("far", 18, [f32([1000, 999], [-1000, -1001]), i64(1)]))
CASES["ReduceLogSum"].append(Case("zero", 18, [f32(0, 0)]))
