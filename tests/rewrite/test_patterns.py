"""Formulas are found however they are written, and only where they hold for every float."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedx import ops
from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import normal_form
from embedx.rewrite.patterns import Edge, Formula, Match, Number, Patterns, call
from tests.models import model

X, Y = Edge("x"), Edge("y")
CONSTANTS = (
    "<float two = {2}, float half = {0.5}, float three = {3}, float[1] one = {1}, float zero = {0},"
    " float[1,1] matrix = {2}, float huge = {100000000}, float minus = {-2}, int64 whole = {2},"
    " float[2] several = {2, 2}, float near = {2.0000002}, float off = {2.001}>"
)


def find(
    formula: Formula, body: str, *, opset: int = 17, outputs: str = "float[N] r"
) -> Match | None:
    text = f"g (float[N] a, float[N] b, float[N] c) => ({outputs}) {CONSTANTS} {{ {body} }}"
    graph = normal_form(read_model(model(text, opset=opset)))
    return Patterns(graph).find(formula, "r")


def edges(found: Match | None) -> dict[str, str]:
    assert found is not None
    return found.edges


@pytest.mark.parametrize(
    "body",
    [
        "r = Mul(a, two)",
        "r = Mul(two, a)",
        "r = Div(a, half)",
        "r = Mul(a, near)",
        "i = Reciprocal(half) r = Mul(a, i)",
        "m = Mul(a, three) n = Mul(m, two) r = Div(n, three)",
    ],
)
def test_a_product_with_a_number_in_any_spelling(body: str) -> None:
    assert edges(find(X * 2, body)) == {"x": "a"}


@pytest.mark.parametrize(
    "body",
    [
        "r = Mul(a, off)",
        "r = Mul(a, matrix)",  # would give the result another axis
        "r = Mul(a, several)",
        "r = Add(a, two)",
        "m = Mul(a, two) r = Max(m, a)",
        "r = Pow(a, two)",
        "s = Mul(a, two) r = Div(s, zero)",
    ],
)
def test_what_is_not_that_product(body: str) -> None:
    assert find(X * 2, body) is None


def test_numbers_that_may_overflow_on_the_way_are_no_numbers() -> None:
    found = find(X * 2, "m = Mul(a, huge) n = Div(m, huge) r = Mul(n, two)")
    assert edges(found) == {"x": "n"}


@pytest.mark.parametrize(
    "body",
    [
        "r = Mul(a, a)",
        "r = Pow(a, two)",
        "r = Pow(a, whole)",
    ],
)
def test_a_square(body: str) -> None:
    assert edges(find(X**2, body)) == {"x": "a"}


@pytest.mark.parametrize(
    ("formula", "body"),
    [
        (X * 1.0, "q = Mul(a, a) r = Sqrt(q)"),  # is |x|
        (X * 1.0, "q = Pow(a, two) r = Pow(q, half)"),
        (X * 1.0, "q = Sqrt(a) r = Mul(q, q)"),  # is NaN below zero
        (X * 1.0, "q = Sqrt(a) r = Pow(q, two)"),
        (X * 1.0, "q = Pow(a, two) r = Div(q, a)"),  # is NaN at zero
        (X**0.5 * Y**0.5, "q = Mul(a, b) r = Sqrt(q)"),  # is no NaN if both are negative
        (X + Y, "q = Add(a, huge) s = Sub(q, huge) r = Add(s, b)"),  # forgets small numbers
    ],
)
def test_algebra_that_does_not_hold_for_all_floats(formula: Formula, body: str) -> None:
    assert find(formula, body) is None


@pytest.mark.parametrize(
    "body",
    ["q = Sqrt(b) r = Div(a, q)", "q = Sqrt(b) i = Reciprocal(q) r = Mul(i, a)",
     "q = Pow(b, half) r = Div(a, q)"],
)  # fmt: skip
def test_an_inverse_root(body: str) -> None:
    assert edges(find(X * Y**-0.5, body)) == {"x": "a", "y": "b"}


@pytest.mark.parametrize("body", ["s = Sub(a, b) r = Add(s, two)", "s = Add(two, a) r = Sub(s, b)",
                                  "n = Neg(b) s = Add(n, two) r = Add(a, s)"])  # fmt: skip
def test_a_sum_in_any_order(body: str) -> None:
    assert edges(find(X - Y + 2, body)) == {"x": "a", "y": "b"}


def test_any_number_is_told() -> None:
    found = find(X * Number("n"), "r = Div(a, two)")
    assert found is not None
    assert found.numbers == {"n": 0.5}


def test_an_edge_that_others_need_is_not_inside() -> None:
    inside = "e = Erf(a) r = Add(e, one)"
    formula = call(ops.erf, X) + 1
    assert find(formula, inside) is not None
    assert find(formula, inside, outputs="float[N] r, float[N] e") is None
    assert find(formula, f"{inside} t = Neg(e)", outputs="float[N] r, float[N] t") is None


def test_a_weight_is_a_constant_that_nothing_overrides() -> None:
    text = "g (float[N] a, float[1] w = {2}) => (float[N] r) { r = Mul(a, w) }"
    graph = normal_form(read_model(model(text)))
    assert Patterns(graph).find(X * 2, "r") is None
    assert Patterns(graph).find(call(ops.mul, X, Edge("w", weight=True)), "r") is None


def test_an_operator_is_what_it_is_at_its_opset() -> None:
    text = "g (float[2,2,2] a) => (float[2,2,2] r) { r = Softmax<axis = 1>(a) }"
    for opset, found in ((12, ops.softmax_1), (13, ops.softmax)):
        patterns = Patterns(normal_form(read_model(model(text, opset=opset))))
        for function in (ops.softmax_1, ops.softmax):
            formula = call(function, X, where=lambda patterns, node: True)
            assert (patterns.find(formula, "r") is not None) == (function is found)


def test_attributes_must_be_looked_at() -> None:
    text = "g (float[2,3] a) => (int64[1] r) { r = Shape<start = 1>(a) }"
    patterns = Patterns(normal_form(read_model(model(text))))
    assert patterns.find(call(ops.shape, X), "r") is None


@pytest.mark.parametrize(("kind", "found"), [(np.float16, True), (np.float32, False)])
def test_half_precision_constants_may_be_as_far_off_as_they_round(kind: Any, found: bool) -> None:
    root = np.float16(2**-0.5).astype(kind)  # 0.70703125
    proto = model("g (float[N] a) => (float[N] r) { w = Cast<to = 1>(c) r = Mul(a, w) }")
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(root), "c"))
    graph = normal_form(read_model(proto))
    assert (Patterns(graph).find(X * 2**-0.5, "r") is not None) == found
    # What halves are allowed is not allowed to a number that is missing.
    assert Patterns(graph).find(X * 1.0, "r") is None


def test_numbers_that_python_cannot_raise_are_left_alone() -> None:
    huge = onnx.helper.make_tensor("c", onnx.TensorProto.DOUBLE, [], [5e-324])
    proto = model("g (double[N] a) => (double[N] r) { r = Div(a, c) }")
    proto.graph.initializer.append(huge)
    assert Patterns(normal_form(read_model(proto))).find(X * Number("n"), "r") is None
