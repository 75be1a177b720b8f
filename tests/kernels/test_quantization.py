"""Between float32 and 8 bits, against the operators to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import quantization
from embedx.kernels.quantization import to_narrow
from tests.kernels.cases import check, check_declined, kernels_of, strange_to

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(quantization), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


@pytest.mark.parametrize(("formula", "inputs", "attributes"), strange_to(quantization))
def test_a_kernel_declines(formula: Any, inputs: Any, attributes: dict[str, Any]) -> None:
    check_declined(formula, inputs, attributes)


@given(
    st.lists(st.integers(-(2**31), 2**31) | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1),
    st.integers(0, 255),
    st.sampled_from([np.uint8, np.int8]),
)
def test_whole_numbers_saturate(values: list[float], zero: int, kind: Any) -> None:
    whole = np.array(values, np.float32)
    point = np.asarray(zero, np.uint8).view(kind)
    limits, found = np.iinfo(kind), np.empty(whole.shape, kind)
    wanted = [
        0 if math.isnan(x) else int(min(max(x + int(point), limits.min), limits.max))
        for x in whole.tolist()
    ]
    to_narrow(whole.copy(), point, found)
    assert found.tolist() == wanted
