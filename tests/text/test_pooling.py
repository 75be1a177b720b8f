"""Pooling against sums written out, and the modules behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedx.errors import DeploymentError
from embedx.model.graph import Array
from embedx.text import pooling
from embedx.text.modules import ACTIVATIONS, TOKENS, Dense, LayerNorm, Normalize, Pooling

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


# What torch.nn's classes (2.13, float64) give for these.
INPUTS = [-3.0, -1.0, -0.4, 0.0, 0.3, 0.5, 2.0, 7.0]
OUTPUTS = {
    "Identity": [-3.0, -1.0, -0.4, 0.0, 0.3, 0.5, 2.0, 7.0],
    "Tanh": [-0.995055, -0.761594, -0.379949, 0.0, 0.291313, 0.462117, 0.964028, 0.999998],
    "ReLU": [0.0, 0.0, 0.0, 0.0, 0.3, 0.5, 2.0, 7.0],
    "GELU": [-0.00405, -0.158655, -0.137831, 0.0, 0.185373, 0.345731, 1.9545, 7.0],
    "SiLU": [-0.142278, -0.268941, -0.160525, 0.0, 0.172333, 0.31123, 1.761594, 6.993623],
    "Sigmoid": [0.047426, 0.268941, 0.401312, 0.5, 0.574443, 0.622459, 0.880797, 0.999089],
    "LogSigmoid": [
        -3.048587, -1.313262, -0.913015, -0.693147, -0.554355, -0.474077, -0.126928, -0.000911,
    ],
    "Softplus": [0.048587, 0.313262, 0.513015, 0.693147, 0.854355, 0.974077, 2.126928, 7.000911],
    "Softsign": [-0.75, -0.5, -0.285714, 0.0, 0.230769, 0.333333, 0.666667, 0.875],
    "Mish": [-0.145647, -0.303401, -0.188916, 0.0, 0.208001, 0.375245, 1.943959, 6.999988],
    "ELU": [-0.950213, -0.632121, -0.32968, 0.0, 0.3, 0.5, 2.0, 7.0],
    "CELU": [-0.950213, -0.632121, -0.32968, 0.0, 0.3, 0.5, 2.0, 7.0],
    "SELU": [-1.670569, -1.111331, -0.57961, 0.0, 0.31521, 0.52535, 2.101402, 7.354907],
    "LeakyReLU": [-0.03, -0.01, -0.004, 0.0, 0.3, 0.5, 2.0, 7.0],
    "ReLU6": [0.0, 0.0, 0.0, 0.0, 0.3, 0.5, 2.0, 6.0],
    "Hardtanh": [-1.0, -1.0, -0.4, 0.0, 0.3, 0.5, 1.0, 1.0],
    "Hardsigmoid": [0.0, 0.333333, 0.433333, 0.5, 0.55, 0.583333, 0.833333, 1.0],
    "Hardswish": [0.0, -0.333333, -0.173333, 0.0, 0.165, 0.291667, 1.666667, 7.0],
    "Hardshrink": [-3.0, -1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 7.0],
    "Softshrink": [-2.5, -0.5, 0.0, 0.0, 0.0, 0.0, 1.5, 6.5],
    "Tanhshrink": [-2.004945, -0.238406, -0.020051, 0.0, 0.008687, 0.037883, 1.035972, 6.000002],
}  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_activations(activation: str) -> None:
    dense = Dense(np.eye(len(INPUTS), dtype=np.float32), None, activation)
    found = pooling.apply_modules(np.array([INPUTS], np.float32), [dense])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [OUTPUTS[activation]], atol=1e-6)


def test_a_residual_is_the_input_or_its_projection() -> None:
    x = np.array([[2.0, 3.0]], np.float32)
    weight, projection = np.array([[1, 0], [1, 1]], np.float32), np.array([[10, 1]], np.float32)
    square = Dense(weight, np.array([0, -9], np.float32), "ReLU", use_residual=True)
    assert pooling.dense(x, square).tolist() == [[2 + 2, 0 + 3]]
    narrow = Dense(weight[:1], None, "Identity", use_residual=True, residual=projection)
    assert pooling.dense(x, narrow).tolist() == [[2 + 23]]


def test_dense_layers_may_work_on_tokens_or_beside_the_embedding() -> None:
    hidden = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    double = np.array([[2, 0], [0, 2]], np.float32)
    on_tokens = Dense(double, None, "Identity", source=TOKENS, target=TOKENS)
    unread = Dense(double, None, "Identity", source=TOKENS, target="other")
    mean = Pooling(("mean",))
    assert pooling.apply_modules(hidden, [on_tokens, mean]).tolist() == [[4, 6]]
    assert pooling.apply_modules(hidden, [unread, mean]).tolist() == [[2, 3]]
    normalized = pooling.apply_modules(hidden, [Normalize(TOKENS, TOKENS), mean])
    np.testing.assert_allclose(normalized, [[(5**-0.5 + 0.6) / 2, (2 * 5**-0.5 + 0.8) / 2]])


def test_layer_normalisation() -> None:
    """Of 1, 2, 3 and 10 by hand: the mean is 4, the variance 50 / 4, the epsilon 1e-5."""
    layer = LayerNorm(np.array([1, 2, 1, 1], np.float32), np.array([0, 0, 5, 0], np.float32))
    x = np.array([[1.0, 2.0, 3.0, 10.0]], np.float32)
    expected = np.array([[-3, -4, -1, 6]]) / (12.5 + 1e-5) ** 0.5 + [[0, 0, 5, 0]]
    np.testing.assert_allclose(pooling.apply_modules(x, [layer]), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([Normalize()], "'sentence_embedding' is read, and no module makes it"),
        ([], "'sentence_embedding' is read, and no module makes it"),
        ([Pooling(("mean",)), Normalize("other")], "'other' is read, and no module makes it"),
        ([Pooling(("mean", "max")), Dense(np.eye(1), None, "Tanh")], "takes 1 numbers, and gets 2"),
        ([Pooling(("mean",)), LayerNorm(np.ones(2), np.ones(2))], "takes 2 numbers, and gets 1"),
    ],
)
def test_modules_that_do_not_follow_from_each_other_are_refused(
    modules: list[Any], message: str
) -> None:
    with pytest.raises(DeploymentError, match=message):
        pooling.apply_modules(np.ones((1, 3, 1), np.float32), modules)


def test_sums_are_in_float64() -> None:
    """In float32 the ones vanish beside 2^24."""
    hidden = np.array([[[2.0**24], [1.0], [1.0], [1.0]]], np.float32)
    assert pooling.mean(hidden).item() == np.float32((2**24 + 3) / 4)
    assert pooling.mean_sqrt_len(hidden).item() == np.float32((2**24 + 3) / 2)
    assert pooling.weightedmean(hidden).item() == np.float32((2**24 + 9) / 10)
    ones = Dense(np.ones((1, 4), np.float32), np.array([-(2.0**24)], np.float32), "Identity")
    assert pooling.dense(hidden[:, :, 0], ones).item() == 3


@given(HIDDEN, st.integers(0, 5))
def test_prompts_may_be_left_out(hidden: Array, prompt: int) -> None:
    """By sentence-transformers' rules; a token's weight stays its place in the whole text."""
    text = hidden.astype(np.float64)
    kept = text[:, prompt:]
    n, count = text.shape[1], kept.shape[1]
    weights = np.arange(prompt + 1, n + 1)
    for mode in pooling.POOLINGS:
        found = pooling.apply_modules(hidden, [Pooling((mode,), include_prompt=False)], prompt)
        if count == 0:
            assert not found.any()
            continue
        expected = {
            "mean": kept.sum(axis=1) / count,
            "max": kept.max(axis=1),
            "cls": kept[:, 0],
            "lasttoken": text[:, -1],
            "mean_sqrt_len": kept.sum(axis=1) / count**0.5,
            "weightedmean": np.einsum("bth,t->bh", kept, weights / weights.sum()),
        }[mode]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
        included = pooling.apply_modules(hidden, [Pooling((mode,))], prompt)
        np.testing.assert_array_equal(included, pooling.reduce(hidden, mode, prompt))
