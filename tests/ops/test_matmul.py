"""Matrix products against sums of exact products, one after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    det,
    einsum,
    gemm,
    matmul,
    spending,
)
from tests.assertions import assert_close, assert_equal
from tests.strategies import BFLOAT16, FLOATS, HALVES, INTEGERS, DType, Shape, tensors

PRODUCTS = [*FLOATS, *INTEGERS]


def contracted(terms: Sequence[str], result: str, *arrays: Array) -> Array:
    """Einstein's sum with explicit letters, in float64 or in exact Python integers."""
    wide = [x.astype(np.float64 if x.dtype in FLOATS else object) for x in arrays]
    size: dict[str, int] = {}
    for term, x in zip(terms, arrays, strict=True):
        size.update(zip(term, x.shape, strict=True))
    letters = [*result, *sorted(set("".join(terms)) - set(result))]
    found = np.zeros([size[c] for c in result], wide[0].dtype)
    for place in itertools.product(*(range(size[c]) for c in letters)):
        at = dict(zip(letters, place, strict=True))
        factors = (x[tuple(at[c] for c in term)] for x, term in zip(wide, terms, strict=True))
        found[tuple(at[c] for c in result)] += math.prod(factors)
    return found


def assert_product(found: Array, exact: Array, dtype: DType) -> None:
    """Assert a sum of a few products of numbers up to 8."""
    if dtype in FLOATS:
        half = dtype in HALVES
        assert_close(found, exact, dtype, ulps=1 if half else 4, floor=0.01 if half else 512)
    else:
        bits = 8 * dtype.itemsize
        assert_equal(found, np.array(exact % 2**bits, f"uint{bits}").astype(dtype))


@st.composite
def products(draw: st.DrawFn) -> tuple[DType, Shape, Shape]:
    """A dtype and the shapes of two matrices that can be multiplied; sizes may be 0."""
    rows, inner, columns = (draw(st.integers(0, 4)) for _ in range(3))
    return draw(st.sampled_from(PRODUCTS)), (rows, inner), (inner, columns)


@given(products(), st.data())
def test_matrices(case: tuple[DType, Shape, Shape], data: st.DataObject) -> None:
    dtype, left, right = case
    a = data.draw(tensors(dtype, left, low=-8, high=8))
    b = data.draw(tensors(dtype, right, low=-8, high=8))
    assert_product(matmul(a, b), contracted(["ik", "kj"], "ij", a, b), dtype)


@given(products(), st.sampled_from(["1-2", "2-1", "1-1", "3-2", "2-3", "3-3"]), st.data())
def test_vectors_and_stacks_are_products_of_matrices(
    case: tuple[DType, Shape, Shape], ranks: str, data: st.DataObject
) -> None:
    dtype, (rows, inner), (_, columns) = case
    left: dict[str, Shape] = {"1": (inner,), "2": (rows, inner), "3": (2, rows, inner)}
    right: dict[str, Shape] = {"1": (inner,), "2": (inner, columns), "3": (1, inner, columns)}
    a = data.draw(tensors(dtype, left[ranks[0]], low=-8, high=8))
    b = data.draw(tensors(dtype, right[ranks[2]], low=-8, high=8))
    # A vector is a row or a column, and leaves no axis behind.
    a3 = a[None, None] if a.ndim == 1 else a[(None,) * (3 - a.ndim)]
    b3 = b[None, :, None] if b.ndim == 1 else b[(None,) * (3 - b.ndim)]
    stack = max(len(a3), len(b3))
    exact = np.array(
        [contracted(["ik", "kj"], "ij", a3[i % len(a3)], b3[i % len(b3)]) for i in range(stack)]
    )
    shape = (
        ((stack,) if "3" in ranks else ()) + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ())
    )
    assert_product(matmul(a, b), exact.reshape(shape), dtype)


def test_stacks_broadcast() -> None:
    a, b = np.ones((2, 1, 3, 4)), np.ones((5, 4, 6))
    assert_equal(matmul(a, b), np.full((2, 5, 3, 6), 4.0))


