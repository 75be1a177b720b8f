"""Quantization on the way into a product, bit for bit against the operators one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import FUSED
from embedx.model.graph import FUSED_DOMAIN, Array, Node
from embedx.workers import threads
from tests.kernels.cases import floats

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def kernel(constants: tuple[Array | None, ...]) -> Any:
    names = ("x", *("" if c is None else f"c{i}" for i, c in enumerate(constants)))
    node = Node("QuantizedLinear", names, ("y",), domain=FUSED_DOMAIN)
    prepare = FUSED["QuantizedLinear"].prepare
    assert prepare is not None
    prepared = prepare(node, (None, *constants), "auto")
    assert prepared is not None
    return prepared.call


def one_by_one(x: Array, parts: list[tuple[Any, ...]]) -> Array:
    whole, x_scale, x_zero = ops.dynamic_quantize_linear(x)
    products = []
    for w, scale, zero, bias in parts:
        sums = ops.matmul_integer(whole, w, x_zero, zero)
        product = ops.mul(sums.astype(np.float32), ops.mul(x_scale, scale))
        products.append(product if bias is None else ops.add(product, bias))
    return np.concatenate(products, axis=-1)


@st.composite
def matrices(draw: st.DrawFn, inner: int) -> tuple[Any, ...]:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.int8, np.uint8]))
    limits = np.iinfo(dtype)
    shape = draw(st.sampled_from([(), (1,), (columns,)]))
    w = random.integers(limits.min, limits.max, (inner, columns), endpoint=True).astype(dtype)
    zero = random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    scale = random.random(shape).astype(np.float32)
    bias = random.standard_normal(columns).astype(np.float32)
    return (
        w, scale, draw(st.sampled_from([None, np.asarray(zero)])),
        draw(st.sampled_from([None, bias])),
    )  # fmt: skip


@given(st.data())
def test_bits_are_those_of_the_operators(data: st.DataObject) -> None:
    inner = data.draw(st.sampled_from([1, 7, 64, 600]), "inner")  # 600 need two runs of rows
    parts = data.draw(st.lists(matrices(inner), min_size=1, max_size=3))
    lead = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2)))
    x = data.draw(floats((*lead, inner)))
    call = kernel(tuple(part[i] for i in range(4) for part in parts))
    with threads(data.draw(st.sampled_from([1, 2]))):
        found = call(x)
        by_text = call(x, by_text=1)
    np.testing.assert_array_equal(found, one_by_one(x, parts))
    alone = np.concatenate([one_by_one(text[None], parts) for text in x])
    np.testing.assert_array_equal(by_text, alone)


@pytest.mark.parametrize("rows", [(0, 3), (2, 0)])
def test_without_elements_nothing_comes_out(rows: tuple[int, ...]) -> None:
    call = kernel((np.ones((4, 5), np.int8), np.ones((), np.float32), None, None))
    for by_text in (0, 1):
        assert call(np.zeros((*rows, 4), np.float32), by_text=by_text).shape == (*rows, 5)


def test_the_ends_of_the_range_are_clipped_where_they_round_out_of_it() -> None:
    call = kernel((np.eye(3, dtype=np.int8), np.ones((), np.float32), None, None))
    clipped = 0
    for end in np.linspace(1, 2, 100, dtype=np.float32):  # some are 127.5 scales in float32
        x = np.array([[-end, end, end / 3]], np.float32)
        whole, scale, zero = ops.dynamic_quantize_linear(x)
        clipped += bool(np.rint(x / scale).max() + np.float32(zero) > 255)
        np.testing.assert_array_equal(call(x), (whole.astype(np.float32) - zero) * scale)
    assert clipped > 5


@pytest.mark.parametrize("x", [np.zeros((2, 4)), np.zeros((2, 3), np.float32)])
def test_what_does_not_fit_is_declined(x: Array) -> None:
    call = kernel((np.ones((4, 5), np.int8), np.ones((), np.float32), None, None))
    assert call(x) is NotImplemented
