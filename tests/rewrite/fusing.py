"""Small graphs with weights, the operators of their plans, and what they compute."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx

from embedx.model.graph import Array
from embedx.run.engine import Engine
from tests.models import model


def engine_of(text: str, *, optimize: bool = True, opset: int = 17, **weights: Any) -> Engine:
    """The engine of a graph; floats among the weights are float32."""
    proto = model(text, opset=opset, imports=', "com.microsoft" : 1')
    for name, value in weights.items():
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return Engine(proto, optimize=optimize)


def operators(text: str, **options: Any) -> list[str]:
    """The operators of the plan, domains left out."""
    return [re.sub(".*::", "", s.node.operator) for s in engine_of(text, **options).plan.steps]


def near(found: Array, exact: Array, bound: float) -> None:
    """Assert float32 results, off by no more than ``bound`` times the largest number around."""
    assert found.dtype == np.float32
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= bound * max(1.0, float(np.abs(exact).max()))
