"""Sequences of tensors, and optionals."""

from __future__ import annotations

from onnx import TensorProto

from .base import Case, counting, f32, i64, scalar

PAIR = [f32(1, 2), f32(3)]


CASES: dict[str, list[Case]] = {
    "SequenceEmpty": [
        Case("default", 11, []),
        Case("int64", 11, [], {"dtype": TensorProto.INT64}),
    ],
    "SequenceConstruct": [Case("two", 11, [f32(1, 2), f32(3)]), Case("int64", 11, [i64(1)])],
    "SequenceLength": [Case("two", 11, [PAIR])],
    "SequenceAt": [
        Case("first", 11, [PAIR, scalar(0, "int64")]),
        Case("negative", 11, [PAIR, scalar(-1, "int32")]),
    ],
    "SequenceInsert": [
        Case("end", 11, [PAIR, f32(9)]),
        Case("front", 11, [PAIR, f32(9), scalar(0, "int64")]),
        Case("behind_the_last", 11, [PAIR, f32(9), scalar(2, "int64")]),
        Case("negative", 11, [PAIR, f32(9), scalar(-1, "int32")]),
    ],
    "SequenceErase": [
        Case("last", 11, [PAIR]),
        Case("first", 11, [PAIR, scalar(0, "int64")]),
        Case("negative", 11, [PAIR, scalar(-2, "int64")]),
    ],
    "SplitToSequence": [
        Case("single", 11, [counting(3, 1)]),
        Case("dropped", 11, [counting(1, 3)], {"axis": 1, "keepdims": 0}),
        Case("pieces", 11, [counting(5), scalar(2, "int64")]),
        Case("lengths", 11, [counting(5), i64(1, 4)], {"axis": -1}),
        Case("lengths_ignore_keepdims", 11, [counting(2), i64(1, 1)], {"keepdims": 0}),
    ],
    "ConcatFromSequence": [
        Case("concat", 11, [PAIR], {"axis": 0}),
        Case("stack", 11, [[f32(1, 2), f32(3, 4)]], {"axis": 1, "new_axis": 1}),
        Case("negative", 11, [[f32(1, 2), f32(3, 4)]], {"axis": -1, "new_axis": 1}),
    ],
}
