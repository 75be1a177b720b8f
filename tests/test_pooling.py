"""Pooling against sums written out, and the modules behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedx import pooling
from embedx.deployment import Dense, Normalize, Pooling
from embedx.graph import Array

HIDDEN = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4)),
    elements=st.floats(-100, 100, width=32),
)


@given(HIDDEN)
def test_poolings_equal_their_definitions(hidden: Array) -> None:
    texts = hidden.astype(np.float64)
    for b, text in enumerate(texts):
        n = len(text)
        expected = {
            "mean": sum(text) / n,
            "max": [max(column) for column in text.T],
            "cls": text[0],
            "lasttoken": text[-1],
            "mean_sqrt_len": sum(text) / n**0.5,
            "weightedmean": sum((i + 1) * t for i, t in enumerate(text)) / (n * (n + 1) / 2),
        }
        for name, value in expected.items():
            found = pooling.reduce(hidden, name, 1)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found[b], value, rtol=1e-5, atol=1e-4)


@given(HIDDEN)
def test_the_seeds_reductions_leave_out_the_leading_special_tokens(
    hidden: Array,
) -> None:
    for name, plain in (("reduce_mean", "mean"), ("reduce_max", "max")):
        found = pooling.reduce(hidden, name, 1)
        rest = hidden[:, 1:]
        expected = pooling.reduce(rest, plain, 0) if rest.shape[1] else np.zeros_like(found)
        np.testing.assert_array_equal(found, expected)


def test_several_modes_are_concatenated() -> None:
    hidden = np.array([[[1.0], [3.0]]], np.float32)
    modules = [Pooling(("cls", "max", "mean"))]
    assert pooling.apply_modules(hidden, modules).tolist() == [[1, 3, 2]]


def test_modules_apply_in_order() -> None:
    hidden = np.array([[[3.0, 4.0], [3.0, 4.0]]], np.float32)
    swap = Dense(np.array([[0, 1], [1, 0]], np.float32), np.array([0, 1], np.float32), "Identity")
    modules: list[Any] = [Pooling(("mean",)), swap, Normalize()]
    np.testing.assert_allclose(pooling.apply_modules(hidden, modules), [[4 / 32**0.5] * 2])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("Identity", -1),
        ("Tanh", np.tanh(-1)),
        ("ReLU", 0),
        ("Sigmoid", 1 / (1 + np.e)),
        ("GELU", -0.15865525),
        ("SiLU", -1 / (1 + np.e)),
    ],
)
def test_dense_activations(activation: str, expected: float) -> None:
    dense = Dense(np.array([[1]], np.float32), None, activation)
    found = pooling.apply_modules(np.array([[-1]], np.float32), [dense])
    np.testing.assert_allclose(found, [[expected]], atol=1e-6)


def test_prompt_tokens_may_be_left_out() -> None:
    hidden = np.array([[[9.0], [1.0], [3.0]]], np.float32)
    kept = pooling.apply_modules(hidden, [Pooling(("mean",))], 1)
    left_out = pooling.apply_modules(hidden, [Pooling(("mean",), include_prompt=False)], 1)
    assert (kept.item(), left_out.item()) == (pytest.approx(13 / 3), 2)
