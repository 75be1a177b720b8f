"""Attention in one step, and softmax, against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import FUSED, attention
from embedx.model.graph import Array
from tests.kernels.cases import ULP, assert_within, check, check_declined, kernels_of, strange_to

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(attention), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


@pytest.mark.parametrize(("formula", "inputs", "attributes"), strange_to(attention))
def test_a_kernel_declines(formula: Any, inputs: Any, attributes: dict[str, Any]) -> None:
    check_declined(formula, inputs, attributes)


HIDDEN = np.asarray(np.float32(-np.inf))


@pytest.mark.parametrize("way", ["plain", "added", "two", "chosen", "to_bool", "guarded"])
@pytest.mark.parametrize("size", [1, 30])
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.data())
def test_attention(
    way: str, size: float, batch: int, heads: int, queries: int, keys: int, data: st.DataObject
) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def normal(*shape: int) -> Array:
        return generator.standard_normal(shape).astype(np.float32)

    width, lead = data.draw(st.integers(1, 20)), (batch, heads)
    q, k, v = normal(*lead, queries, width), normal(*lead, width, keys), normal(*lead, keys, width)
    q *= np.float32(size)
    v *= np.float32(data.draw(st.sampled_from([1e-3, 1, 1e9, 1e37])))
    hidden = generator.random((batch, 1, queries, keys)) < 0.3
    hidden |= generator.random((batch, 1, queries, 1)) < (0.3 if way == "guarded" else 0)
    bias = normal(1, heads, queries, keys)
    rest: tuple[Array | None, ...] = ()
    scores = q.astype(np.float64) @ k.astype(np.float64) * 0.25
    if way in ("added", "two"):
        hidden[..., 0] = False  # with nothing but -1e9, float32 would forget the scores
        mask = np.where(hidden, np.float32(-1e9), np.float32(0))
        rest = (mask,) if way == "added" else (mask, None, None, bias)
        scores = scores + mask + (bias if way == "two" else 0)
    elif way != "plain":
        zero = np.asarray(np.float32(0))
        mask = hidden.astype(np.int64) if way == "to_bool" else hidden
        rest = (mask, HIDDEN, zero) if way == "guarded" else (mask, HIDDEN)
        scores = np.where(hidden, -np.inf, scores)
    with np.errstate(all="ignore"):
        probabilities = ops.softmax(scores)
        if way == "guarded":
            probabilities = np.where(np.isnan(probabilities), 0, probabilities)
        exact = probabilities @ v.astype(np.float64)
        found = FUSED["Attention"].function(
            q, k, v, *rest, scale=0.25, to_bool=int(way == "to_bool")
        )
    # A score is off by as much as its products round, and its exponential by as many units.
    products = (np.abs(q) @ np.abs(k)).max() * 0.25 + np.abs(bias).max()
    assert_within(found, exact, (8 + keys / 64 + 2 * products) * ULP * np.abs(v).max())


def _attention(**changes: Any) -> Any:
    shape = (1, 2, 3, 4)
    given: dict[str, Any] = {
        "q": np.ones(shape, np.float32), "k": np.ones((1, 2, 4, 3), np.float32),
        "v": np.ones(shape, np.float32), "mask": np.zeros((1, 1, 1, 3), np.float32), "fill": None,
        "dead": None, "bias": None,
    }  # fmt: skip
    return FUSED["Attention"].function(*(given | changes).values())


def test_attention_is_done_for_plain_shapes() -> None:
    assert _attention().shape == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"q": np.ones((1, 2, 3, 4))},
        {"q": np.ones(4, np.float32)},
        {"v": np.ones((2, 2, 3, 4), np.float32)},
        {"q": np.ones((1, 2, 0, 4), np.float32)},
        {"k": np.ones((1, 2, 5, 3), np.float32)},
        {"mask": np.zeros((2, 1, 1, 3), np.float32)},
        {"mask": np.zeros((1, 1, 1, 1, 3), np.float32)},
        {"mask": np.zeros((1, 1, 1, 3), bool)},
        {"mask": np.zeros((1, 1, 1, 3), bool), "fill": np.zeros(3, np.float32)},
        {"mask": np.zeros((1, 1, 1, 3), bool), "fill": np.zeros((), np.float64)},
        {"mask": np.zeros((1, 1, 1, 3), bool), "fill": np.zeros((1,) * 5, np.float32)},
        {"dead": np.zeros(4, np.float32)},
        {"bias": np.zeros((1, 3, 1, 3), np.float32)},
    ],
)
def test_attention_declines(changes: dict[str, Any]) -> None:
    assert _attention(**changes) is NotImplemented
