"""Pieces of a model, judged by what they were given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedx.oracle.local import Local, judged, segments
from embedx.run.engine import Engine
from tests.models import graph

RANDOM = np.random.default_rng(5)
TEXT = """g (float[M, N] x) => (float[M, N] y) {
    a = Exp(x)  b = Neg(a)  c = Sqrt(a)  y = Add(b, c) }"""


def of(text: str, feeds: dict[str, Any], value: Any, **options: Any) -> Local:
    """What is said of a value of a graph's output as one piece."""
    it = graph(text)
    (piece,) = segments(it, {it.outputs[0].name})
    found = judged(it, piece, feeds, value, None, **options)
    assert found is not None
    return found


def exact(text: str, feeds: dict[str, Any]) -> Any:
    return Engine(graph(text), precision="exact").run(feeds)[0]


def test_pieces_lie_between_watched_edges() -> None:
    found = {s.edge: s for s in segments(graph(TEXT), {"a", "y"})}
    assert [n.op_type for n in found["y"].nodes] == ["Neg", "Sqrt", "Add"]
    assert found["y"].inputs == ("a",)
    assert [n.op_type for n in found["a"].nodes] == ["Exp"]
    assert found["a"].inputs == ("x",)


PRODUCT = "g (float[M, K] a, float[K, N] b) => (float[M, N] y) { y = MatMul(a, b) }"
FACTORS = {
    "a": RANDOM.standard_normal((6, 400)).astype(np.float32),
    "b": RANDOM.standard_normal((400, 5)).astype(np.float32),
}


def in_order(a: Any, b: Any) -> Any:
    """A product whose summands are added one after the other, in float32."""
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total += a[:, k : k + 1] * b[k]
    return total


def test_any_order_of_summation_is_rounding() -> None:
    a, b = FACTORS["a"], FACTORS["b"]
    for value in (a @ b, in_order(a, b), in_order(a[:, ::-1], b[::-1])):
        assert of(PRODUCT, FACTORS, value).verdict in ("identical", "rounding")
    same_sign = {k: np.abs(v) for k, v in FACTORS.items()}
    worst = of(PRODUCT, same_sign, in_order(same_sign["a"], same_sign["b"]))
    assert worst.verdict == "rounding"
    assert worst.ratio is not None
    assert worst.ratio < 2


def test_what_no_order_gives_is_impossible_and_what_few_give_is_suspicious() -> None:
    a, b = FACTORS["a"], FACTORS["b"]
    y = exact(PRODUCT, FACTORS)
    bound = 2.0**-24 * (np.abs(a.astype(np.float64)) @ np.abs(b))
    beyond, within = y.copy(), y.copy()
    beyond[2, 3] += 1.1 * 401 * bound[2, 3]
    within[2, 3] += 150 * bound[2, 3]
    found = of(PRODUCT, FACTORS, beyond)
    assert found.verdict == "impossible"
    assert "[2, 3]" in found.why
    assert "401" in found.why
    assert of(PRODUCT, FACTORS, within).verdict == "suspicious"


@pytest.mark.parametrize("kept_bits", [10, 7])
def test_a_product_of_narrower_factors_is_found(kept_bits: int) -> None:
    def cut(x: Any) -> Any:
        mask = np.uint32(0xFFFFFFFF) << np.uint32(23 - kept_bits)
        return (x.view(np.uint32) & mask).view(np.float32)

    value = (cut(FACTORS["a"]).astype(np.float64) @ cut(FACTORS["b"])).astype(np.float32)
    assert of(PRODUCT, FACTORS, value).verdict in ("suspicious", "impossible")


def test_moved_values_are_equal_or_wrong() -> None:
    text = "g (float[M, N] x) => (float[N, M] y) { y = Transpose(x) }"
    x = RANDOM.standard_normal((3, 4)).astype(np.float32)
    assert of(text, {"x": x}, x.T.copy()).verdict == "identical"
    wrong = x.T.copy()
    wrong[1, 2] = np.nextafter(wrong[1, 2], np.float32(9))
    assert of(text, {"x": x}, wrong).verdict == "impossible"
    assert of(text, {"x": x}, x).why == "it has the shape [3, 4] instead of [4, 3]"


def test_elementwise_functions_may_be_off_by_some_last_places_but_not_be_others() -> None:
    x = RANDOM.standard_normal((4, 64)).astype(np.float32)
    text = "g (float[M, N] x) => (float[M, N] y) { y = Gelu(x) }".replace("Gelu", "Erf")
    y = exact(text, {"x": x})
    one_off = np.nextafter(y, np.where(RANDOM.random(y.shape) < 0.5, -9, 9).astype(np.float32))
    assert of(text, {"x": x}, one_off).verdict == "rounding"
    approximated = np.tanh(1.1283791 * x * (1 + 0.0895 * x * x)).astype(np.float32)
    assert of(text, {"x": x}, approximated).verdict == "suspicious"
    broken = y.copy()
    broken[0, 0] = np.nan
    assert of(text, {"x": x}, broken).verdict == "suspicious"


