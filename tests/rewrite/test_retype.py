"""Half precision is carried wide where that is a choice of rounding, and kept where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedx.errors import ModelError
from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.ops import dtype_of
from embedx.rewrite.normal import normal_form
from embedx.rewrite.retype import carry_halves_wide, to_float64
from embedx.run.engine import Engine
from tests.models import graph as parsed
from tests.models import model
from tests.tiny import bert

BFLOAT16 = dtype_of(16)


def kinds(graph: Graph) -> list[str]:
    return [node.op_type for node in graph.nodes]


def test_graphs_without_halves_are_not_touched() -> None:
    graph = normal_form(read_model(bert()))
    assert carry_halves_wide(graph) is graph


def test_between_operators_that_round_nothing_is_cast() -> None:
    graph = parsed(
        "g (float16[N] x) => (float16[N] y) { a = Tanh(x) b = Neg(a) c = Add(b, a) y = Mul(c, c) }"
    )
    assert kinds(carry_halves_wide(graph)) == ["Cast", "Tanh", "Neg", "Add", "Mul", "Cast"]


@pytest.mark.parametrize(
    ("kind", "x", "expected"),
    [
        (TensorProto.FLOAT16, [2049, 70000, 1e-8], [2048, np.inf, 0]),
        (TensorProto.BFLOAT16, [257, 3.4e38, 1 + 2**-8], [256, np.inf, 1]),
    ],
)
def test_a_cast_to_half_precision_rounds(kind: int, x: list[float], expected: list[float]) -> None:
    graph = parsed(
        f"g (float[N] x) => (float[N] y) {{ h = Cast<to = {kind}>(x) y = Cast<to = 1>(h) }}"
    )
    for optimize in (True, False):
        (y,) = Engine(graph, optimize=optimize).run([np.array(x, np.float32)])
        np.testing.assert_array_equal(y, np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("z = Mul(x, x) y = IsInf(z)", "bool"),
        ("z = Mul(x, x) y = Equal(z, x)", "bool"),
        ("z = Mul(x, x) y = Cast<to = 7>(z)", "int64"),
        ("z = Mul(x, x) y = ArgMax(z)", "int64"),
    ],
)
def test_decisions_see_what_half_precision_holds(body: str, kind: str) -> None:
    graph = parsed(f"g (float16[N] x) => ({kind}[N] y) {{ {body} }}", opset=20)
    x = np.array([300, 1.0005, 1.0009, 2], np.float16)
    with np.errstate(all="ignore"):
        fast, plain = (Engine(graph, optimize=o).run([x])[0] for o in (True, False))
    np.testing.assert_array_equal(fast, plain)


def test_sequences_and_outputs_of_no_declared_type_keep_theirs() -> None:
    graph = parsed(
        """g (float16[N] x) => (seq(float16[N]) s, y) {
        a = Mul(x, x)  s = SequenceConstruct(a, x)  i = Constant<value_int = 0>()
        b = SequenceAt(s, i)  y = Add(b, b) }"""
    )
    s, y = Engine(graph).run([np.array([1, 2], np.float16)])
    assert {a.dtype for a in (*s, y)} == {np.dtype(np.float16)}
    assert y.tolist() == [2, 8]


def test_a_weight_that_is_an_output_keeps_its_type() -> None:
    proto = model("g (float16[2] x) => (float16[2] y, float16[2] w) { y = Mul(x, w) }")
    weight = np.array([1, 3], np.float16)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    y, w = Engine(proto).run([weight])
    assert (y.dtype, w.dtype) == (np.float16, np.float16)
    assert w.tolist() == [1, 3]


def test_bits_are_those_of_half_precision() -> None:
    text = "g (float16[N] x) => (uint16[N] y) { z = Mul(x, x) y = BitCast<to = 4>(z) }"
    x = np.array([1.5], np.float16)
    (bits,) = Engine(model(text, opset=26)).run([x])
    assert bits.view(np.float16).tolist() == [2.25]
    with pytest.raises(ModelError, match=r"BitCast .* reads the bits of a float16"):
        Engine(model(text, opset=26), precision="float64")


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16])
def test_branches_see_the_halves_outside(dtype: Any) -> None:
    code = helper.np_dtype_to_tensor_dtype(dtype)
    name = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}[code]
    text = f"""g (bool c, {name}[N] x) => ({name}[N] z) {{
    y = Tanh(x)
    z = If(c) <then_branch = t () => ({name}[N] a) {{ a = Mul(y, x) }},
               else_branch = e () => ({name}[N] b) {{ b = Identity(y) }}> }}"""
    x = np.array([0.5, -2], np.float32).astype(dtype)
    for choice in (True, False):
        fast, plain = (
            Engine(model(text), optimize=o).run([np.array(choice), x])[0] for o in (True, False)
        )
        assert fast.dtype == dtype
        np.testing.assert_allclose(fast.astype(float), plain.astype(float), rtol=0.01)


def test_one_half_constant_does_not_loosen_the_others() -> None:
    # 0.04475 for 0.044715: no constant of the tanh formula, however a neighbour is stored.
    text = """g (float[N] x) => (float[N] y)
    <float three = {3}, float c = {0.04475}, float s = {0.79788456}, float one = {1}> {
    half = Cast<to = 1>(h)  q = Pow(x, three)  c3 = Mul(q, c)  i = Add(x, c3)  k = Mul(i, s)
    t = Tanh(k)  p = Add(t, one)  m = Mul(x, half)  y = Mul(m, p) }"""
    proto = model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.float16(0.5), "h"))
    assert not any(step.node.literal for step in Engine(proto).plan.steps)


def test_float64_widens_casts_constants_and_inner_graphs() -> None:
    graph = parsed(
        """g (float[N] x, bool c) => (float[N] y) <float w = {0.1}> {
        h = Cast<to = 10>(x)  b = Cast<to = 1>(h)
        y = If(c) <then_branch = t () => (float[N] u) { u = Mul(b, w) },
                   else_branch = e () => (float[N] v) { v = Mul(x, w) }> }"""
    )
    wide = to_float64(graph)
    assert {v.type.dtype for v in (*wide.inputs[:1], *wide.outputs)} == {np.dtype(np.float64)}  # type: ignore[union-attr]
    engine = Engine(graph, precision="float64")
    (y,) = engine.run([np.array([70000], np.float32), np.array(True)])
    assert y.tolist() == [70000 * float(np.float32(0.1))]


def test_float64_takes_what_the_file_declares() -> None:
    engine = Engine(model("g (float[N] x) => (float[N] y) { y = Add(x, x) }"), precision="float64")
    for dtype in (np.float32, np.float64):
        assert engine.run([np.array([0.1], dtype)])[0][0] == 2 * float(dtype(0.1))
