"""Elements found, taken, put and sorted; running sums."""

from __future__ import annotations

from .base import (
    BFLOAT16,
    NAN,
    Case,
    bools,
    counting,
    empty,
    f16,
    f32,
    i64,
    ints,
    scalar,
    some,
    words,
)

TWO = (True, True)
GRID = counting(3, 3)

CASES: dict[str, list[Case]] = {
    "Gather": [
        Case("opset1", 1, [counting(3, 2), i64(2, 0)]),
        Case("negative", 11, [counting(3, 2), i64([-1, 0], [1, -3])]),
        Case("scalar_index", 13, [counting(3, 2), scalar(1, "int64")], {"axis": 1}),
        Case("int32_indices", 13, [counting(3, 2), ints("int32", 1)], {"axis": -1}),
        Case("no_indices", 13, [counting(3, 2), empty(0, dtype="int64")]),
        Case("string", 13, [words("a", "b"), i64(1, 1)]),
        Case("bool", 13, [bools(True, False), i64(1, 1)]),
    ],
    "GatherElements": [
        Case("opset11", 11, [GRID, i64([1, 2, 0], [2, 0, 0])]),
        Case("negative", 13, [GRID, i64([-1, -3], [0, 1])], {"axis": 1}),
        Case("smaller", 13, [GRID, i64([2])], {"axis": -1}),
        Case("int32_indices", 13, [GRID, ints("int32", [0, 1, 2])]),
    ],
    "GatherND": [
        Case("opset11", 11, [counting(2, 2), i64([0, 0], [1, 1])]),
        Case("slices", 12, [counting(2, 2), i64([1], [0])]),
        Case("batch", 12, [counting(2, 2, 2), i64([1], [0])], {"batch_dims": 1}),
        Case("negative", 13, [counting(2, 3), i64([-1, -3])]),
        Case("one_tuple", 13, [counting(2, 3), i64(1, 2)]),
    ],
    "Scatter": [
        Case("opset9", 9, [GRID, i64([1, 0, 2]), f32([10, 20, 30])]),
        Case("axis1", 9, [GRID, i64([1, 2]), f32([10, 20])], {"axis": 1}),
    ],
    "ScatterElements": [
        Case("opset11", 11, [GRID, i64([1, 0, 2]), f32([10, 20, 30])]),
        Case("negative", 13, [GRID, i64([-1, -3]), f32([10, 20])], {"axis": -1}),
        Case("opset16_add", 16, [f32(1, 2, 3), i64(1, 1), f32(10, 20)], {"reduction": "add"}),
        Case("mul", 18, [f32(1, 2, 3), i64(1, 1), f32(10, 20)], {"reduction": "mul"}),
        Case("max", 18, [f32(1, 2, 3), i64(1, 1), f32(10, -20)], {"reduction": "max"}),
        Case("min", 18, [f32(1, 2, 3), i64(1, 1), f32(10, -20)], {"reduction": "min"}),
        Case("int64", 18, [i64(1, 2), i64(1, 1), i64(2**53, 1)], {"reduction": "add"}),
        Case("nothing", 13, [GRID, empty(0, 3, dtype="int64"), empty(0, 3)]),
    ],
    "ScatterND": [
        Case("opset11", 11, [counting(4), i64([3], [0]), f32(10, 20)]),
        Case("slices", 13, [counting(2, 2), i64([1]), f32([10, 20])]),
        Case("negative", 13, [counting(2, 2), i64([-1, -2]), f32(10)]),
        Case("opset16_add", 16, [f32(1, 2), i64([1], [1]), f32(10, 20)], {"reduction": "add"}),
        Case("opset16_mul", 16, [f32(1, 2), i64([1], [1]), f32(10, 20)], {"reduction": "mul"}),
        Case("max", 18, [f32(1, 2), i64([1], [0]), f32(10, -20)], {"reduction": "max"}),
        Case("min", 18, [f32(1, 2), i64([1], [0]), f32(10, -20)], {"reduction": "min"}),
    ],
    "TensorScatter": [
        Case("linear", 24, [counting(1, 1, 3, 2), f32([[[10, 20]]]), i64(1)]),
        Case("no_indices", 24, [counting(1, 3, 2), f32([[10, 20]])]),
        Case("circular", 24, [counting(1, 3, 1), f32([[10], [20]]), i64(2)], {"mode": "circular"}),
    ],
    "ReverseSequence": [
        Case("time_first", 10, [counting(3, 2), i64(3, 2)]),
        Case("batch_first", 10, [counting(2, 3), i64(1, 3)], {"batch_axis": 0, "time_axis": 1}),
    ],
    "Compress": [
        Case("flat", 9, [GRID, bools(False, True, False, False, True)]),
        Case("axis", 9, [GRID, bools(False, True)], {"axis": 0}),
        Case("negative_axis", 11, [GRID, bools(True, False, True)], {"axis": -1}),
    ],
    "NonZero": [
        Case("matrix", 9, [f32([0, 1, 0], [2, 0, 3])]),
        Case("vector", 13, [i64(0, 5, -1)]),
        Case("none", 13, [bools([False, False])]),
        Case("nan", 13, [f32(NAN, 0)]),
    ],
    "Unique": [
        Case("all_outputs", 11, [f32(2, 1, 1, 3, 4, 3)], {}, (True,) * 4),
        Case("unsorted", 11, [f32(2, 1, 1, 3, 4, 3)], {"sorted": 0}, (True,) * 4),
        Case("axis", 11, [f32([1, 0], [1, 0], [2, 3])], {"axis": 0}, (True,) * 4),
        Case("negative_axis", 11, [f32([1, 0, 1], [2, 3, 2])], {"axis": -1}, (True,) * 4),
        Case("string", 11, [words("b", "a", "b")]),
    ],
    "TopK": [
        Case("opset1", 1, [some(2, 4)], {"k": 2}, TWO),
        Case("opset1_axis0", 1, [some(3, 2)], {"k": 2, "axis": 0}, TWO),
        Case("opset10", 10, [some(2, 4), i64(3)], {}, TWO),
        Case("ties", 11, [f32(1, 3, 3, 2, 3), i64(4)], {}, TWO),
        Case("smallest_ties", 11, [f32(1, 3, 1, 2), i64(3)], {"largest": 0}, TWO),
        Case("axis0", 11, [some(3, 2), i64(2)], {"axis": 0}, TWO),
        Case("none", 11, [some(2, 3), i64(0)], {}, TWO),
        Case("int64", 11, [i64(2**53, 2**53 + 1, -1), i64(2)], {}, TWO),
    ],
    "CumSum": [
        Case("opset11", 11, [f32(1, 2, 3), scalar(0, "int32")]),
        Case("from_the_end", 14, [some(2, 3), scalar(-1, "int64")], {"exclusive": 1, "reverse": 1}),
        Case("axis0", 14, [some(3, 2), scalar(0, "int64")], {"reverse": 1}),
        Case("int32_wraps", 11, [ints("int32", 2**31 - 1, 1, 1), scalar(0, "int64")]),
        Case("float16", 14, [f16(2048, 1, 1, 1), scalar(0, "int64")]),
        Case("bfloat16", 14, [some(5, dtype=BFLOAT16), scalar(0, "int64")], {"exclusive": 1}),
    ],
    "CumProd": [
        Case("float32", 26, [some(4, scale=2), scalar(0, "int64")]),
        Case("from_the_end", 26, [some(2, 3), scalar(1, "int64")], {"exclusive": 1, "reverse": 1}),
        Case("int64", 26, [i64(3, -5, 2**62), scalar(0, "int64")]),
    ],
}  # fmt: skip
for _name in ("ArgMax", "ArgMin"):
    CASES[_name] = [
        Case("opset1", 1, [some(2, 3)]),
        Case("opset11_negative", 11, [some(2, 3)], {"axis": -1, "keepdims": 0}),
        Case("tie", 12, [f32([1, 3, 3], [2, 1, 1])], {"axis": 1}),
        Case("last_of_a_tie", 12, [f32([1, 3, 3], [2, 1, 1])], {"axis": 1, "select_last_index": 1}),
        Case("int8", 13, [ints("int8", 5, -128, 127)]),
    ]
