"""Integer products with what dynamic quantization puts around them: the same to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rewrite.fusing import engine_of, operators

SCALED = """g (uint8[N, 3] a, float s) => (float[N, 4] y) {
  i = MatMulInteger(a, w, z, wz)  j = Add(i, bias)  f = Cast<to = 1>(j)  p = Mul(f, s)
  y = Add(p, shift) }"""


def weights(seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "w": generator.integers(-128, 128, (3, 4)).astype(np.int8),
        "z": np.array(generator.integers(0, 256), np.uint8),
        "wz": generator.integers(-128, 128, 4).astype(np.int8),
        "bias": generator.integers(-(2**20), 2**20, 4).astype(np.int32),
        "shift": generator.standard_normal(4),
    }


@given(st.integers(0, 999))
def test_each_step_is_rounded_as_it_is_written(seed: int) -> None:
    given_weights = weights(seed)
    generator = np.random.default_rng(seed + 1)
    a = generator.integers(0, 256, (5, 3)).astype(np.uint8)
    scale = np.asarray(generator.random(), np.float32)
    whole = [
        [
            int(bias) + sum(
                (int(x) - int(given_weights["z"])) * (int(v) - int(zero))
                for x, v in zip(row, column, strict=True)
            )
            for column, zero, bias in zip(
                given_weights["w"].T, given_weights["wz"], given_weights["bias"], strict=True
            )
        ]
        for row in a
    ]  # fmt: skip
    shift = given_weights["shift"].astype(np.float32)
    exact = np.array(whole).astype(np.float32) * scale + shift  # in float32, step by step
    np.testing.assert_array_equal(engine_of(SCALED, **given_weights).run([a, scale])[0], exact)


def test_it_is_one_step() -> None:
    assert operators(SCALED, **weights(0)) == ["ScaledMatMulInteger"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Cast<to = 1>(j)  p = Mul(f, s)", "Cast<to = 1>(j)  p = Div(f, s)"),
        ("Cast<to = 1>(j)  p = Mul(f, s)", "Cast<to = 11>(j) g = Cast<to = 1>(f) p = Mul(g, s)"),
        ("(float[N, 4] y) {", "(float[N, 4] y, int32[N, 4] i) {"),
    ],
)
def test_what_is_nearly_one_is_none(old: str, new: str) -> None:
    assert old in SCALED
    found = operators(SCALED.replace(old, new), **weights(0))
    assert "ScaledMatMulInteger" not in found
    assert "MatMulInteger" in found


def test_a_shift_that_is_no_vector_is_added_as_it_is_written() -> None:
    found = operators(SCALED, **{**weights(0), "shift": np.ones((1, 4))})
    assert found == ["ScaledMatMulInteger", "Add"]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_a_product_of_two_that_are_no_constants(shape: tuple[int, ...]) -> None:
    text = """g (uint8[B, N, 3] a, uint8[B, 3, M] b, uint8 z, float[...] s) => (float[B, N, M] y) {
      i = MatMulInteger(a, b, z, z)  f = Cast<to = 1>(i)  y = Mul(f, s) }"""
    text = text.replace("[...]", f"[{', '.join(map(str, shape))}]" if shape else "")
    generator = np.random.default_rng(0)
    a, b = (generator.integers(0, 256, n).astype(np.uint8) for n in ((2, 5, 3), (2, 3, 4)))
    z, scale = np.asarray(np.uint8(77)), np.full(shape, 0.37, np.float32)
    found = engine_of(text)
    assert [s.node.op_type for s in found.plan.steps] == ["ScaledMatMulInteger"]
    exact = (a.astype(np.int64) - 77) @ (b.astype(np.int64) - 77)
    np.testing.assert_array_equal(
        found.run([a, b, z, scale])[0], exact.astype(np.float32) * np.float32(0.37)
    )
