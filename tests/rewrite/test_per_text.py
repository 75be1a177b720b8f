"""Which graphs let each text have a scale of its own, and that its bits are then those alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from embedx.run.engine import Engine
from tests.models import model


def product(n: int, x: str, y: str) -> str:
    return (
        f"q{n}, s{n}, p{n} = DynamicQuantizeLinear({x}) i{n} = MatMulInteger(q{n}, w, p{n}) "
        f"f{n} = Cast<to = 1>(i{n}) c{n} = Mul(s{n}, k) {y} = Mul(f{n}, c{n})"
    )


def engine(body: str, inputs: str = "float[B, T, 4] x", output: str = "float[B, T, 4] y") -> Engine:
    proto = model(
        f"g ({inputs}) => ({output}) {{ {body} }}", opset=20, imports=', "com.microsoft" : 1'
    )
    random = np.random.default_rng(0)
    weights: dict[str, Any] = {
        "w": random.integers(-128, 128, (4, 4)).astype(np.int8),
        "v": random.standard_normal((4, 4)).astype(np.float32),
        "g": np.ones(4, np.float32),
        "k": np.float32(0.01),
        "flat": np.array([-1, 4]),
        "back": np.array([0, 0, 4]),
    }
    for name, value in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    return Engine(proto, per_text=True)


def by_text(found: Engine) -> list[int]:
    steps = [s.node for s in found.plan.steps if s.node.op_type == "QuantizedLinear"]
    return [node.attributes.get("by_text", 0) for node in steps]


PER_TEXT = {
    "one": product(0, "x", "y"),
    "two": f"{product(0, 'x', 'a')} b = Gelu(a) {product(1, 'b', 'y')}",
    "normalised": f"{product(0, 'x', 'a')} b = Add(a, x) c = LayerNormalization(b, g) "
    + product(1, "c", "y"),
    "reshaped": f"a = Reshape(x, back) {product(0, 'a', 'y')}",
    "attention": f"{product(0, 'x', 'a')} t = Transpose<perm = [0, 2, 1]>(a) m = MatMul(a, t) "
    f"n = Softmax<axis = -1>(m) o = MatMul(n, a) {product(1, 'o', 'y')}",
    "microsoft": "y = com.microsoft.DynamicQuantizeMatMul(x, w, k)",
}
BEHIND = f"{product(0, 'x', 'a')} y = MatMul(a, v)"
NOT = {
    "product in front": f"a = MatMul(x, v) {product(0, 'a', 'y')}",
    "flattened": f"a = Reshape(x, flat) {product(0, 'a', 'b')} s = Shape(x) y = Reshape(b, s)",
    "turned": f"a = Transpose<perm = [1, 0, 2]>(x) {product(0, 'a', 'b')} "
    "y = Transpose<perm = [1, 0, 2]>(b)",
    "one of two": f"{product(0, 'x', 'a')} b = MatMul(a, v) {product(1, 'b', 'y')}",
}


@pytest.mark.parametrize("body", PER_TEXT.values(), ids=PER_TEXT)
def test_each_text_has_the_bits_that_it_has_alone(body: str) -> None:
    found = engine(body)
    assert set(by_text(found)) == {1}
    literal = Engine(found.graph, optimize=False)
    random = np.random.default_rng(1)
    for batch, length in ((5, 3), (2, 37), (33, 1)):
        sizes = 10.0 ** random.integers(-3, 3, (batch, 1, 1))
        x = (random.standard_normal((batch, length, 4)) * sizes).astype(np.float32)
        (together,) = found.run([x])
        for i, text in enumerate(x):
            (alone,) = found.run([text[None]])
            np.testing.assert_array_equal(together[i], alone[0])
            (plain,) = literal.run([text[None]])
            assert np.abs(alone - plain).max() <= 0.05 * np.abs(plain).max()


@pytest.mark.parametrize("body", NOT.values(), ids=NOT)
def test_where_that_cannot_be_shown_the_scale_is_the_batch_s(body: str) -> None:
    found = engine(body)
    assert set(by_text(found)) == {0}
    x = np.random.default_rng(1).standard_normal((3, 5, 4)).astype(np.float32)
    (y,), (plain,) = found.run([x]), Engine(found.graph, optimize=False).run([x])
    assert np.abs(y - plain).max() <= 0.05 * np.abs(plain).max()


def test_a_product_behind_all_quantizations_may_round_as_it_likes() -> None:
    assert by_text(engine(BEHIND)) == [1]


def test_an_engine_that_is_not_asked_to_is_literal() -> None:
    proto = engine(PER_TEXT["one"]).graph
    assert by_text(Engine(proto)) == [0]


def test_a_scale_that_is_read_elsewhere_is_the_batch_s() -> None:
    found = engine(f"{product(0, 'x', 'a')} y = Add(a, s0)")
    assert by_text(found) == []
