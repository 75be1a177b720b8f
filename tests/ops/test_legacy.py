"""The forms before opset 7 against the present ones, with B spelled out in the shape of A."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embedx.ops as ops
from embedx.ops import Array, dropout_1, gemm, gemm_1
from tests.assertions import assert_equal
from tests.ops.windows import whole
from tests.strategies import Shape, shapes

NUMBERS: list[tuple[Any, Any]] = [
    (ops.add_1, ops.add),
    (ops.sub_1, ops.sub),
    (ops.mul_1, ops.mul),
    (ops.div_1, ops.div),
    (ops.pow_1, ops.pow_),
    (ops.equal_1, ops.equal),
    (ops.greater_1, ops.greater),
    (ops.less_1, ops.less),
]
LOGIC: list[tuple[Any, Any]] = [
    (ops.and_1, ops.and_),
    (ops.or_1, ops.or_),
    (ops.xor_1, ops.xor),
]
VARIADIC: list[tuple[Any, Any]] = [
    (ops.max_1, ops.max_),
    (ops.min_1, ops.min_),
    (ops.sum_1, ops.sum_),
    (ops.mean_1, ops.mean),
]


@st.composite
def placed(draw: st.DrawFn) -> tuple[Array, Array, Array, dict[str, Any]]:
    """A, B, and B spread over A, whose shape contains that of B from ``axis`` on."""
    shape = draw(shapes(min_side=1))
    begin = draw(st.integers(0, len(shape)))
    end = draw(st.integers(begin, len(shape)))
    inner = tuple(draw(st.sampled_from([1, n])) for n in shape[begin:end])
    a = np.abs(whole(draw, *shape)) + np.float32(1)
    b = np.abs(whole(draw, *inner)) + np.float32(1)
    spread = np.ones(shape, np.float32)
    for place in np.ndindex(shape):
        seen = tuple(0 if n == 1 else i for i, n in zip(place[begin:end], inner, strict=True))
        spread[place] = b[seen]
    attributes: dict[str, Any] = {"broadcast": 1}
    if end < len(shape) or draw(st.booleans()):
        attributes["axis"] = min(begin, max(len(shape) - 1, 0))
    if not shape or begin == len(shape):
        attributes.pop("axis", None)
    return a, b, spread, attributes


@pytest.mark.parametrize(("old", "new"), NUMBERS)
@given(drawn=placed())
def test_numbers_are_spread_from_an_axis_on(
    old: Any, new: Any, drawn: tuple[Array, Array, Array, dict[str, Any]]
) -> None:
    a, b, spread, attributes = drawn
    assert_equal(old(a, b, **attributes), new(a, spread))
    assert_equal(old(a, spread), new(a, spread))


@pytest.mark.parametrize(("old", "new"), LOGIC)
@given(drawn=placed())
def test_logic_is_spread_from_an_axis_on(
    old: Any, new: Any, drawn: tuple[Array, Array, Array, dict[str, Any]]
) -> None:
    a, b, spread, attributes = drawn
    assert_equal(old(a > 2, b > 2, **attributes), new(a > 2, spread > 2))


@pytest.mark.parametrize(("old", "new"), VARIADIC)
@given(shape=shapes(), count=st.integers(1, 3))
def test_variadic_operators_take_one_shape(
    old: Any, new: Any, shape: tuple[int, ...], count: int
) -> None:
    base = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    data = [base * n for n in range(count)]
    assert_equal(old(*data), new(*data))
    with pytest.raises(ValueError, match="one shape"):
        old(base, base[None])


@pytest.mark.parametrize(
    ("a", "b", "attributes"),
    [
        ((2, 3), (3,), {}),
        ((2, 3), (), {}),
        ((2, 3), (2,), {"broadcast": 1}),
        ((2, 3), (3,), {"broadcast": 1, "axis": 0}),
        ((3,), (2, 3), {"broadcast": 1}),
        ((1, 3), (2, 3), {"broadcast": 1}),
        ((2, 3), (3,), {"broadcast": 1, "axis": 2}),
    ],
)
def test_other_shapes_are_refused(
    a: tuple[int, ...], b: tuple[int, ...], attributes: dict[str, int]
) -> None:
    for old, _ in NUMBERS:
        with pytest.raises(ValueError, match=r"shape|axis"):
            old(np.ones(a), np.ones(b), **attributes)


@given(st.data(), st.booleans(), st.booleans())
def test_gemm(data: st.DataObject, left: bool, right: bool) -> None:
    a, b = whole(data.draw, 2, 3), whole(data.draw, 3, 4)
    inputs = (a.T if left else a), (b.T if right else b)
    flags = {"transA": int(left), "transB": int(right)}
    full = whole(data.draw, 2, 4)
    assert_equal(gemm_1(*inputs, full, beta=2.0, **flags), a @ b + 2 * full)
    for c in (full[0], full[:, :1], full[0, 0].reshape(())):
        expected = gemm(*inputs, c, **flags)
        assert_equal(gemm_1(*inputs, c, broadcast=1, **flags), expected)
        with pytest.raises(ValueError, match="without broadcast"):
            gemm_1(*inputs, c, **flags)


@given(shapes(), st.sampled_from([0.25, 0.5]))
def test_dropout_masks_in_the_type_of_its_data(shape: Shape, ratio: float) -> None:
    x = np.ones(shape, np.float32)
    for is_test in (0, 1):
        y, mask = dropout_1(x, is_test=is_test, ratio=ratio)
        assert (y.dtype, mask.dtype, mask.shape) == (x.dtype, x.dtype, shape)
        assert set(mask.ravel().tolist()) <= {1.0, float(is_test)}
        np.testing.assert_allclose(y, mask if is_test else mask / (1 - ratio))


def test_dropout() -> None:
    x = np.arange(1.0, 10_001)
    kept = dropout_1(x, is_test=1)
    assert_equal(kept.output, x)
    assert_equal(kept.mask, np.ones_like(x))
    trained = dropout_1(x, ratio=0.25)
    assert_equal(trained.output, x / 0.75 * trained.mask)
    assert trained.mask.mean() == pytest.approx(0.75, abs=0.03)
