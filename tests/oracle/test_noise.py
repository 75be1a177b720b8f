"""Noise has the size of a machine's errors, and stands where a machine makes some."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from embedx.ops import registered
from embedx.oracle import noise
from embedx.oracle.noise import Noise, edges_of_data, flips, of_products, unit_of
from embedx.oracle.steps import Coarse
from embedx.run.engine import Engine
from tests.models import graph, model

RANDOM = np.random.default_rng(0)


def deviations(text: str, feeds: list[Any], count: int = 60, **options: Any) -> Any:
    """The standard deviation of each element of a graph's one output in noisy runs."""
    engine = Engine(graph(text), precision="exact")
    (exact,) = engine.run(feeds)
    found = []
    for seed in range(count):
        *_, last = engine.walk(feeds, Noise(engine.graph, seed=seed, **options).around)
        found.append(last.outputs[0].astype(np.float64) - exact)
    return np.sqrt(np.mean(np.square(found), axis=0)), exact


def test_names_are_those_of_operators() -> None:
    known = {entry.name for entry in registered()}
    for names in (
        noise._BILINEAR, noise._SUMS, noise._DECIDING, noise._STEPS, noise._REQUANTIZING,
        noise._FROM_INTEGERS, noise._SIZES,
    ):  # fmt: skip
        assert names <= known


def test_the_unit_is_half_the_distance_to_the_next_number() -> None:
    assert unit_of(np.dtype(np.float16)) == 2.0**-11
    assert unit_of(np.dtype(np.float64)) == 2.0**-53
    assert unit_of(np.dtype(ml_dtypes.bfloat16)) == 2.0**-8


def test_an_operation_is_off_by_one_rounding() -> None:
    x = RANDOM.uniform(1, 2, 4000).astype(np.float32)
    off, exact = deviations("g (float[N] x) => (float[N] y) { y = Sqrt(x) }", [x])
    assert 0.5 < np.mean(off / (2.0**-24 * exact)) < 2


