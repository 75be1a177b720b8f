"""Integers as bit patterns, against Python's integers and NumPy's own bytes."""

from __future__ import annotations

import operator
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    bit_cast,
    bit_shift,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    code_of,
)
from tests.assertions import assert_equal
from tests.oracles import elementwise
from tests.strategies import FLOATS, INTEGERS, SIGNED, DType, operands, tensors


@pytest.mark.parametrize(
    ("op", "exact"),
    [(bitwise_and, operator.and_), (bitwise_or, operator.or_), (bitwise_xor, operator.xor)],
)
@given(operands(INTEGERS))
def test_bits_of_two_integers(
    op: Callable[..., Array], exact: Callable[..., int], ab: tuple[Array, ...]
) -> None:
    assert_equal(op(*ab), elementwise(exact, *ab, dtype=ab[0].dtype))


@given(st.sampled_from(INTEGERS).flatmap(tensors))
def test_not_flips_every_bit(x: Array) -> None:
    width = 8 * x.dtype.itemsize
    flipped = elementwise(
        lambda v: ~v if x.dtype.kind == "i" else 2**width - 1 - v, x, dtype=x.dtype
    )
    assert_equal(bitwise_not(x), flipped)
    assert_equal(
        bitwise_xor(x, bitwise_not(x)), np.full_like(x, bitwise_not(np.zeros((), x.dtype)))
    )


@pytest.mark.parametrize("op", [bitwise_and, bitwise_or, bitwise_xor])
def test_mixed_and_floating_types_are_refused(op: Callable[..., Array]) -> None:
    with pytest.raises(TypeError, match="int8, uint8"):
        op(np.array([1], np.int8), np.array([1], np.uint8))
    with pytest.raises(TypeError, match="not supported"):
        op(np.ones(1), np.ones(1))


# -- BitShift -------------------------------------------------------------------------------------


def shifted(value: int, amount: int, direction: str, dtype: DType) -> int:
    """By the words of BitShift-28: an amount outside [0, width) leaves the sign's extension."""
    width = 8 * dtype.itemsize
    inside = 0 <= amount < width
    if direction == "RIGHT":
        return value >> amount if inside else -1 if value < 0 else 0
    low = (value << amount) % 2**width if inside else 0
    return low - 2**width if dtype.kind == "i" and low >= 2 ** (width - 1) else low


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@given(st.sampled_from(INTEGERS), st.data())
def test_shifts_by_any_amount(direction: str, dtype: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype))
    y = data.draw(tensors(dtype, x.shape, low=-3, high=70))
    expected = elementwise(lambda v, n: shifted(v, n, direction, dtype), x, y, dtype=dtype)
    assert_equal(bit_shift(x, y, direction=direction), expected)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts_past_the_width_give_zero(dtype: DType) -> None:
    width = 8 * dtype.itemsize
    for direction in ("LEFT", "RIGHT"):
        found = bit_shift(np.array([1, 3], dtype), np.array(width, dtype), direction=direction)
        assert_equal(found, np.zeros(2, dtype))


@pytest.mark.parametrize("dtype", SIGNED, ids=str)
def test_right_shifts_extend_the_sign(dtype: DType) -> None:
    found = bit_shift(np.array([-5, -5], dtype), np.array([1, 100], dtype), direction="RIGHT")
    assert_equal(found, np.array([-3, -1], dtype))


def test_shifts_refuse_another_direction_and_mixed_types() -> None:
    with pytest.raises(ValueError, match="LEFT or RIGHT, not 'UP'"):
        bit_shift(np.array([1], np.uint8), np.array([1], np.uint8), direction="UP")
    with pytest.raises(TypeError, match="uint8, int8"):
        bit_shift(np.array([1], np.uint8), np.array([1], np.int8), direction="LEFT")


# -- BitCast --------------------------------------------------------------------------------------

SAME_WIDTH = [
    (a, b) for a in FLOATS + INTEGERS for b in FLOATS + INTEGERS if a.itemsize == b.itemsize
]


@given(st.sampled_from(SAME_WIDTH), st.data())
def test_bit_cast_keeps_the_bytes(kinds: tuple[DType, DType], data: st.DataObject) -> None:
    x = data.draw(tensors(kinds[0]))
    found = bit_cast(x, to=code_of(kinds[1]))
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape, found.tobytes()) == (kinds[1], x.shape, x.tobytes())


def test_bit_cast_of_known_bits() -> None:
    assert_equal(
        bit_cast(np.array([1.0, -0.0], np.float32), to=6),
        np.array([0x3F800000, -(2**31)], np.int32),
    )
    assert_equal(bit_cast(np.array(0x3C00, np.uint16), to=10), np.array(1, np.float16))


def test_bit_cast_makes_proper_bools() -> None:
    found = bit_cast(np.array([0, 1, 2, 255], np.uint8), to=9)
    assert_equal(found, np.array([False, True, True, True]))
    assert found.view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("x", "to"),
    [
        (np.zeros(1, np.float32), 7),  # int64
        (np.zeros(1, np.int8), 22),  # int4, though NumPy keeps one in a byte
        (np.zeros(1, ml_dtypes.int4), 26),  # int2
        (np.zeros(1, np.int64), 8),  # string, which NumPy keeps as a pointer
        (np.array(["a"], object), 7),
    ],
    ids=["wider", "4 bits", "2 bits", "to string", "from string"],
)
def test_bit_cast_refuses_another_width(x: Array, to: int) -> None:
    with pytest.raises(TypeError, match="cannot be read as"):
        bit_cast(x, to=to)


def test_bit_cast_of_four_bits() -> None:
    x = np.array([-1, 7], ml_dtypes.int4)
    assert_equal(bit_cast(x, to=21), np.array([15, 7], ml_dtypes.uint4))
