"""Sums of products against sums of whole numbers, which are rounded to float32 once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import exact_products
from embedx.kernels.exact_products import Factor, multiplied, multiplied_stacks
from embedx.model.graph import Array
from embedx.workers import threads

Product = Callable[[Array, Array], Array]


def matrix(a: Array, b: Array) -> Array:
    return multiplied(a, Factor.of(b))


def stack(a: Array, b: Array) -> Array:
    lead = (3, 2)
    many = (np.broadcast_to(x, (*lead, *x.shape)) for x in (a, b))
    found = multiplied_stacks(*many)
    np.testing.assert_array_equal(found, np.broadcast_to(found[0, 0], found.shape))
    return found[0, 0]


def wholes(seed: int, *shape: int) -> Array:
    """Whole numbers of up to 24 digits, most of which have fewer, in float32 exactly."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-(2**23), 2**23, shape)
    return numbers >> generator.integers(0, 24, shape)


def exact(a: Array, b: Array) -> Array:
    """The product of whole numbers: their sums fit int64, and one conversion rounds them."""
    return (a @ b).astype(np.float32)


@pytest.mark.parametrize("product", [matrix, stack])
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 31, 384, 385, 1000]))
def test_a_sum_is_rounded_once(product: Product, seed: int, inner: int) -> None:
    a, b = wholes(seed, 9, inner), wholes(seed + 1, inner, 7)
    found = product(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_array_equal(found, exact(a, b))


@pytest.mark.parametrize("product", [matrix, stack])
@given(st.integers(0, 2**32), st.integers(-1, 1), st.sampled_from([-1, 1]))
def test_next_to_a_tie(product: Product, seed: int, beyond: int, sign: int) -> None:
    """Which side such a sum is on is more than float64 tells."""
    generator = np.random.default_rng(seed)
    head = 2**23 + generator.integers(0, 2**22, (5, 1))
    # head + 1/2 + beyond * 2**-30, behind terms that come and go
    a = np.hstack([head, *np.full((4, 5, 1), 1)]).astype(np.float32)
    huge = np.float32(2.0 ** generator.integers(20, 40))
    column = np.array([1, huge, 0.5, beyond * 2.0**-30, -huge], np.float32)[:, None] * sign
    order = generator.permutation(5)
    found = product(a[:, order], column[order])
    up = head % 2 if beyond == 0 else beyond > 0
    np.testing.assert_array_equal(found, sign * (head + up).astype(np.float32))


@given(st.integers(0, 2**32), st.integers(1, 1500), st.integers(1, 70))
def test_neither_neighbours_nor_the_order_of_terms_show(seed: int, rows: int, inner: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((rows, inner)).astype(np.float32)
    b = generator.standard_normal((inner, 5)).astype(np.float32)
    order, some = generator.permutation(inner), generator.integers(0, rows, 3)
    together = matrix(a, b)
    np.testing.assert_array_equal(matrix(a[:, order], b[order]), together)
    for row in some:
        np.testing.assert_array_equal(matrix(a[row : row + 1], b)[0], together[row])
    with threads(2):
        np.testing.assert_array_equal(matrix(a, b), together)


PRODUCTS = """
import numpy as np
from embedx import load
from tests.kernels.test_exact_products import matrix, stack, ties

a, b, expected = ties()
model = load(precision="exact")
texts = ["A cat.", "The rain fell on the roof all night long.", "Ein Satz, " * 9]
print(np.array_equal(matrix(a, b), expected), np.array_equal(stack(a, b), expected))
print(model.encode(texts).tobytes().hex())
"""


def ties() -> tuple[Array, Array, Array]:
    """Factors whose sums are ties, of terms that cancel; and their product."""
    generator = np.random.default_rng(0)
    head = 2**23 + generator.integers(0, 2**22, (3000, 1))
    terms, weights = (generator.standard_normal(shape) * 2**10 for shape in ((3000, 40), (40, 1)))
    order = generator.permutation(40)
    a = np.hstack([terms, head, np.full_like(head, 1), -terms[:, order]]).astype(np.float32)
    b = np.vstack([weights, np.array([[1], [0.5]]), weights[order]]).astype(np.float32)
    return a, b, (head + head % 2).astype(np.float32)


def test_sums_that_are_ties() -> None:
    a, b, expected = ties()
    assert ((a.astype(np.float64) @ b).astype(np.float32) != expected).any()
    for product in (matrix, stack):
        np.testing.assert_array_equal(product(a, b), expected)


def test_no_kernel_of_blas_shows() -> None:
    # Those that any processor for which they are made can run; others know none of the names.
    said = []
    for name in (None, "Nehalem", "Prescott"):
        blas = {} if name is None else {"OPENBLAS_CORETYPE": name}
        others = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        done = subprocess.run(
            [sys.executable, "-c", PRODUCTS],
            cwd=Path(__file__).parents[2], env={**others, **blas},
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        said.append(done.stdout.splitlines())
    assert [lines[0] for lines in said] == ["True True"] * 3
    assert len({lines[1] for lines in said}) == 1


@given(st.integers(0, 2**32))
def test_any_sum_can_be_added_up_again(seed: int) -> None:
    a, b = wholes(seed, 6, 50), wholes(seed + 1, 50, 6)
    left, right = a.astype(np.float64), b.astype(np.float64)
    sizes = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=0)
    rows, columns = np.nonzero(sizes)
    found = exact(a, b) * 0
    exact_products._add_up(left, right, sizes[rows, columns], found, (rows, columns))
    np.testing.assert_array_equal(found, exact(a, b))


@pytest.mark.parametrize("product", [matrix, stack])
def test_what_is_not_finite_stays_where_it_is(product: Product) -> None:
    generator = np.random.default_rng(0)
    a = generator.standard_normal((40, 30)).astype(np.float32)
    b = generator.standard_normal((30, 20)).astype(np.float32)
    plain = product(a, b)
    a[3, 4], a[5, 6], b[7, 8], b[:, 9] = np.inf, np.nan, -np.inf, 0
    with np.errstate(invalid="ignore"):
        found, expected = product(a, b), (a.astype(np.float64) @ b).astype(np.float32)
    clear = np.isfinite(expected)
    np.testing.assert_array_equal(found[~clear], expected[~clear])
    same = clear & (np.arange(20) != 9)
    np.testing.assert_array_equal(found[same], plain[same])
    assert not found[clear[:, 9], 9].any()


def test_the_largest_and_the_smallest_numbers() -> None:
    most, least = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    with np.errstate(over="ignore"):
        found = matrix(
            np.array([[most, most, least], [least, 0, 0]], np.float32),
            np.array([[1, 1, 0.5], [2.0**-24, 2.0**-26, 0], [0, 0, 1]], np.float32),
        )
    # Infinity begins half an ulp, 2**-25 of it, above the largest number.
    expected = np.array([[np.inf, most, most / 2], [least, least, 0]], np.float32)
    np.testing.assert_array_equal(found, expected)