def test_int32_products_wrap_around() -> None:
    a = np.full((1, 2), 2**30, np.int32)
    assert_equal(matmul(a, np.array([[1], [1]], np.int32)), np.array([[-(2**31)]], np.int32))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_accumulate_in_float32(dtype: DType) -> None:
    assert float(matmul(np.ones((1, 4097), dtype), np.ones((4097, 1), dtype))[0, 0]) == 4096
    assert float(gemm(np.ones((1, 4097), dtype), np.ones((4097, 1), dtype))[0, 0]) == 4096
    assert float(einsum(np.ones(4097, dtype), np.ones(4097, dtype), equation="i,i")) == 4096


@pytest.mark.parametrize("op", [matmul, gemm])
def test_products_that_are_not_defined_are_refused(op: Callable[..., Array]) -> None:
    with pytest.raises(TypeError, match="float32, float64"):
        op(np.ones((2, 2), np.float32), np.ones((2, 2)))
    with pytest.raises(TypeError, match="float32, float64"):
        op(np.ones((2, 0), np.float32), np.ones((0, 2)))
    with pytest.raises(ValueError, match=r"mismatch|dimension"):
        op(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="matrices"):
        op(np.ones((2, 2)), np.array(2.0))


@pytest.mark.parametrize("op", [matmul, gemm, lambda a, b: einsum(a, b, equation="ij,jk->ik")])
@pytest.mark.parametrize("inner", [0, 1])
def test_products_are_held_to_the_budget(op: Callable[..., Array], inner: int) -> None:
    a, b = np.ones((100, inner), np.float32), np.ones((inner, 10), np.float32)
    with spending(Budget(max_bytes=4000)):
        assert op(a, b).shape == (100, 10)
    with spending(Budget(max_bytes=3999)), pytest.raises(OverBudgetError, match="4000 bytes"):
        op(a, b)


# -- Gemm -----------------------------------------------------------------------------------------


@given(
    products(), st.booleans(), st.booleans(), st.sampled_from([1.0, 0.5, -2.0]),
    st.sampled_from([1.0, 0.25, 3.0]), st.data(),
)  # fmt: skip
def test_gemm(
    case: tuple[DType, Shape, Shape], turn_a: bool, turn_b: bool, alpha: float, beta: float,
    data: st.DataObject,
) -> None:  # fmt: skip
    dtype, left, right = case
    a = data.draw(tensors(dtype, left[:: -1 if turn_a else 1], low=-8, high=8))
    b = data.draw(tensors(dtype, right[:: -1 if turn_b else 1], low=-8, high=8))
    of_c = data.draw(
        st.sampled_from([None, (), (1,), (right[1],), (left[0], 1), (left[0], right[1])])
    )
    c = None if of_c is None else data.draw(tensors(dtype, of_c, low=-8, high=8))
    if dtype in INTEGERS:
        alpha = beta = 1.0
    found = gemm(a, b, c, alpha=alpha, beta=beta, transA=int(turn_a), transB=int(turn_b))
    product = contracted(["ki" if turn_a else "ik", "jk" if turn_b else "kj"], "ij", a, b)
    kind = np.float64 if dtype in FLOATS else object
    added = np.zeros((), kind) if c is None else c.astype(kind)
    one, factor = (alpha, beta) if dtype in FLOATS else (1, 1)
    assert_product(found, one * product + factor * added, dtype)


@pytest.mark.parametrize("c", [np.ones((3, 2)), np.ones((1, 2, 2)), np.ones(3)])
def test_gemm_broadcasts_c_alone(c: Array) -> None:
    with pytest.raises(ValueError, match=r"broadcast|dimension|remapping"):
        gemm(np.ones((2, 2)), np.ones((2, 2)), c)


def test_gemm_refuses_another_type_of_c() -> None:
    with pytest.raises(TypeError, match="float64, float32"):
        gemm(np.ones((2, 2)), np.ones((2, 2)), np.ones(2, np.float32))


def test_gemm_of_integers_keeps_their_type() -> None:
    found = gemm(
        np.array([[3]], np.int32),
        np.array([[5]], np.int32),
        np.array([2], np.int32),
        alpha=0.5,
        beta=2.0,
    )
    assert_equal(found, np.array([[11]], np.int32))  # 7.5 truncates, as a cast does


def test_gemm_of_halves_scales_in_float32() -> None:
    big = np.array([[60000]], np.float16)
    assert_equal(gemm(big, np.array([[2]], np.float16), alpha=0.5), big)


