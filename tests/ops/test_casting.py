"""Cast and CastLike against exact values, Dropout against its definition."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, cast, cast_like, code_of, dropout, dropout_7, dropout_10, dtype_of
from tests.assertions import assert_equal
from tests.oracles import elementwise
from tests.strategies import (
    BFLOAT16,
    BOOL,
    FLOATS,
    INTEGERS,
    NUMBERS,
    SIGNED,
    STRING,
    DType,
    tensors,
)

FLOAT8 = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
NARROW = [*FLOAT8, "bfloat16", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"]


def as_type(values: Any, dtype: DType) -> Array:
    return cast(np.array(values), to=code_of(dtype))


def wrapped(value: int, dtype: DType) -> int:
    bits = 8 * dtype.itemsize
    low = value % 2**bits
    return low - 2**bits if dtype.kind == "i" and low >= 2 ** (bits - 1) else low


@given(st.sampled_from([*INTEGERS, BOOL]).flatmap(tensors), st.sampled_from(INTEGERS))
def test_integers_wrap_around(x: Array, dtype: DType) -> None:
    expected = elementwise(lambda v: wrapped(int(v), dtype), x, dtype=dtype)
    assert_equal(cast(x, to=code_of(dtype)), expected)


@given(st.sampled_from(FLOATS), st.sampled_from(INTEGERS), st.data())
def test_floats_that_fit_truncate_towards_zero(
    source: DType, target: DType, data: st.DataObject
) -> None:
    x = data.draw(tensors(source, low=-60000, high=60000))
    expected = elementwise(lambda v: wrapped(math.trunc(v), target), x, dtype=target)
    assert_equal(cast(x, to=code_of(target)), expected)


@given(st.sampled_from([*NUMBERS, BOOL]).flatmap(tensors))
@np.errstate(invalid="ignore")  # ml_dtypes warns of NaN
def test_what_is_not_zero_is_true(x: Array) -> None:
    assert_equal(cast(x, to=9), elementwise(lambda v: v != 0, x, dtype=bool))


@given(st.sampled_from([*NUMBERS, BOOL]).flatmap(tensors))
def test_a_cast_to_its_own_type_changes_nothing(x: Array) -> None:
    assert_equal(cast(x, to=code_of(x.dtype)), x)


@given(st.sampled_from(INTEGERS), st.sampled_from(NUMBERS), st.data())
def test_cast_like_is_cast(source: DType, target: DType, data: st.DataObject) -> None:
    x = data.draw(tensors(source, low=-100, high=100))
    with np.errstate(over="ignore"):
        assert_equal(cast_like(x, np.zeros((2, 0), target)), cast(x, to=code_of(target)))


# -- out of range ---------------------------------------------------------------------------------


@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_what_no_integer_is_becomes_one_number_on_every_machine(source: DType) -> None:
    x = np.array([np.nan, np.inf, -np.inf], source)
    for name, number in (
        ("int32", -(2**31)),
        ("int64", -(2**63)),
        ("int16", 0),  # the low bits of the smallest int32
        ("int8", 0),
        ("uint8", 0),
        ("uint16", 0),
        ("uint32", 0),
        ("uint64", 2**63),
    ):
        dtype = np.dtype(name)
        assert_equal(cast(x, to=code_of(dtype)), np.full(3, number, dtype))


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        (2.0**31, "int32", -(2**31)),
        (-(2.0**31), "int32", -(2**31)),
        (-(2.0**31) - 0.5, "int32", -(2**31)),
        (2.0**31 - 0.5, "int32", 2**31 - 1),
        (2.0**63, "int64", -(2**63)),
        (3e9, "uint32", 3_000_000_000),
        (-1.5, "uint32", 2**32 - 1),
        (2.0**63, "uint64", 2**63),
        (2.0**64 - 2048, "uint64", 2**64 - 2048),
        (300.7, "uint8", 44),
        (-200.0, "int8", 56),
    ],
)
def test_floats_at_the_edges_of_integers(value: float, target: str, expected: int) -> None:
    assert_equal(as_type([value], np.dtype(target)), np.array([expected], target))


def test_int16_200_to_int8_is_minus_56() -> None:
    assert_equal(
        cast(np.array([200], np.int16), to=3), np.array([-56], np.int8)
    )  # the example of the specification


@np.errstate(over="ignore")
def test_floats_out_of_range_become_inf() -> None:
    assert_equal(
        as_type([1e6, -1e6], np.dtype(np.float16)), np.array([np.inf, -np.inf], np.float16)
    )
    assert_equal(as_type([1e300], np.dtype(np.float32)), np.array([np.inf], np.float32))
    assert_equal(as_type([1e300, -1e39], BFLOAT16), np.array([np.inf, -np.inf], BFLOAT16))


# -- rounding -------------------------------------------------------------------------------------


def nearest(value: float, candidates: list[float]) -> float:
    """The candidate next to ``value``; of two the one at an even place, whose last bit is even."""
    exact = Fraction(value)
    distances = [abs(exact - Fraction(c)) for c in candidates]
    best = min(distances)
    places = [i for i, d in enumerate(distances) if d == best]
    return candidates[next((i for i in places if i % 2 == 0), places[0])]


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"])
@pytest.mark.parametrize(("source", "tiny"), [("float64", 2.0**-40), ("float32", 2.0**-20)])
def test_narrow_floats_are_rounded_once(name: str, source: str, tiny: float) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    step = float(ml_dtypes.finfo(dtype).eps)
    grid = [1 + k * step for k in range(int(1 / step) + 1)]
    middles = [(a + b) / 2 for a, b in pairwise(grid)]
    values = [m + d for m in middles for d in (-tiny, 0, tiny)]
    found = cast(np.array(values, source), to=code_of(dtype)).astype(np.float64)
    assert found.tolist() == [nearest(v, grid) for v in values]


def test_integers_beside_a_tie_are_rounded_once() -> None:
    # Beyond 2 ** 24 float32 would make a tie of them; bfloat16 has the even numbers to 512.
    values = [(257 + 2 * k) * 2**30 + d for k in range(5) for d in (-1, 0, 1)]
    grid = [(256 + 2 * k) * 2.0**30 for k in range(8)]
    assert as_type(values, BFLOAT16).astype(float).tolist() == [nearest(v, grid) for v in values]


def test_float64_to_float16_does_not_go_through_float32() -> None:
    # In float32 this would be the tie 1 + 2**-11, which goes to 1.
    assert float(as_type([1 + 2**-11 + 2**-40], np.dtype(np.float16))[0]) == 1 + 2**-10


# -- float8 and narrower --------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOAT8)
@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_float8_saturates(name: str, source: DType) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    largest = float(ml_dtypes.finfo(dtype).max)
    with np.errstate(over="ignore"):
        x = np.array([1e5, np.inf, -1e5, -np.inf, np.nan, 1], source)
        found = cast(x, to=code_of(dtype))
    expected = np.array([largest, largest, -largest, -largest, np.nan, 1])
    assert_equal(found, expected.astype(dtype))


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("float8_e4m3fn", np.nan),
        ("float8_e4m3fnuz", np.nan),
        ("float8_e5m2", np.inf),
        ("float8_e5m2fnuz", np.nan),
    ],
)
def test_float8_without_saturation(name: str, outside: float) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    found = cast(np.array([1e6, np.inf, -np.inf], np.float32), to=code_of(dtype), saturate=0)
    assert_equal(found, np.array([outside, outside, -outside]).astype(dtype))


def test_500_to_float8_e4m3fn() -> None:
    x = np.array([500], np.float32)
    assert float(cast(x, to=17)[0]) == 448
    assert math.isnan(cast(x, to=17, saturate=0)[0])


@pytest.mark.parametrize("name", ["float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_fnuz_has_no_negative_zero(name: str) -> None:
    found = cast(np.array([-0.0], np.float32), to=code_of(np.dtype(getattr(ml_dtypes, name))))
    assert found.view(np.uint8).tolist() == [0]


@pytest.mark.parametrize(
    ("value", "up", "down", "near"),
    [(3.0, 4, 2, 4), (2.5, 4, 2, 2), (4.0, 4, 4, 4), (1e-45, 2**-127, 2**-127, 2**-127)],
)
def test_powers_of_two_round_as_asked(value: float, up: float, down: float, near: float) -> None:
    x = np.array([value], np.float32)
    found = [float(cast(x, to=24, round_mode=mode)[0]) for mode in ("up", "down", "nearest")]
    assert found == [up, down, near]


def test_powers_of_two_without_saturation_lose_what_does_not_fit() -> None:
    x = np.array([0, np.inf, np.nan, 2.0**130, 2.0])
    found = cast(x, to=24, saturate=0, round_mode="nearest").astype(np.float64)
    assert_equal(found, np.array([np.nan, np.nan, np.nan, np.nan, 2]))
    saturated = cast(x, to=24).astype(np.float64)
    assert_equal(saturated, np.array([2.0**-127, 2.0**127, np.nan, 2.0**127, 2]))
    with pytest.raises(ValueError, match="up, down or nearest, not 'even'"):
        cast(x, to=24, round_mode="even")


def test_four_and_two_bit_integers_truncate_and_wrap() -> None:
    x = np.array([15.5, 17, -1, -2.6, 1.9], np.float32)
    assert cast(x, to=21).astype(int).tolist() == [15, 1, 15, 14, 1]  # uint4
    assert cast(x, to=22).astype(int).tolist() == [-1, 1, -1, -2, 1]  # int4
    assert cast(x[3:], to=26).astype(int).tolist() == [-2, 1]  # int2
    assert cast(np.array([-9, 17], np.int64), to=22).astype(int).tolist() == [7, 1]


# -- strings --------------------------------------------------------------------------------------


@given(st.sampled_from([*FLOATS[2:], *INTEGERS]).flatmap(tensors))
def test_numbers_survive_being_written_and_read(x: Array) -> None:
    text = cast(x, to=8)
    assert (text.dtype, text.shape) == (STRING, x.shape)
    assert all(type(word) is str for word in text.reshape(-1))
    assert_equal(cast(text, to=code_of(x.dtype)), x.copy())


def test_large_whole_numbers_are_read_exactly() -> None:
    for numbers in ([2**63 + 1, 0], [2**64 - 1], [2**53 + 1, -1]):
        kind = np.uint64 if min(numbers) >= 0 else np.int64
        text = np.array([str(n) for n in numbers], object)
        assert_equal(cast(text, to=code_of(np.dtype(kind))), np.array(numbers, kind))


def test_numbers_are_written_in_their_shortest_form() -> None:
    x = np.array([0.2961402, 1e-5, np.inf, 1.0, -0.0], np.float32)
    assert cast(x, to=8).tolist() == ["0.2961402", "1e-05", "inf", "1.0", "-0.0"]
    assert cast(np.array([-7], np.int8), to=8).tolist() == ["-7"]


@pytest.mark.parametrize("name", NARROW)
def test_narrow_floats_can_be_written(name: str) -> None:
    x = np.array([1.5, -1.0]).astype(getattr(ml_dtypes, name))
    assert cast(x, to=8).tolist() == ["1.5", "-1.0"]


def test_narrow_integers_can_be_written() -> None:
    assert cast(np.array([-2, 1], ml_dtypes.int4), to=8).tolist() == ["-2", "1"]


def test_infinity_and_nan_are_read_in_any_case() -> None:
    text = np.array(["INF", "+inf", "-InF", "NaN", "1e3", "3.5E-1"], object)
    expected = np.array([np.inf, np.inf, -np.inf, np.nan, 1000, 0.35], np.float32)
    assert_equal(cast(text, to=1), expected)


def test_long_integers_are_read_digit_by_digit() -> None:
    assert_equal(cast(np.array(["9223372036854775807"], object), to=7), np.array([2**63 - 1]))
    found = cast(np.array(["18446744073709551615"], object), to=13)
    assert_equal(found, np.array([2**64 - 1], np.uint64))


def test_text_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        cast(np.array(["Hello World!"], object), to=1)
    with pytest.raises(ValueError, match="could not convert"):
        cast(np.array(["x"], object), to=7)


def test_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="99 is not an ONNX element type"):
        cast(np.zeros(1), to=99)


@pytest.mark.parametrize("code", [c for c in range(1, 29) if c not in (14, 15)])
def test_every_type_can_be_cast_to_every_type(code: int) -> None:
    ones = cast(np.ones((1, 2), np.int32), to=code)
    assert (ones.dtype, ones.shape) == (dtype_of(code), (1, 2))
    for other in (c for c in range(1, 29) if c not in (14, 15)):
        if 8 in (code, other) and 9 in (code, other):
            continue  # the standard does not say how bools are written
        found = cast(ones, to=other)
        assert (found.dtype, found.shape) == (dtype_of(other), (1, 2))
        assert cast(found, to=6).tolist() == [[1, 1]]


# -- Dropout --------------------------------------------------------------------------------------


@given(st.sampled_from(FLOATS).flatmap(tensors))
def test_dropout_does_nothing_at_inference(x: Array) -> None:
    no, half = np.array(False), np.array(0.5, np.float32)
    for found in (dropout(x), dropout(x, half), dropout(x, half, no), dropout_10(x, ratio=0.9)):
        assert_equal(found.output, x)
        assert_equal(found.mask, np.ones(x.shape, bool))
    old = dropout_7(x, ratio=0.9)  # whose mask is a tensor like the data
    assert_equal(old.output, x)
    assert_equal(old.mask, np.ones(x.shape, x.dtype))


def test_dropout_with_ratio_zero_does_nothing_in_training_either() -> None:
    x = np.arange(5.0)
    assert_equal(dropout(x, np.array(0.0), np.array(True)).output, x)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(), (100,), (10, 20)])
def test_dropout_in_training_scales_what_is_left(dtype: DType, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, dtype)
    y, mask = dropout(x, np.array(0.75, np.float32), np.array(True), seed=3)
    assert_equal(y, np.where(mask, np.array(4, dtype), np.array(0, dtype)))
    assert_equal(mask, dropout(x, np.array(0.75, np.float32), np.array(True), seed=3).mask)


def test_dropout_drops_the_share_asked_for() -> None:
    mask = dropout(np.ones(10_000), np.array(0.25), np.array(True), seed=0).mask
    assert 0.73 < mask.mean() < 0.77


def test_signed_types_hold_what_unsigned_ones_wrap() -> None:
    for dtype in SIGNED:
        assert int(cast(np.array([-1.0]), to=code_of(dtype))[0]) == -1
