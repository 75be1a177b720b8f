"""Products and convolutions of 8-bit integers against exact Python integers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, conv, conv_integer, matmul_integer, qlinear_conv, qlinear_matmul
from tests.assertions import assert_equal
from tests.oracles import elementwise
from tests.strategies import DType, Shape, tensors

BYTES: list[DType] = [np.dtype(np.uint8), np.dtype(np.int8)]
bytes_ = st.sampled_from(BYTES)


def exact_product(a: Array, b: Array) -> Array:
    """A matrix product of Python integers."""
    rows, columns = a.tolist(), list(zip(*b.tolist(), strict=True)) or [()] * b.shape[1]
    found = [[sum(x * y for x, y in zip(r, c, strict=True)) for c in columns] for r in rows]
    return np.array(found, np.int64).reshape(len(a), b.shape[1])


def saturated(total: int, scale: Fraction, zero_point: int, dtype: DType) -> int:
    """Rounded to even, then shifted, then saturated: in this order."""
    info = np.iinfo(dtype)
    return min(max(round(total * scale) + zero_point, int(info.min)), int(info.max))


def f32(*values: float) -> Array:
    return np.array(values, np.float32)


ONE = np.array(1, np.float32)


# -- MatMulInteger --------------------------------------------------------------------------------


@given(bytes_, bytes_, st.data())
def test_matrix_products_are_exact(left: DType, right: DType, data: st.DataObject) -> None:
    rows, inner, columns = (data.draw(st.integers(0, 3)) for _ in range(3))
    a = data.draw(tensors(left, (rows, inner)))
    b = data.draw(tensors(right, (inner, columns)))

    def zero_point(dtype: DType, *of_each: Shape) -> Array | None:
        shape = data.draw(st.sampled_from([None, (), (1,), *of_each]))
        return None if shape is None else data.draw(tensors(dtype, shape))

    a_zero = zero_point(left, (rows,), (rows, 1))
    b_zero = zero_point(right, (columns,), (1, columns))
    wide_a, wide_b = a.astype(int), b.astype(int)
    if a_zero is not None:
        wide_a = wide_a - a_zero.astype(int).reshape(-1, 1)
    if b_zero is not None:
        wide_b = wide_b - b_zero.astype(int).reshape(1, -1)
    expected = exact_product(wide_a, wide_b).astype(np.int32)
    assert_equal(matmul_integer(a, b, a_zero, b_zero), expected)


def test_pairs_of_products_do_not_saturate_in_16_bits() -> None:
    # Runtimes on AVX2 add two products in a saturating int16 and get 32767.
    a, b = np.full((1, 2), 255, np.uint8), np.full((2, 1), 127, np.int8)
    assert_equal(matmul_integer(a, b), np.array([[64770]], np.int32))


def test_long_sums_are_exact_and_wrap_only_beyond_32_bits() -> None:
    a, b = np.full((1, 33_100), 255, np.uint8), np.full((33_100, 1), 255, np.uint8)
    exact = 33_100 * 255 * 255  # beyond 2 ** 24, where float32 would round, and 2 ** 31
    assert_equal(matmul_integer(a, b), np.array([[exact - 2**32]], np.int32))
    assert_equal(matmul_integer(a[:, :30_001], b[:30_001]), np.array([[30_001 * 65025]], np.int32))


@pytest.mark.parametrize("inner", [384, 1536, 4096])
@pytest.mark.parametrize("right", BYTES, ids=str)
@pytest.mark.parametrize("left", BYTES, ids=str)
def test_extreme_values_give_what_python_integers_give(
    left: DType, right: DType, inner: int
) -> None:
    rng = np.random.default_rng(inner)
    of_a, of_b = (np.array([np.iinfo(d).min, np.iinfo(d).max], d) for d in (left, right))
    a, b = of_a[rng.integers(0, 2, (4, inner))], of_b[rng.integers(0, 2, (inner, 4))]
    a[:2], b[:, :2] = of_a[:, None], of_b  # rows and columns of one extreme only
    exact = exact_product(a.astype(int), b.astype(int))
    assert_equal(matmul_integer(a, b), exact.astype(np.int32))
    assert_equal(conv_integer(b[None], a[..., None])[0], exact.astype(np.int32))
    step = np.array(2**20, np.float32)
    zeros = [np.zeros((), d) for d in (left, right, np.int8)]
    wanted = elementwise(lambda v: saturated(v, Fraction(1, 2**20), 0, BYTES[1]), exact)
    found = qlinear_matmul(a, ONE, zeros[0], b, ONE, zeros[1], step, zeros[2])
    assert_equal(found, wanted.astype(np.int8))
    found = qlinear_conv(b[None], ONE, zeros[1], a[..., None], ONE, zeros[0], step, zeros[2])
    assert_equal(found[0], wanted.astype(np.int8))


def test_a_zero_point_of_a_is_one_a_row_even_if_the_matrix_is_square() -> None:
    a, b = np.array([[1, 2], [3, 4]], np.uint8), np.eye(2, dtype=np.uint8)
    found = matmul_integer(a, b, np.array([1, 3], np.uint8))
    assert_equal(found, np.array([[0, 1], [0, 1]], np.int32))


def test_zero_points_of_stacks() -> None:
    a, b = np.full((2, 3, 4), 5, np.uint8), np.full((2, 4, 2), 7, np.uint8)
    rows = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    columns = np.arange(4, dtype=np.uint8).reshape(2, 1, 2)
    expected = 4 * (5 - rows.astype(int)) * (7 - columns.astype(int))
    assert_equal(matmul_integer(a, b, rows, columns), expected.astype(np.int32))


def test_zero_points_are_subtracted_in_more_than_8_bits() -> None:
    found = matmul_integer(
        np.array([[0]], np.uint8), np.array([[-128]], np.int8),
        np.array(255, np.uint8), np.array(127, np.int8),
    )  # fmt: skip
    assert_equal(found, np.array([[255 * 255]], np.int32))


@pytest.mark.parametrize(
    ("a_zero", "b_zero"),
    [
        (np.zeros(3, np.uint8), None),
        (None, np.zeros(3, np.uint8)),
        (np.zeros((1, 2), np.uint8), None),  # one per column of A
        (None, np.zeros((2, 1), np.uint8)),  # one per row of B
        (np.zeros((2, 2, 1), np.uint8), None),
    ],
)
def test_zero_points_of_another_shape_are_refused(
    a_zero: Array | None, b_zero: Array | None
) -> None:
    with pytest.raises(ValueError, match="zero points of shape"):
        matmul_integer(np.ones((2, 2), np.uint8), np.ones((2, 2), np.uint8), a_zero, b_zero)


def test_zero_points_of_another_type_are_refused() -> None:
    a = np.ones((2, 2), np.uint8)
    with pytest.raises(TypeError, match="uint8, int8"):
        matmul_integer(a, a, np.array(1, np.int8))
    with pytest.raises(TypeError, match="uint8, int8"):
        conv_integer(np.ones((1, 1, 2), np.uint8), np.ones((1, 1, 1), np.uint8),
                     None, np.array(1, np.int8))  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32, bool, object])
def test_factors_have_8_bits(dtype: Any) -> None:
    good, bad = np.ones((1, 1, 1), np.uint8), np.ones((1, 1, 1)).astype(dtype)
    zero = np.array(0, np.uint8)
    for a, b in ((good, bad), (bad, good)):
        for op in (matmul_integer, conv_integer):
            with pytest.raises(TypeError, match="expected int8 or uint8"):
                op(a, b)
        for quantized in (qlinear_matmul, qlinear_conv):
            with pytest.raises(TypeError, match=r"expected int8 or uint8|must have one type"):
                quantized(a, ONE, zero, b, ONE, zero, ONE, zero)
    for quantized in (qlinear_matmul, qlinear_conv):
        with pytest.raises(TypeError, match="expected int8 or uint8"):
            quantized(good, ONE, zero, good, ONE, zero, ONE, bad.reshape(()))


# -- QLinearMatMul --------------------------------------------------------------------------------


@given(bytes_, bytes_, bytes_, st.data())
def test_quantized_products(left: DType, right: DType, out: DType, data: st.DataObject) -> None:
    rows, inner, columns = (data.draw(st.integers(1, 3)) for _ in range(3))
    a, b = data.draw(tensors(left, (rows, inner))), data.draw(tensors(right, (inner, columns)))
    zeros = [data.draw(tensors(dtype, ())) for dtype in (left, right, out)]
    # Float32 holds the products of these exactly.
    powers = st.sampled_from([sign * 2.0**n for n in range(-8, 3) for sign in (1, -1)])
    a_scale = f32(*(data.draw(powers) for _ in range(data.draw(st.sampled_from([1, rows])))))
    b_scale = f32(*(data.draw(powers) for _ in range(data.draw(st.sampled_from([1, columns])))))
    y_scale = np.array(data.draw(powers), np.float32)
    total = exact_product(a.astype(int) - int(zeros[0]), b.astype(int) - int(zeros[1]))
    expected = np.zeros(total.shape, out)
    for i, j in np.ndindex(*total.shape):
        scale = Fraction(float(a_scale[i % len(a_scale)])) * Fraction(
            float(b_scale[j % len(b_scale)])
        )
        scale /= Fraction(float(y_scale))
        expected[i, j] = saturated(int(total[i, j]), scale, int(zeros[2]), out)
    found = qlinear_matmul(a, a_scale, zeros[0], b, b_scale, zeros[1], y_scale, zeros[2])
    assert_equal(found, expected)


def quantized_one(total: int, scale: float, zero_point: Any) -> int:
    a, one = np.array([[total]], np.uint8), np.array([[1]], np.uint8)
    zero = np.array(0, np.uint8)
    found = qlinear_matmul(
        a, np.array(scale, np.float32), zero, one, ONE, zero, ONE, np.asarray(zero_point)
    )
    return int(found[0, 0])


def test_results_are_rounded_before_the_zero_point_is_added() -> None:
    # 1 * 0.5 rounds to 0, then 1 is added; 0.5 + 1 would round to 2.
    assert quantized_one(1, 0.5, np.uint8(1)) == 1
    assert quantized_one(3, 0.5, np.uint8(1)) == 3


def test_results_saturate_and_do_not_wrap() -> None:
    assert quantized_one(255, 2.0, np.uint8(0)) == 255
    assert quantized_one(255, 2.0, np.int8(0)) == 127
    assert quantized_one(255, 1e30, np.int8(-100)) == 127


def test_a_scale_of_a_is_one_a_row() -> None:
    a, zero = np.array([[1], [1]], np.uint8), np.array(0, np.uint8)
    b = np.array([[8, 8]], np.uint8)
    found = qlinear_matmul(a, f32(1, 2), zero, b, ONE, zero, ONE, zero)
    assert_equal(found, np.array([[8, 8], [16, 16]], np.uint8))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_scales_may_be_halves(dtype: Any) -> None:
    two, zero = np.array(2, dtype), np.array(0, np.uint8)
    a = np.array([[3]], np.uint8)
    assert int(qlinear_matmul(a, two, zero, a, two, zero, two, zero)[0, 0]) == 18


def test_products_of_float8_are_exact_before_they_are_scaled() -> None:
    float8 = np.dtype(ml_dtypes.float8_e4m3fn)
    zero = np.zeros((), float8)
    a = np.array([[1.5, 0.25]], np.float32).astype(float8)
    b = np.array([[2], [3]], np.float32).astype(float8)
    found = qlinear_matmul(a, ONE, zero, b, ONE, zero, ONE, zero)
    assert_equal(found, np.array([[3.75]], np.float32).astype(float8))
    whole = qlinear_matmul(a, ONE, zero, b, ONE, zero, ONE, np.array(1, np.int8))
    assert_equal(whole, np.array([[5]], np.int8))  # 3.75 rounds to 4


@pytest.mark.parametrize(
    ("bad", "place"), [(0.0, 2), *((bad, i) for bad in (np.nan, np.inf, -np.inf) for i in range(3))]
)
def test_scales_are_finite_and_do_not_divide_by_zero(bad: float, place: int) -> None:
    scales = [ONE, ONE, ONE]
    scales[place] = np.array(bad, np.float32)
    a, zero = np.array([[[1]]], np.uint8), np.array(0, np.uint8)
    ops: list[Callable[..., Array]] = [qlinear_matmul, qlinear_conv]
    for op in ops:
        with pytest.raises(ValueError, match=r"scale .*must"):
            op(a, scales[0], zero, a, scales[1], zero, scales[2], zero)


# -- ConvInteger, QLinearConv ---------------------------------------------------------------------


@given(bytes_, bytes_, st.integers(1, 2), st.data())
def test_convolutions_are_exact(
    image: DType, filters: DType, rank: int, data: st.DataObject
) -> None:
    group = data.draw(st.integers(1, 2))
    count = 2 * group
    size = tuple(data.draw(st.integers(2, 4)) for _ in range(rank))
    kernel = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    x = data.draw(tensors(image, (2, 2 * group, *size)))
    w = data.draw(tensors(filters, (count, 2, *kernel)))
    x_zero = data.draw(tensors(image, ()))
    w_zero = data.draw(tensors(filters, data.draw(st.sampled_from([(), (1,), (count,)]))))
    attributes: dict[str, Any] = {
        "group": group,
        "pads": tuple(data.draw(st.integers(0, 1)) for _ in range(2 * rank)),
        "strides": tuple(data.draw(st.integers(1, 2)) for _ in range(rank)),
    }
    wide_w = w.astype(np.float64) - w_zero.astype(np.float64).reshape(-1, *[1] * (rank + 1))
    exact = conv(x.astype(np.float64) - float(x_zero), wide_w, **attributes)  # exact in float64
    found = conv_integer(x, w, x_zero, w_zero, **attributes)
    assert_equal(found, exact.astype(np.int32))
    bias = data.draw(tensors(np.dtype(np.int32), (count,), low=-1000, high=1000))
    scales = f32(*(2.0 ** -data.draw(st.integers(0, 6)) for _ in range(count)))
    zero = np.array(3, np.uint8)
    quantized = qlinear_conv(
        x, np.array(0.5, np.float32), x_zero, w, scales, w_zero, np.array(4, np.float32),
        zero, bias, **attributes,
    )  # fmt: skip
    expected = np.zeros(found.shape, np.uint8)
    for place in itertools.product(*map(range, found.shape)):
        scale = Fraction(float(scales[place[1]])) / 8
        total = int(found[place]) + int(bias[place[1]])
        expected[place] = saturated(total, scale, 3, zero.dtype)
    assert_equal(quantized, expected)


def test_the_padding_is_made_of_zero_points() -> None:
    x, w, zero = np.array([[[3, 5]]], np.uint8), np.ones((1, 1, 2), np.uint8), np.array(4, np.uint8)
    found = conv_integer(x, w, zero, pads=(1, 1))
    assert_equal(found, np.array([[[-1, 0, 1]]], np.int32))  # not -5 and -3 at the ends


def test_filters_of_another_number_are_refused() -> None:
    x, w = np.ones((1, 1, 2), np.uint8), np.ones((2, 1, 1), np.uint8)
    with pytest.raises(ValueError, match="for 2 filters"):
        conv_integer(x, w, None, np.zeros(3, np.uint8))
