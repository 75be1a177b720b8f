"""Shapes asked for and changed; tensors cut, joined, padded and repeated."""

from __future__ import annotations

from .base import Array, Case, bools, counting, empty, f32, i64, ints, scalar, some, words

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def pads(*counts: int) -> Array:
    return i64(*counts)


CASES: dict[str, list[Case]] = {
    "Shape": [
        Case("opset1", 1, [counting(2, 3)]),
        Case("scalar", 15, [scalar(1)]),
        Case("string", 13, [words("a", "b")]),
        Case("beyond", 15, [counting(2, 3, 4)], {"start": -9, "end": 9}),
        Case("crossed", 15, [counting(2, 3, 4)], {"start": 2, "end": 1}),
    ],
    "Size": [
        Case("opset1", 1, [counting(2, 3)]),
        Case("scalar", 13, [scalar(1)]),
        Case("no_elements", 13, [empty(0, 3)]),
    ],
    "Reshape": [
        Case("opset1", 1, [counting(2, 3)], {"shape": [0, -1, 1]}),
        Case("opset5", 5, [counting(2, 3), i64(3, 2)]),
        Case("copied_and_left", 13, [counting(2, 3, 2), i64(0, -1)]),
        Case("to_scalar", 13, [counting(1, 1), i64()]),
        Case("allowzero", 14, [empty(0, 3), i64(3, 0)], {"allowzero": 1}),
        Case("zero_copied", 14, [empty(0, 3), i64(0, 3, 1)]),
        Case("string", 13, [words("a", "b"), i64(2, 1)]),
    ],
    "Flatten": [
        *[Case(f"axis{axis}", 13, [counting(2, 1, 3)], {"axis": axis}) for axis in (0, 1, 3, -1)],
        Case("opset1", 1, [counting(2, 1, 3)]),
        Case("opset9", 9, [counting(2, 1, 3, dtype="int64")], {"axis": 2}),
        Case("vector", 13, [counting(3)]),
        Case("scalar", 13, [scalar(5)], {"axis": 0}),
    ],
    "Transpose": [
        Case("opset1_reversed", 1, [counting(2, 3)]),
        Case("perm", 13, [counting(1, 2, 3)], {"perm": [2, 0, 1]}),
        Case("no_elements", 13, [empty(0, 3)]),
        Case("int8", 13, [counting(2, 3, dtype="int8")]),
    ],
    "Squeeze": [
        Case("opset1_all", 1, [counting(1, 3, 1)]),
        Case("opset1_axes", 1, [counting(1, 3, 1)], {"axes": [0]}),
        Case("opset11_negative", 11, [counting(1, 3, 1)], {"axes": [-1]}),
        Case("all", 13, [counting(1, 3, 1)]),
        Case("negative", 13, [counting(1, 3, 1), i64(-1, 0)]),
    ],
    "Unsqueeze": [
        Case("opset1", 1, [counting(2, 3)], {"axes": [0, 3]}),
        Case("opset11_negative", 11, [counting(3)], {"axes": [-1]}),
        Case("unsorted", 13, [counting(2, 3), i64(3, 0)]),
        Case("negative", 13, [counting(2, 3), i64(-1, 1)]),
        Case("scalar", 13, [scalar(5), i64(0)]),
    ],
    "Expand": [
        Case("smaller_target", 8, [counting(2, 3), i64(1, 1)]),
        Case("lower_rank", 13, [counting(2, 1, 3), i64(3)]),
        Case("both", 13, [counting(2, 1), i64(2, 1, 3)]),
        Case("to_nothing", 13, [counting(2, 1), i64(2, 0)]),
        Case("bool", 8, [bools([True], [False]), i64(2, 2)]),
    ],
    "Identity": [
        Case("opset1", 1, [counting(2, 2)]),
        Case("string", 13, [words("a")]),
        Case("sequence", 16, [[f32(1, 2), f32(3)]]),
    ],
    "Slice": [
        Case("opset1", 1, [counting(3, 4)], {"axes": [1, 0], "starts": [1, 0], "ends": [-1, 99]}),
        Case("opset1_no_axes", 1, [counting(3, 2)], {"starts": [1], "ends": [LARGEST]}),
        Case("opset10", 10, [counting(3, 4), i64(0, 1), i64(2, 3), i64(0, 1), i64(1, 1)]),
        Case("int32_indices", 10, [counting(4), ints("int32", 1), ints("int32", 3)]),
        Case("defaults", 13, [counting(3, 2), i64(1), i64(LARGEST)]),
        Case("no_axes", 13, [counting(3, 4), i64(0, 1), i64(9, 9), None, i64(2, 2)]),
        Case("reversed", 13, [counting(5), i64(-1), i64(SMALLEST), i64(0), i64(-1)]),
        Case("reversed_by_2", 13, [counting(5), i64(LARGEST), i64(0), i64(-1), i64(-2)]),
        Case("negative_axis", 13, [counting(2, 3), i64(-2), i64(3), i64(-1)]),
        Case("nothing_left", 13, [counting(5), i64(3), i64(1), i64(0)]),
        Case("far_out", 13, [counting(5), i64(-99), i64(99), i64(0), i64(3)]),
        Case("string", 13, [words("a", "b", "c"), i64(1), i64(3)]),
    ],
    "Split": [
        Case("opset2_equal", 2, [counting(4)], {}, (True, True)),
        Case("opset11_lengths", 11, [counting(2, 3)], {"axis": -1, "split": [1, 2]}, (True, True)),
        Case("opset13_equal", 13, [counting(4, 1)], {"axis": 0}, (True, True)),
        Case("opset13_lengths", 13, [counting(1, 4), i64(3, 0, 1)], {"axis": 1}, (True,) * 3),
        Case("opset18_uneven", 18, [counting(7)], {"num_outputs": 3}, (True,) * 3),
        Case("int8", 13, [counting(4, dtype="int8"), i64(1, 3)], {}, (True, True)),
    ],
    "Concat": [
        Case(
            "opset1_default", 1, [counting(2, 1), counting(2, 2)],
            same_as=(4, [counting(2, 1), counting(2, 2)], {"axis": 1}),
        ),
        Case("opset4", 4, [counting(1, 2), counting(2, 2)], {"axis": 0}),
        Case("negative", 11, [counting(1, 2), counting(1, 1)], {"axis": -1}),
        Case("one", 13, [counting(1, 2)], {"axis": 0}),
        Case("no_elements", 13, [empty(0, 2), counting(1, 2)], {"axis": 0}),
        Case("string", 13, [words("a"), words("b", "c")], {"axis": 0}),
        Case("bool", 13, [bools(True), bools(False)], {"axis": 0}),
    ],
    "Pad": [
        Case("opset2", 2, [counting(2, 2)], {"pads": [0, 1, 1, 0], "value": 1.5}),
        Case("opset2_reflect", 2, [counting(1, 3)], {"pads": [0, 2, 0, 1], "mode": "reflect"}),
        Case("opset2_edge", 2, [counting(1, 3)], {"pads": [0, 2, 1, 1], "mode": "edge"}),
        Case("opset2_negative", 2, [counting(2, 3)], {"pads": [0, -1, 0, 1]}),
        Case("opset11", 11, [counting(2, 2), pads(0, 1, 1, 0), scalar(1.5)]),
        Case("zero", 13, [counting(2, 2), pads(0, 1, 1, 0)]),
        Case("negative", 13, [counting(2, 3), pads(1, -1, 0, -1), scalar(9)]),
        Case("reflect", 13, [counting(1, 3), pads(0, 2, 0, 1)], {"mode": "reflect"}),
        Case("edge", 13, [counting(1, 3), pads(0, 2, 1, 1)], {"mode": "edge"}),
        Case("wrap", 19, [counting(1, 3), pads(0, 2, 0, 1)], {"mode": "wrap"}),
        Case("axes", 18, [counting(2, 2), pads(1, 0), scalar(9), i64(-1)]),
        Case("axes_no_value", 18, [counting(2, 2), pads(1, 2), None, i64(0)]),
        Case("int64", 13, [counting(2, dtype="int64"), pads(1, 1), scalar(2**53 + 1, "int64")]),
        Case("bool", 13, [bools(True), pads(1, 1), scalar(True, "bool")]),
        Case("no_elements", 13, [empty(0, 2), pads(1, 0, 0, 0), scalar(9)]),
    ],
    "Tile": [
        Case(
            "opset1", 1, [counting(2, 2), f32(2), f32(1)],
            same_as=(6, [counting(2, 2), i64(1, 2)], {}),
        ),
        Case("opset6", 6, [counting(2, 2), i64(1, 2)]),
        Case("zero", 13, [counting(2, 2), i64(0, 2)]),
        Case("bool", 13, [bools(True, False), i64(2)]),
        Case("scalar", 13, [scalar(5), i64()]),
    ],
    "CenterCropPad": [
        Case("pad_odd", 18, [counting(3), i64(6)]),
        Case("crop_odd", 18, [counting(6), i64(3)]),
        Case("both", 18, [counting(2, 4), i64(3, 2)]),
        Case("negative_axis", 18, [counting(2, 4), i64(1)], {"axes": [-1]}),
    ],
    "SpaceToDepth": [Case("blocks", 13, [counting(1, 1, 4, 2)], {"blocksize": 2})],
    "DepthToSpace": [
        Case("columns", 13, [counting(1, 4, 1, 2)], {"blocksize": 2}),
        Case("rows", 13, [counting(1, 4, 1, 2)], {"blocksize": 2, "mode": "CRD"}),
    ],
}  # fmt: skip
CASES["Concat"].append(Case("float64", 13, [some(1, 2, dtype="float64")] * 2, {"axis": 0}))
