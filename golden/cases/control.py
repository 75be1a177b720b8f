"""Whole models for the operators that call subgraphs, or take types as attributes."""

from __future__ import annotations

from onnx import TensorProto, helper
from oracles import Value

from .base import Model, bools, counting, f32, scalar

FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)

_HEAD = '<ir_version: 8, opset_import: ["" : {opset}]>'


def model(name: str, opset: int, text: str, *inputs: Value) -> Model:
    return Model(name, _HEAD.format(opset=opset) + text, inputs)


# The text form has no attributes that are types.
_EMPTY = helper.make_model(
    helper.make_graph(
        [
            helper.make_node("Optional", [], ["none"], type=FLOATS),
            helper.make_node("OptionalHasElement", ["none"], ["held"]),
        ],
        "empty",
        [],
        [helper.make_tensor_value_info("held", TensorProto.BOOL, [])],
    ),
    ir_version=8,
    opset_imports=[helper.make_opsetid("", 15)],
)

MODELS: dict[str, list[Model]] = {
    "If": [
        model(
            "if_captures", 16,
            """
            branches (bool[1] choice, float[2] x) => (float[2] y) {
                y = If (choice) <
                    then_branch = yes () => (float[2] a) { a = Add (x, x) },
                    else_branch = no () => (float[2] b) { b = Neg (x) }
                >
            }
            """,
            bools(False), f32(1, 2),
        ),
    ],
    "Loop": [
        model(
            "loop_without_condition", 16,
            """
            doubling (int64 trips, float[2] x) => (float[2] last, float[3, 2] seen) {
                last, seen = Loop (trips, , x) <
                    body = turn (int64 i, bool going, float[2] before)
                        => (bool still, float[2] after, float[2] shown) {
                        still = Identity (going)
                        after = Add (before, before)
                        shown = Identity (before)
                    }
                >
            }
            """,
            scalar(3, "int64"), f32(1, 2),
        ),
        model(
            "loop_scalar_scan_output", 13,
            """
            counting (int64 trips) => (int64[n] seen) {
                yes = Constant <value = bool {1}> ()
                seen = Loop (trips, yes) <
                    body = turn (int64 i, bool going) => (bool still, int64 shown) {
                        still = Identity (going)
                        shown = Mul (i, i)
                    }
                >
            }
            """,
            scalar(4, "int64"),
        ),
        model(
            "loop_no_turn", 16,
            """
            never (int64 trips, float[2] x) => (float[2] last, float[n, 2] seen) {
                last, seen = Loop (trips, , x) <
                    body = turn (int64 i, bool going, float[2] before)
                        => (bool still, float[2] after, float[2] shown) {
                        still = Identity (going)
                        after = Add (before, before)
                        shown = Identity (before)
                    }
                >
            }
            """,
            scalar(0, "int64"), f32(1, 2),
        ),
        model(
            "loop_until_false", 11,
            """
            until (float x, float limit) => (float last, float[n] seen) {
                yes = Constant <value = bool {1}> ()
                last, seen = Loop (, yes, x) <
                    body = turn (int64 i, bool going, float before)
                        => (bool still, float after, float shown) {
                        after = Add (before, before)
                        still = Less (after, limit)
                        shown = Identity (after)
                    }
                >
            }
            """,
            scalar(1.5), scalar(10),
        ),
    ],
    "Scan": [
        model(
            "scan_backwards", 11,
            """
            sums (float[2] start, float[2, 3] x) => (float[2] last, float[2, 3] seen) {
                last, seen = Scan (start, x) <
                    num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1],
                    scan_output_axes = [-1], scan_output_directions = [1],
                    body = step (float[2] total, float[2] slice) => (float[2] sum, float[2] shown) {
                        sum = Add (total, slice)
                        shown = Identity (sum)
                    }
                >
            }
            """,
            f32(0, 10), counting(2, 3),
        ),
    ],
    "Optional": [
        model(
            "optional_tensor", 15,
            """
            wrapped (float[2] x) => (float[2] y) {
                held = Optional (x)
                y = OptionalGetElement (held)
            }
            """,
            f32(1, 2),
        ),
        Model("optional_empty", _EMPTY, ()),
    ],
}  # fmt: skip
