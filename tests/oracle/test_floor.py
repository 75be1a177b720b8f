"""How far honest runs are apart."""

from __future__ import annotations

import numpy as np

from embedx.oracle.floor import Floor, difference, finite, flipped_floors, floors, row_rms
from embedx.run.engine import Engine
from tests.models import graph

RANDOM = np.random.default_rng(1)
X = RANDOM.standard_normal((8, 64)).astype(np.float32)


def test_the_floor_of_a_product_is_its_noise() -> None:
    text = "g (float[M, K] x) => (float[M, M] y) { t = Transpose(x)  y = MatMul(x, t) }"
    engine = Engine(graph(text), precision="exact")
    found = floors(engine, {"x": X}, {"y"}, samples=16)
    wide = X.astype(np.float64)
    size = 2.0**-24 * (4 * np.sqrt(wide**2 @ (wide**2).T) + np.abs(wide @ wide.T))
    np.testing.assert_allclose(found.by_edge["y"].rows, row_rms(size), rtol=0.5)
    np.testing.assert_allclose(found.by_edge["y"].sizes, row_rms(wide @ wide.T), rtol=1e-4)
    assert found.flips == {}
    assert found.sizes == {"y": 8 * 8 * 4}


def test_moved_values_have_a_floor_where_they_are_given_noise() -> None:
    engine = Engine(graph("g (float[M, K] x) => (float[K, M] y) { y = Transpose(x) }"))
    assert not floors(engine, {"x": X}, {"y"}).by_edge["y"].rows.any()
    moved = floors(engine, {"x": X}, {"y"}, moving=True).by_edge["y"]
    assert 0.3 < np.mean(moved.rows / (2.0**-24 * moved.sizes)) < 2


def test_a_row_is_measured_by_its_own_floor_but_none_by_less_than_usual() -> None:
    floor = Floor(np.array([1e-7, 1e-7, 1e-9]), np.ones(3))
    np.testing.assert_allclose(floor.ratios(np.array([3e-7, 0, 3e-7])), [3, 0, 3])
    silent = Floor(np.zeros(2), np.ones(2))
    assert silent.ratios(np.array([0.0, 1e-30])).tolist() == [0.0, np.inf]


def test_decisions_flip_if_noise_is_raised_for_it() -> None:
    text = """g (float[M, K] x) => (float[M, K] y) <float scale = {0.5}, int8 zero = {0}> {
        q = QuantizeLinear(x, scale, zero)  y = DequantizeLinear(q, scale, zero) }"""
    engine = Engine(graph(text), precision="exact")
    x = np.full((4, 8), 0.1, np.float32)
    x[0, 0] = 0.2502  # the nearest to a tie
    quiet = floors(engine, {"x": x}, {"y"})
    assert quiet.flips == {"q": 0.0}
    loud = flipped_floors(engine, {"x": x}, {"y"})
    assert loud.flips["q"] > 0
    assert loud.by_edge["y"].rows[0] > 1e-2
    assert not (loud.by_edge["y"].rows[1:] > 1e-2).any()


def test_a_difference_knows_equal_infinities() -> None:
    inf, nan = np.inf, np.nan
    a, b = np.array([1, inf, nan, inf, nan]), np.array([2, inf, nan, 1, 1])
    assert difference(a, b).tolist() == [-1, 0, 0, inf, inf]
    large, fills = np.array([1e24, -1e24, -3.4e38]), np.array([2e24, -1e24, -1e9])
    assert difference(large, fills).tolist() == [-1e24, 0, 0]
    assert finite(np.array([1, inf, nan, -3e38])).tolist() == [1, 0, 0, 0]


def test_rows_of_any_rank() -> None:
    assert row_rms(np.array(3.0)).tolist() == [3]
    assert row_rms(np.array([[3, 4], [0, 0]])).tolist() == [np.sqrt(12.5), 0]
    assert row_rms(np.zeros((2, 0))).shape == (0,)
