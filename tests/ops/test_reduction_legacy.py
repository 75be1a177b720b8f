"""The reductions whose axes were an attribute are those of today with the axes as an input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops import Array
from tests.assertions import assert_equal
from tests.strategies import FLOATS, tensors

Reduction = Callable[..., Array]
NAMES = "l1 l2 log_sum log_sum_exp max mean min prod sum sum_square".split()
PAIRS = [(getattr(ops, f"reduce_{name}_1"), getattr(ops, f"reduce_{name}")) for name in NAMES]


@pytest.mark.parametrize(("legacy", "current"), PAIRS, ids=NAMES)
@given(data=st.data())
@np.errstate(all="ignore")
def test_axes_as_attribute_and_as_input(
    legacy: Reduction, current: Reduction, data: st.DataObject
) -> None:
    x = data.draw(st.sampled_from(FLOATS).flatmap(tensors))
    count = data.draw(st.integers(1, x.ndim)) if x.ndim else 0
    axes = tuple(data.draw(st.permutations(range(-x.ndim, 0)))[:count])
    keepdims = data.draw(st.integers(0, 1))
    given_axes = np.array(axes, np.int64)
    assert_equal(legacy(x, axes=axes, keepdims=keepdims), current(x, given_axes, keepdims=keepdims))
    assert_equal(legacy(x, keepdims=keepdims), current(x, keepdims=keepdims))


@pytest.mark.parametrize("legacy", [legacy for legacy, _ in PAIRS], ids=NAMES)
def test_axes_out_of_range_are_refused(legacy: Reduction) -> None:
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        legacy(np.ones((2, 3)), axes=(2,))
    with pytest.raises(ValueError, match="one axis twice"):
        legacy(np.ones((2, 3)), axes=(0, -2))


@pytest.mark.parametrize(
    ("legacy", "expected"), list(zip([p[0] for p in PAIRS], range(10), strict=True)), ids=NAMES
)
def test_known_values(legacy: Reduction, expected: int) -> None:
    values = [7, 5, np.log(7), np.log(np.exp(3) + np.exp(4)), 4, 3.5, 3, 12, 7, 25]
    found = legacy(np.array([[3.0, 4.0]]), axes=(1,), keepdims=0)
    np.testing.assert_allclose(found, [values[expected]], rtol=1e-15)
