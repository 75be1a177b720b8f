"""Element types are told where the schemas tell them, and nothing is told of what they don't."""

from __future__ import annotations

import numpy as np
import pytest

from embedx.errors import ModelError
from embedx.model.onnx_file import read_model
from embedx.ops import dtype_of
from embedx.rewrite.element_types import element_types
from embedx.rewrite.normal import normal_form
from tests.models import model

MICROSOFT = ', "com.microsoft" : 1'


def types(text: str, **options: object) -> dict[str, str]:
    graph = normal_form(read_model(model(text, imports=MICROSOFT, **options)))  # type: ignore[arg-type]
    return {name: dtype.name for name, dtype in element_types(graph).items()}


def test_types_follow_the_operators() -> None:
    found = types(
        """g (float16[N] x, int64[N] i, bool c) => (float16[N] y, float[N] f, bool[N] b, int64 n,
        double[N] d, float16[N] z) <float16 s = {15360}> {
        y = Mul(x, s)  f = Cast<to = 1>(y)  b = Greater(y, x)  n = Size(f)
        e = Cast<to = 11>(i)  two = Constant<value = double {2}>()  d = Div(e, two)
        z = If(c) <then_branch = t () => (float16[N] u) { u = Neg(y) },
                   else_branch = o () => (float16[N] v) { v = Identity(x) }> }"""
    )
    assert found | {
        "y": "float16", "f": "float32", "b": "bool", "n": "int64", "e": "float64",
        "two": "float64", "d": "float64", "z": "float16",
    } == found  # fmt: skip


def test_results_that_are_rounded_have_the_type_of_the_first_float() -> None:
    found = types(
        """g (int32[N, T] ids, float16[V, 4] w, float16[P, 4] p, float16[4] s, float16[4] b)
        => (float16[N, T, 4] y, int32[N] m) {
        y, m = com.microsoft.EmbedLayerNormalization(ids, "", w, p, "", s, b) }"""
    )
    assert found["y"] == "float16"
    assert "m" not in found


def test_unknown_is_not_concluded_from() -> None:
    found = types("g (x) => (y) { q = com.microsoft.QLinearConcat(x, x, x)  y = Abs(q) }")
    assert not {"x", "q", "y"} & found.keys()


@pytest.mark.parametrize(
    ("text", "opset", "message"),
    [
        ("g (float[N] x, double[N] y) => (z) { z = Add(x, y) }", 17, "insert a Cast"),
        ("g (bfloat16[N] x) => (y) { y = Add(x, x) }", 12, "at opset 12 it can be"),
        ("g (float[N] x) => (y) { y = MatMulInteger(x, x) }", 17, "input 0 .'x'. is float32"),
        ("g (int64[N] x) => (float[N] y) { y = Neg(x) }", 17, "declared as float32"),
        (
            """g (bool c, float[N] x, int64[N] i) => (y) {
            y = If(c) <then_branch = t () => (u) { u = Neg(x) },
                       else_branch = o () => (v) { v = Neg(i) }> }""",
            17,
            "branches give",
        ),
        (
            """g (bool c, float[N] x) => (y) {
            y = If(c) <then_branch = t () => (u, w) { u = Neg(x) w = Abs(x) },
                       else_branch = o () => (v) { v = Neg(x) }> }""",
            17,
            "then_branch gives 2, else_branch gives 1",
        ),
        (
            """g (bool c, float[N] x) => (float[N] y) {
            y = If(c) <then_branch = t () => (int64[N] u) { u = Neg(x) },
                       else_branch = o () => (v) { v = Neg(x) }> }""",
            17,
            "output 'u' is declared as int64",
        ),
    ],
)
def test_types_that_do_not_fit_are_refused(text: str, opset: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        types(text, opset=opset)


def test_an_inner_name_hides_the_outer_type() -> None:
    found = types(
        """g (float[N] x) => (float[K, N] y) <int64 n = {2}> {
        y = Loop(n) <body = b (int64 i, bool c) => (bool d, float[N] s) {
            d = Identity(c)  s = Neg(x) }> }"""
    )
    assert found["y"] == "float32"


def test_bfloat16_is_a_float() -> None:
    found = types("g (bfloat16[N] x) => (y) { y = Add(x, x) }")
    assert found["y"] == dtype_of(16).name
    assert np.dtype("float64").name not in found.values()