# -- Einsum ---------------------------------------------------------------------------------------

EQUATIONS: list[tuple[str, str, str]] = [
    # as it is given, the terms, the result
    ("ij,jk->ik", "ij jk", "ik"),
    ("ij, jk", "ij jk", "ik"),
    ("bij,bjk->bik", "bij bjk", "bik"),
    ("i,j", "i j", "ij"),
    ("ji", "ji", "ij"),  # implicit output: the letters in alphabetical order
    ("bA", "bA", "Ab"),  # where upper case comes first
    ("ii", "ii", ""),
    ("ii->i", "ii", "i"),
    ("ij->", "ij", ""),
    (" i j , j -> i ", "ij j", "i"),
    ("ij,ij,ij->j", "ij ij ij", "j"),
    ("...ij,...jk->...ik", "xij xjk", "xik"),
    ("...i->...", "xyi", "xy"),
    ("...", "x", "x"),
    ("i...,i...", "ix ix", "x"),
]


@pytest.mark.parametrize(("equation", "terms", "result"), EQUATIONS)
@given(data=st.data())
def test_einsum(equation: str, terms: str, result: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(PRODUCTS))
    size = {letter: data.draw(st.integers(0, 3)) for letter in set(terms) - {" "}}
    inputs = [
        data.draw(tensors(dtype, tuple(size[c] for c in term), low=-8, high=8))
        for term in terms.split()
    ]
    exact = contracted(terms.split(), result, *inputs)
    assert_product(einsum(*inputs, equation=equation), exact, dtype)


def test_einsum_broadcasts_what_the_ellipsis_stands_for() -> None:
    found = einsum(np.ones((2, 1, 3)), np.ones((4, 3)), equation="...i,...i->...")
    assert_equal(found, np.full((2, 4), 3.0))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3)]),  # a term too many
        ("ij->ij", [(2, 3), (2, 3)]),  # an input too many
        ("ijk->i", [(2, 3)]),
        ("i->i", [(2, 3)]),
        ("ij,jk->ik", [(2, 3), (4, 5)]),
        ("ij->iz", [(2, 3)]),
    ],
)
def test_equations_that_do_not_fit_are_refused(equation: str, shapes: list[Shape]) -> None:
    with pytest.raises(ValueError, match=r"."):
        einsum(*(np.ones(shape) for shape in shapes), equation=equation)


def test_letters_of_a_result_come_from_its_terms() -> None:
    with pytest.raises(ValueError, match="the result has 'z', which no term has"):
        einsum(np.ones((2, 3)), equation="ij->iz")


def test_einsum_refuses_mixed_types() -> None:
    with pytest.raises(TypeError, match="float32, float64"):
        einsum(np.ones(2, np.float32), np.ones(2), equation="i,i")


def test_einsum_of_bfloat16() -> None:
    found = einsum(np.full((2, 2), 3, BFLOAT16), equation="ij->i")
    assert_equal(found, np.array([6, 6], BFLOAT16))


# -- Det ------------------------------------------------------------------------------------------


def leibniz(rows: list[list[Any]]) -> Any:
    """The determinant by expansion along the first row."""
    if not rows:
        return 1
    minors = ([r[:j] + r[j + 1 :] for r in rows[1:]] for j in range(len(rows)))
    return sum((-1) ** j * rows[0][j] * leibniz(m) for j, m in enumerate(minors))


@given(
    st.sampled_from(FLOATS), st.integers(0, 4), st.sampled_from([(), (2,), (0,), (2, 1)]), st.data()
)
def test_determinants(dtype: DType, size: int, stack: Shape, data: st.DataObject) -> None:
    x = data.draw(tensors(dtype, (*stack, size, size), low=-4, high=4))
    matrices = x.astype(np.float64).reshape(math.prod(stack), size, size)
    exact = np.array([leibniz(m) for m in matrices.tolist()], np.float64).reshape(stack)
    half = dtype in HALVES
    assert_close(det(x), exact, dtype, ulps=1 if half else 16, floor=1 if half else 2**12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 2)])
def test_only_square_matrices_have_determinants(shape: Shape) -> None:
    with pytest.raises(ValueError, match="square matrices"):
        det(np.ones(shape))
