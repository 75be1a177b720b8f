"""What rounding to integers must add, against rounding that is really done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedx.model.graph import Graph
from embedx.oracle.noise import Noise
from embedx.oracle.steps import Coarse, Steps, products_between, steps_between, variances
from embedx.run.engine import Engine
from tests.models import graph

RANDOM = np.random.default_rng(2)
X = RANDOM.standard_normal((40, 64)).astype(np.float32)
W = RANDOM.standard_normal((64, 32)).astype(np.float32)
W[:, 5] *= 4


def with_weights(text: str, **weights: Any) -> Graph:
    """The graph in which some inputs are weights."""
    found = graph(text)
    return replace(
        found,
        inputs=tuple(v for v in found.inputs if v.name not in weights),
        initializers={**found.initializers, **weights},
    )


FLOATS = with_weights(
    "g (float[M, 64] x, float[64, 32] w) => (float[M, 32] y) { y = MatMul(x, w) }", w=W
)


def quantized(by_column: bool) -> Graph:
    scale = np.abs(W).max(axis=0 if by_column else None) / 127
    codes = np.rint(W / scale).astype(np.int8)
    text = """g (float[M, 64] x, int8[64, 32] w, float ws, int8 wz) => (float[M, 32] y) {
        q, s, z = DynamicQuantizeLinear(x)  i = MatMulInteger(q, w, z, wz)
        f = Cast<to = 1>(i)  both = Mul(s, ws)  y = Mul(f, both) }"""
    zero = np.zeros(scale.shape, np.int8)
    return with_weights(text, w=codes, ws=np.asarray(scale, np.float32), wz=zero)


@pytest.mark.parametrize("by_column", [False, True])
def test_a_dynamically_quantized_product_is_off_by_what_its_steps_add(by_column: bool) -> None:
    other = quantized(by_column)
    steps = steps_between(FLOATS, other)
    assert set(steps) == {"y"}
    (exact,) = Engine(FLOATS, precision="exact").run([X])
    (rounded,) = Engine(other, precision="exact").run([X])
    real = np.sqrt(np.mean(np.square(rounded - exact), axis=0))
    engine = Engine(FLOATS, precision="exact")
    found = []
    for seed in range(40):
        *_, last = engine.walk([X], Noise(FLOATS, seed=seed, coarse=Coarse(steps=steps)).around)
        found.append(last.outputs[0] - exact)
    expected = np.sqrt(np.mean(np.square(found), axis=(0, 1)))
    assert 0.8 < np.sqrt(np.mean(real**2) / np.mean(expected**2)) < 1.25


def test_errors_in_a_step_are_spread_evenly() -> None:
    of_a, of_b = variances(Steps(a=-1 / 255, b=0.3), np.array([-1.0, 0, 2]), W)
    assert of_a is not None
    np.testing.assert_allclose(of_a, (3 / 255) ** 2 / 12)
    np.testing.assert_allclose(of_b, 0.3**2 / 12)
    assert variances(Steps(b=0.3, looks_up=True), np.array([1]), W)[0] is None


def test_floats_are_not_rounded() -> None:
    assert steps_between(FLOATS, FLOATS) == {}
    assert products_between(FLOATS, FLOATS) == {"y": "y"}