def test_a_sum_of_products_is_off_by_the_order_of_its_summands() -> None:
    a, b = (RANDOM.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    text = "g (float[M, K] a, float[K, N] b) => (float[M, N] y) { y = MatMul(a, b) }"
    off, exact = deviations(text, [a, b])
    squares = np.square(a.astype(np.float64)) @ np.square(b.astype(np.float64))
    expected = 2.0**-24 * (4 * np.sqrt(squares) + np.abs(exact))
    assert 0.8 < np.mean(off / expected) < 1.2


def test_sums_inside_an_operator_are_as_noisy_as_those_of_nodes() -> None:
    a = RANDOM.standard_normal((8, 64)).astype(np.float32)
    text = "g (float[M, K] a) => (float[M] y) { y = ReduceMean<axes = [1], keepdims = 0>(a) }"
    off, _ = deviations(text, [a])
    expected = 4 * 2.0**-24 * np.sqrt(np.square(a).sum(axis=1)) / 64
    assert 0.5 < np.mean(off / expected) < 2


def test_nothing_is_added_to_what_is_only_moved_or_fills_a_mask() -> None:
    x = np.array([[1.5, -3.4028235e38, np.inf, np.nan]], np.float32)
    text = "g (float[1, 4] x) => (float[1, 4] z) { y = Neg(x)  z = Add(y, y) }"
    engine = Engine(graph(text), precision="exact")
    negated, doubled = (v.outputs[0] for v in engine.walk([x], Noise(engine.graph).around))
    np.testing.assert_array_equal(negated, -x)
    np.testing.assert_array_equal(doubled[0, 1:], [np.inf, -np.inf, np.nan])


def test_half_precision_is_rounded_to_its_own_type_but_summed_in_float32() -> None:
    a, b = (RANDOM.standard_normal((32, 32)).astype(np.float16) for _ in range(2))
    text = "g (float16[M, K] a, float16[K, N] b) => (float16[M, N] y) { y = MatMul(a, b) }"
    off, exact = deviations(text, [a, b])
    assert 0.4 < np.median(off / (2.0**-11 * np.abs(exact))) < 2


ENCODER = """g (int64[B, T] ids, int64[B, T] mask) => (float[B, T, 4] y, int64[B, T] buckets)
    <float[9, 4] table = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9},
     float one = {1.0}> {
    rows = Gather(table, ids)
    float_mask = Cast<to = 1>(mask)
    bias = Sub(float_mask, one)
    size = Shape(rows)
    float_ids = Cast<to = 1>(ids)
    logs = Log(float_ids)
    buckets = Cast<to = 7>(logs)
    scaled = Mul(rows, one)
    y = Identity(scaled) }"""


def test_what_is_made_of_ids_alone_is_no_data() -> None:
    data = edges_of_data(graph(ENCODER))
    assert {"rows", "scaled", "y"} <= data
    assert data.isdisjoint({"float_mask", "bias", "size", "logs", "buckets"})


def test_rows_of_a_quantized_table_are_data_wherever_they_become_floats() -> None:
    head = "<int8[4, 2] codes = {1,2,3,4,5,6,7,8}, float scale = {0.5}>"
    behind = f"""g (int64[N] ids) => (float[N, 2] y) {head} {{
        rows = Gather(codes, ids)  y = DequantizeLinear(rows, scale) }}"""
    before = f"""g (int64[N] ids) => (float[N, 2] y) {head} {{
        table = DequantizeLinear(codes, scale)  y = Gather(table, ids) }}"""
    buckets = f"""g (int64[N] ids) => (float[N, 2] y) {head} {{
        rows = Gather(codes, ids)  y = Cast<to = 1>(rows) }}"""
    assert edges_of_data(graph(behind)) == {"y"}
    assert edges_of_data(graph(before)) == {"y"}
    assert edges_of_data(graph(buckets)) == set()


def test_a_loop_of_lookups_makes_data() -> None:
    text = """g (int64 n, int64[N] ids) => (float[K, N, 2] y)
        <float[2, 2] table = {1, 2, 3, 4}, bool go = {1}> {
        y = Loop(n, go) <body = b (int64 i, bool more) => (bool again, float[N, 2] rows) {
            again = Identity(more)  rows = Gather(table, ids) }> }"""
    assert "y" in edges_of_data(graph(text))


def test_the_same_seed_makes_the_same_noise() -> None:
    x = RANDOM.standard_normal((4, 4)).astype(np.float32)
    engine = Engine(model("g (float[N, N] x) => (float[N, N] y) { y = MatMul(x, x) }"))

    def run(seed: int) -> Any:
        *_, last = engine.walk([x], Noise(engine.graph, seed=seed).around)
        return last.outputs[0]

    np.testing.assert_array_equal(run(3), run(3))
    assert (run(3) != run(4)).any()


def test_decisions_flip_under_more_noise_and_results_stay_as_they_were() -> None:
    text = """g (float[N] x) => (uint8[N] q, float[N] y)
        <float scale = {0.01}, uint8 zero = {128}> {
        q = QuantizeLinear(x, scale, zero)  y = Add(x, x) }"""
    engine = Engine(graph(text), precision="exact")
    x = RANDOM.uniform(-1, 1, 2000).astype(np.float32)
    exact, doubled = engine.run([x])

    def run(flipping: float) -> Any:
        walk = engine.walk([x], Noise(engine.graph, flipping=flipping).around)
        return [visit.outputs[0] for visit in walk]

    quiet, loud = run(0), run(2.0**14)
    assert flips(engine.graph.nodes[0], exact, quiet[0]) == 0
    assert (flips(engine.graph.nodes[0], exact, loud[0]) or 0) > 5
    assert np.abs(loud[0].astype(int) - exact).max() == 1
    np.testing.assert_allclose(loud[1], doubled, rtol=1e-6)


def test_casts_decide_between_integers_only() -> None:
    text = (
        """g (float[N] x) => (int64[N] i, float16[N] h) { i = Cast<to=7>(x) h = Cast<to=10>(x) }"""
    )
    to_integers, to_halves = graph(text).nodes
    a, b = np.array([1, 2]), np.array([1, 3])
    assert flips(to_integers, a, b) == 1
    assert flips(to_halves, a.astype(np.float16), b.astype(np.float16)) is None


def test_a_coarser_machine_is_noisier() -> None:
    x = RANDOM.uniform(1, 2, 1000).astype(np.float32)
    text = "g (float[N] x) => (float[N] y) { y = Add(x, x) }"
    off, exact = deviations(text, [x], coarse=Coarse(unit=2.0**-11))
    assert 0.8 < np.mean(off / (2.0**-11 * exact)) < 1.2


@pytest.mark.parametrize("function", [np.abs, np.square])
def test_sums_of_a_function_of_products(function: Any) -> None:
    a, b, c = (RANDOM.standard_normal((5, 5)) for _ in range(3))
    text = """g (float[5, 5] a, float[5, 5] b, float[5, 5] c) => (float[5, 5] y) {
        y = Gemm<alpha = -0.5, beta = 2.0, transB = 1>(a, b, c) }"""
    (node,) = graph(text).nodes
    expected = function(-0.5) * (function(a) @ function(b).T) + function(2.0) * function(c)
    np.testing.assert_allclose(of_products(node, [a, b, c], function), expected, rtol=1e-5)
