"""Tensors made from little or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    code_of,
    constant,
    constant_of_shape,
    eye_like,
    nonzero,
    one_hot,
    random_normal,
    random_normal_like,
    random_uniform,
    random_uniform_like,
    range_,
    spending,
    trilu,
)
from tests.assertions import assert_equal
from tests.oracles import elementwise
from tests.strategies import (
    ANYTHING,
    FLOATS,
    HALVES,
    INTEGERS,
    NUMBERS,
    SIGNED,
    STRING,
    DType,
    Shape,
    shapes,
    tensors,
)

# -- Constant, ConstantOfShape --------------------------------------------------------------------


def test_constants_have_the_types_of_their_attributes() -> None:
    assert_equal(constant(value_float=0.5), np.array(0.5, np.float32))
    assert_equal(constant(value_floats=(0.5, 1.0)), np.array([0.5, 1], np.float32))
    assert_equal(constant(value_int=3), np.array(3))
    assert_equal(constant(value_ints=()), np.zeros(0, np.int64))
    assert_equal(constant(value_string="ab"), np.array("ab", object))
    assert_equal(constant(value_strings=("ab", "")), np.array(["ab", ""], object))


@given(st.sampled_from(ANYTHING).flatmap(tensors))
def test_a_constant_tensor_is_itself(x: Array) -> None:
    assert constant(value=x) is x
    assert constant(sparse_value=x) is x


def test_a_constant_has_one_value() -> None:
    with pytest.raises(ValueError, match="0 values are given, expected one"):
        constant()
    with pytest.raises(ValueError, match="2 values are given"):
        constant(value_int=1, value_float=1.0)


@given(shapes(), st.sampled_from(ANYTHING).flatmap(lambda d: tensors(d, (1,))))
def test_constant_of_shape(shape: Shape, value: Array) -> None:
    sizes = np.array(shape, np.int64)
    expected = elementwise(lambda _, v: v, np.zeros(shape), value.reshape(()), dtype=object)
    assert_equal(constant_of_shape(sizes, value=value), expected.astype(value.dtype))
    assert_equal(constant_of_shape(sizes), np.zeros(shape, np.float32))


def test_constant_of_shape_refuses_negative_dimensions() -> None:
    with pytest.raises(ValueError, match="negative dimension"):
        constant_of_shape(np.array([2, -1]))


# -- Range ----------------------------------------------------------------------------------------

bounds = st.integers(-30, 30)


@given(st.sampled_from(SIGNED), bounds, bounds, bounds.filter(bool))
def test_integer_ranges_are_pythons(dtype: DType, start: int, limit: int, delta: int) -> None:
    found = range_(*(np.array(n, dtype) for n in (start, limit, delta)))
    assert_equal(found, np.array(range(start, limit, delta), dtype))


@given(st.sampled_from(FLOATS), bounds, bounds, bounds.filter(bool))
def test_float_ranges_are_rounded_once(dtype: DType, start: int, limit: int, delta: int) -> None:
    first, end, step = (np.array(n / 8, dtype) for n in (start, limit, delta))
    count = max(math.ceil((limit - start) / delta), 0)
    expected = [start / 8 + i * (delta / 8) for i in range(count)]
    assert_equal(range_(first, end, step), np.array(expected, np.float64).astype(dtype))


def test_ranges_do_not_accumulate_their_step() -> None:
    # Added one after the other in float32, the ninth element would be 0.8000001.
    start, limit, delta = (np.array(n, np.float32) for n in (0, 1, 0.1))
    found = range_(start, limit, delta)
    expected = np.array([i * float(np.float32(0.1)) for i in range(10)])
    assert_equal(found, expected.astype(np.float32))
    assert found[8] == np.float32(0.8)


def test_ranges_of_large_integers_are_exact() -> None:
    found = range_(np.array(2**62), np.array(2**62 + 3), np.array(1))
    assert found.tolist() == [2**62, 2**62 + 1, 2**62 + 2]
    wide = range_(np.array(-(2**63)), np.array(2**63 - 1), np.array(2**62))
    assert wide.tolist() == [-(2**63), -(2**62), 0, 2**62]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_ranges_go_on_where_their_sums_would_stand_still(dtype: DType) -> None:
    found = range_(np.array(0, dtype), np.array(5000, dtype), np.array(1, dtype))
    assert found.shape == (5000 if dtype == np.float16 else 4992,)  # 5000 is 4992 in bfloat16
    assert float(found[4096]) == 4096


def test_range_refuses() -> None:
    zero, one = np.array(0), np.array(1)
    with pytest.raises(ValueError, match="delta is 0"):
        range_(zero, one, zero)
    with pytest.raises(TypeError, match="int64, float64"):
        range_(zero, one, np.array(1.0))
    with pytest.raises((OverflowError, ValueError), match=r"infinity|NaN"):
        range_(np.array(0.0), np.array(np.inf), np.array(1.0))
    with pytest.raises((OverflowError, ValueError), match=r"infinity|NaN"):
        range_(np.array(np.nan), np.array(1.0), np.array(1.0))
    with pytest.raises(ValueError, match=r"cannot reshape|size 2"):
        range_(np.zeros(2), np.array(1.0), np.array(1.0))


# -- EyeLike, Trilu -------------------------------------------------------------------------------


@given(st.sampled_from(NUMBERS), shapes(min_rank=2, max_rank=2), st.integers(-4, 4))
def test_eye_like(dtype: DType, shape: Shape, k: int) -> None:
    ones = [[float(j - i == k) for j in range(shape[1])] for i in range(shape[0])]
    expected = np.array(ones).reshape(shape)
    assert_equal(eye_like(np.zeros(shape, dtype), k=k), expected.astype(dtype))
    assert_equal(eye_like(np.zeros(shape), k=k, dtype=code_of(dtype)), expected.astype(dtype))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
def test_eye_like_needs_a_matrix(shape: Shape) -> None:
    with pytest.raises(ValueError, match="must be a matrix"):
        eye_like(np.zeros(shape))


diagonals = st.none() | st.integers(-4, 4) | st.sampled_from([2**63 - 1, -(2**63)])


@given(st.sampled_from(ANYTHING), shapes(min_rank=2), diagonals, st.integers(0, 1))
def test_trilu(dtype: DType, shape: Shape, k: int | None, upper: int) -> None:
    x = np.ones(shape, dtype) if dtype != STRING else np.full(shape, "a", object)
    zero = "" if dtype == STRING else np.zeros((), dtype)
    expected = x.copy()
    for place in np.ndindex(*shape):
        distance = place[-1] - place[-2] - (k or 0)
        if distance < 0 if upper else distance > 0:
            expected[place] = zero
    assert_equal(trilu(x, None if k is None else np.array(k), upper=upper), expected)


@given(st.sampled_from(ANYTHING).flatmap(lambda d: tensors(d, shapes(min_rank=2))))
def test_the_triangles_share_no_element(x: Array) -> None:
    upper, lower = trilu(x), trilu(x, np.array(-1), upper=0)
    rows = np.arange(x.shape[-2])[:, None]
    assert_equal(np.where(np.arange(x.shape[-1]) >= rows, upper, lower).astype(x.dtype), x)


def test_trilu_needs_matrices() -> None:
    with pytest.raises(ValueError, match="must have matrices"):
        trilu(np.zeros(3))


# -- OneHot ---------------------------------------------------------------------------------------


@given(st.sampled_from(NUMBERS), st.sampled_from(ANYTHING), st.data())
def test_one_hot(kind: DType, dtype: DType, data: st.DataObject) -> None:
    indices = data.draw(tensors(kind, shapes(max_rank=2), low=-6, high=6))
    depth = data.draw(st.integers(0, 4))
    values = data.draw(tensors(dtype, (2,)))
    axis = data.draw(st.integers(-indices.ndim - 1, indices.ndim))
    found = one_hot(
        indices, np.full(data.draw(st.sampled_from([(), (1,)])), depth), values, axis=axis
    )
    place = axis % (indices.ndim + 1)
    assert found.dtype == dtype
    assert found.shape == (*indices.shape[:place], depth, *indices.shape[place:])
    for at in np.ndindex(*indices.shape):
        number = math.trunc(float(indices[at]))
        hot = number + depth if number < 0 else number
        for i in range(depth):
            value = found[(*at[:place], i, *at[place:])]
            assert_equal(np.asarray(value), np.asarray(values[int(i == hot)]))


def test_one_hot_chooses_and_does_not_compute() -> None:
    # off + 1 * (on - off) would give 0 for on = 0.1 in float32.
    values = np.array([1e8, 0.1], np.float32)
    assert_equal(one_hot(np.array([1]), np.array(2), values), values[None])
    flags = np.array([True, False])
    assert_equal(one_hot(np.array([0]), np.array(2), flags), np.array([[False, True]]))


@pytest.mark.parametrize("index", [3, -4, 2**62, np.nan, np.inf, 1e30])
def test_one_hot_of_an_index_out_of_range_is_all_off(index: float) -> None:
    found = one_hot(np.array([index]), np.array(3), np.array([7, 8]))
    assert_equal(found, np.array([[7, 7, 7]]))


def test_one_hot_refuses() -> None:
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        one_hot(np.array([0]), np.array(2), np.array([0, 1]), axis=2)
    with pytest.raises(ValueError, match="negative dimension"):
        one_hot(np.array([0]), np.array(-1), np.array([0, 1]))
    with pytest.raises(ValueError, match="expected one integer"):
        one_hot(np.array([0]), np.array([2, 2]), np.array([0, 1]))
    with pytest.raises(ValueError, match="reshape"):
        one_hot(np.array([0]), np.array(2), np.array([0, 1, 2]))


# -- NonZero --------------------------------------------------------------------------------------


@given(st.sampled_from(ANYTHING), shapes(min_rank=1), st.data())
def test_nonzero_lists_places_in_row_major_order(
    dtype: DType, shape: Shape, data: st.DataObject
) -> None:
    x = data.draw(
        tensors(dtype, shape) if dtype == STRING else tensors(dtype, shape, low=0, high=1)
    )
    places = [place for place in np.ndindex(*shape) if x[place]]
    expected = np.array(places, np.int64).reshape(-1, len(shape)).T
    found = nonzero(x)
    assert_equal(found, expected.copy())


def test_nonzero_of_scalars_has_no_rows() -> None:
    # A place in a tensor of rank 0 has no coordinates; the number of columns still counts.
    assert nonzero(np.array(5)).shape == (0, 1)
    assert nonzero(np.array(0)).shape == (0, 0)


# -- random ---------------------------------------------------------------------------------------

RANDOM: list[tuple[Callable[..., Array], Callable[..., Array]]] = [
    (random_normal, random_normal_like),
    (random_uniform, random_uniform_like),
]


@pytest.mark.parametrize(("op", "like"), RANDOM)
@given(st.sampled_from(FLOATS), shapes())
def test_random_tensors_have_the_shape_and_type_asked_for(
    op: Callable[..., Array], like: Callable[..., Array], dtype: DType, shape: Shape
) -> None:
    for found in (
        op(shape=shape, dtype=code_of(dtype), seed=1.0),
        like(np.zeros(shape, dtype), seed=1.0),
        like(np.zeros(shape, np.int8), dtype=code_of(dtype), seed=1.0),
    ):
        assert type(found) is np.ndarray
        assert (found.dtype, found.shape) == (dtype, shape)


@pytest.mark.parametrize(("op", "like"), RANDOM)
def test_a_seed_fixes_the_numbers(op: Callable[..., Array], like: Callable[..., Array]) -> None:
    first = op(shape=(5,), seed=2.5)
    assert_equal(op(shape=(5,), seed=2.5), first)
    assert_equal(like(np.zeros(5, np.float32), seed=2.5), first)
    assert (op(shape=(5,), seed=2.25) != first).any()
    assert (op(shape=(5,)) != op(shape=(5,))).any()


def test_random_numbers_have_the_moments_asked_for() -> None:
    normal = random_normal(shape=(20_000,), mean=3.0, scale=0.5, seed=1.0)
    assert abs(float(normal.mean()) - 3) < 0.02
    assert abs(float(normal.std()) - 0.5) < 0.02
    uniform = random_uniform(shape=(20_000,), low=-1.0, high=3.0, seed=1.0)
    assert -1 <= uniform.min() < -0.99
    assert 2.99 < uniform.max() <= 3


# -- budgets --------------------------------------------------------------------------------------

BOMBS: dict[str, Callable[[], Any]] = {
    "ConstantOfShape": lambda: constant_of_shape(np.array([10, 10])),
    "Range": lambda: range_(*(np.array(n, np.float32) for n in (0, 100, 1))),
    "OneHot": lambda: one_hot(np.zeros(10, int), np.array(10), np.array([0, 1], np.float32)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_made_from_little_is_held_to_the_budget(name: str) -> None:
    with spending(Budget(max_bytes=400)):
        assert BOMBS[name]().size == 100
    with spending(Budget(max_bytes=399)), pytest.raises(OverBudgetError, match="400 bytes"):
        BOMBS[name]()


@pytest.mark.parametrize("op", [random_normal, random_uniform])
def test_random_tensors_are_held_to_the_budget_of_their_float64(op: Callable[..., Array]) -> None:
    with spending(Budget(max_bytes=800)):
        assert op(shape=(100,)).size == 100
    with spending(Budget(max_bytes=799)), pytest.raises(OverBudgetError, match="800 bytes"):
        op(shape=(100,))


def test_ranges_are_counted_before_they_are_made() -> None:
    with spending(Budget(max_bytes=2**40)), pytest.raises(OverBudgetError):
        range_(np.array(0), np.array(2**62), np.array(1))
    with spending(Budget(max_bytes=2**40)), pytest.raises(OverBudgetError):
        constant_of_shape(np.array([2**40, 2**40]))


def test_integers_that_are_no_range_type_are_still_counted() -> None:
    for dtype in INTEGERS:
        found = range_(*(np.array(n, dtype) for n in (3, 9, 2)))
        assert_equal(found, np.array([3, 5, 7], dtype))