def test_what_cancels_is_measured_by_its_inputs() -> None:
    # Around 1000 a float32 has three digits behind the point, so the normalised values have, too.
    x = (1000 + RANDOM.standard_normal((4, 64))).astype(np.float32)
    scale, bias = np.ones(64, np.float32), np.zeros(64, np.float32)
    text = """g (float[M, 64] x, float[64] s, float[64] b) => (float[M, 64] y) {
        y = LayerNormalization(x, s, b) }"""
    centred = x - x.mean(axis=-1, keepdims=True, dtype=np.float32)
    value = centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + np.float32(1e-5))
    feeds = {"x": x, "s": scale, "b": bias}
    assert of(text, feeds, value.astype(np.float32)).verdict == "rounding"
    other = centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + np.float32(1e-2))
    assert of(text, feeds, other.astype(np.float32)).verdict == "suspicious"


QUANTIZED = """g (float[N] x) => (uint8[N] q) <float s = {0.1}, uint8 z = {128}> {
    q = QuantizeLinear(x, s, z) }"""


def test_decisions_at_a_tie_may_fall_either_way_and_no_others() -> None:
    x = np.array([0.25, 0.5000001, 0.32, -0.15], np.float32)
    q = exact(QUANTIZED, {"x": x})
    flipped = q.copy()
    flipped[0] += 1 if q[0] % 2 == 0 else -1
    found = of(QUANTIZED, {"x": x}, flipped)
    assert (found.verdict, found.flips) == ("quantization", 1)
    wrong = q.copy()
    wrong[2] += 1
    assert of(QUANTIZED, {"x": x}, wrong).verdict == "impossible"


def test_some_integers_may_be_one_step_off_behind_a_function() -> None:
    text = """g (float[M, N] x) => (uint8[M, N] q) <float s = {0.01}, uint8 z = {0}> {
        p = Softmax(x)  q = QuantizeLinear(p, s, z) }"""
    x = RANDOM.standard_normal((4, 25)).astype(np.float32)
    q = exact(text, {"x": x})
    table = q.copy()
    table[:, :3] += 1
    assert of(text, {"x": x}, table).verdict == "quantization"
    assert of(text, {"x": x}, q + np.uint8(1)).verdict == "impossible"
    table[0, 0] += 1
    assert of(text, {"x": x}, table).verdict == "impossible"


def test_saturated_integer_sums_are_impossible() -> None:
    text = "g (uint8[M, K] a, int8[K, N] b) => (int32[M, N] y) { y = MatMulInteger(a, b) }"
    a, b = np.full((1, 2), 255, np.uint8), np.full((2, 1), 127, np.int8)
    assert of(text, {"a": a, "b": b}, np.array([[2**15 - 1]], np.int32)).verdict == "impossible"
    assert of(text, {"a": a, "b": b}, np.array([[64770]], np.int32)).verdict == "identical"


def test_pieces_with_decisions_inside_may_flip_them() -> None:
    text = """g (float[M, N] x) => (float[M, N] y) <float s = {0.1}, uint8 z = {128}> {
        q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z) }"""
    x = RANDOM.uniform(-5, 5, (2, 64)).astype(np.float32)
    x[0, 0] = 0.25
    y = exact(text, {"x": x})
    flipped = y.copy()
    flipped[0, 0] = 0.3 if y[0, 0] < 0.25 else 0.2
    assert of(text, {"x": x}, flipped).verdict == "quantization"
    assert of(text, {"x": x}, y + np.float32(0.1)).verdict == "suspicious"


def test_a_value_in_a_narrower_type_is_measured_in_that() -> None:
    value = exact(PRODUCT, FACTORS).astype(np.float16)
    assert of(PRODUCT, FACTORS, value).verdict == "rounding"


def test_what_is_no_tensor_is_not_judged() -> None:
    it = graph(PRODUCT)
    (piece,) = segments(it, {"y"})
    assert judged(it, piece, {**FACTORS, "a": [1]}, np.ones((6, 5), np.float32), None) is None


def test_a_node_may_make_what_is_given_and_what_is_wanted() -> None:
    text = """g (float[M, N] x) => (float[M, N] y) {
        a, b = Split<axis = 0>(x)  y = Concat<axis = 0>(a, b) }"""
    it = graph(text)
    (piece,) = (s for s in segments(it, {"a", "y"}) if s.edge == "y")
    assert piece.inputs == ("a", "x")
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    found = judged(it, piece, {"a": x[:2], "x": x}, x, None)
    assert found is not None
    assert found.verdict == "identical"
