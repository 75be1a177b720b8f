"""Looked-up results against the operators', to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import REPLACING, tables
from tests.kernels.cases import check, check_declined, kernels_of, strange_to

sigmoid: Any = REPLACING[ops.microsoft.qlinear_sigmoid].function

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(tables), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


@pytest.mark.parametrize(("formula", "inputs", "attributes"), strange_to(tables))
def test_a_kernel_declines(formula: Any, inputs: Any, attributes: dict[str, Any]) -> None:
    check_declined(formula, inputs, attributes)


def test_few_elements_are_computed() -> None:
    step = np.asarray(0.1, np.float32)
    few, many = np.zeros(1023, np.uint8), np.zeros(1024, np.uint8)
    assert sigmoid(few, step, None, step, None) is NotImplemented
    assert sigmoid(many, step, None, step, None) is not NotImplemented
    assert sigmoid(many, np.full(1024, step), None, step, None) is NotImplemented


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_every_byte_is_looked_up_in_its_own_place(kind: Any) -> None:
    x = np.tile(np.arange(256, dtype=np.uint8).view(kind), 4)
    steps = [np.asarray(v, np.float32) for v in (0.05, 1 / 256)]
    zeros = [np.asarray(v, np.uint8).view(kind) for v in (100, 3)]
    found = sigmoid(x, steps[0], zeros[0], steps[1], zeros[1])
    limits = np.iinfo(kind)
    for byte, got in zip(x.tolist(), found.tolist(), strict=True):
        exact = 256 / (1 + math.exp(-(byte - int(zeros[0])) * 0.05)) + int(zeros[1])
        assert abs(got - min(max(exact, limits.min), limits.max)) <= 0.501
