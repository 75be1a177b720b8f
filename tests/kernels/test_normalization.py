"""Normalizations against their operators, within the bounds that are stated."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import REPLACING, normalization
from tests.kernels.cases import check, check_declined, first, kernels_of, plain, strange_to

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(normalization), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


@pytest.mark.parametrize(("formula", "inputs", "attributes"), strange_to(normalization))
def test_a_kernel_declines(formula: Any, inputs: Any, attributes: dict[str, Any]) -> None:
    check_declined(formula, inputs, attributes)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("in_place", [False, True])
def test_input_skip_and_bias_are_added_in_any_order(order: tuple[int, ...], in_place: bool) -> None:
    generator = np.random.default_rng(0)
    x, skip = generator.standard_normal((2, 300, 40)).astype(np.float32)
    gamma, beta, bias = generator.standard_normal((3, 40)).astype(np.float32)
    right = ops.microsoft.skip_layer_normalization(x, skip, gamma, beta, bias)
    parts = (x.copy(), skip.copy(), bias)
    total = parts[order[0]] + parts[order[1]] + parts[order[2]]
    found = normalization.skip_layer_normalization(
        x, skip, gamma, beta, bias, order=order, out=x if in_place else None
    )
    np.testing.assert_array_equal(found.input_skip_bias_sum, total)
    np.testing.assert_allclose(found.output, right.output, atol=1e-5)


@pytest.mark.parametrize("formula", [ops.layer_normalization, ops.rms_normalization])
def test_a_row_has_the_same_bits_beside_others(formula: Any) -> None:
    """Also where the elements of a row lie apart, as they do behind a Transpose."""
    kernel = REPLACING[plain(formula)].function
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 33, 70)).astype(np.float32)
    scale = random.standard_normal(33).astype(np.float32)
    together = first(kernel(x.transpose(0, 2, 1), scale))
    for text, found in zip(x, together, strict=True):
        np.testing.assert_array_equal(first(kernel(text[None].transpose(0, 2, 1), scale))[0], found)
