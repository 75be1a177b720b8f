"""Sizes beyond all proportion: operators run, refuse them, or are over their budget; no more."""

from __future__ import annotations

import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from inspect import signature
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx.ops import Budget, Op, OverBudgetError, resolve, spending
from embedx.oracle.golden import Case, read_cases

GOLDEN = Path(__file__).parents[2] / "golden/ops"
HUGE = (2**31, 2**40, 2**62, -(2**31), 10**6, 0)
LOOPING = {
    "AveragePool-1", "Col2Im-18", "ConvTranspose-1", "DeformConv-19", "GRU-3", "GRU-7",
    "GridSample-16", "GridSample-20", "LSTM-1", "LSTM-7", "LinearAttention-27", "LpPool-1",
    "LpPool-2", "MaxPool-1", "MaxRoiPool-1", "Multinomial-7", "NonMaxSuppression-10", "RNN-1",
    "RNN-7", "RegexFullMatch-20", "RoiAlign-10", "RoiAlign-16", "Split-13", "Split-18", "Split-2",
    "SplitToSequence-11", "StringNormalizer-10", "StringSplit-20", "TfIdfVectorizer-9",
    "ai.onnx.ml::CategoryMapper-1", "ai.onnx.ml::LabelEncoder-1", "ai.onnx.ml::LabelEncoder-2",
    "ai.onnx.ml::SVMClassifier-1", "ai.onnx.ml::TreeEnsemble-5",
    "ai.onnx.ml::TreeEnsembleClassifier-1", "ai.onnx.ml::TreeEnsembleRegressor-1",
    "com.microsoft::CDist-1", "com.microsoft::DynamicQuantizeLSTM-1",
    "com.microsoft::GridSample-1", "com.microsoft::QLinearAveragePool-1",
}  # fmt: skip
LONG, LIMIT = 2**12, 2**24
REFUSALS = (ValueError, TypeError, IndexError, ArithmeticError, OverBudgetError)

Call = tuple[tuple[Any, ...], dict[str, Any]]


def entry(case: Case) -> Op:
    return resolve(case.name, case.opset, case.domain)


def first_cases() -> dict[str, Case]:
    """The first golden case of each operator's each behaviour."""
    found: dict[str, Case] = {}
    for path in sorted(GOLDEN.glob("*.json")):
        for case in read_cases(path):
            if case.model is None:
                found.setdefault(entry(case).title, case)
    return found


CASES = first_cases()


def attributes_of(case: Case) -> dict[str, Any]:
    if "num_outputs" in signature(entry(case).formula).parameters:
        return {"num_outputs": len(case.outputs), **case.attributes}
    return {name: value for name, value in case.attributes.items() if name != "consumed_inputs"}


def inflated(case: Case) -> Iterator[Call]:
    """Calls with one integer, or one list of them, out of proportion."""
    given = attributes_of(case)
    for parameter in signature(entry(case).formula).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            for value in other_values(given.get(parameter.name), parameter.annotation):
                yield case.inputs, {**given, parameter.name: value}
    for place, value in enumerate(case.inputs):
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size <= 16:
            limits = np.iinfo(value.dtype)
            for huge in [n for n in HUGE if limits.min <= n <= limits.max]:
                for which in (slice(None), slice(1)):
                    other = value.copy()
                    other.reshape(-1)[which] = huge
                    yield (*case.inputs[:place], other, *case.inputs[place + 1 :]), given


def other_values(value: Any, annotation: str) -> Iterator[Any]:
    """What an attribute might be, too."""
    for huge in HUGE:
        if re.match(r"int\b", annotation):
            yield huge
        elif annotation.startswith("tuple[int") and value:
            yield (huge,) * len(value)
            yield (huge, *value[1:])
        elif annotation.startswith("tuple[int"):
            yield from ((huge,) * count for count in (1, 2, 4))


def enlarged(case: Case) -> Iterator[Call]:
    """Calls with one axis, or with one axis of each of two inputs, long."""
    given = attributes_of(case)
    grown = []
    for place, value in enumerate(case.inputs):
        if isinstance(value, np.ndarray) and value.size:
            for axis in range(value.ndim):
                shape = [LONG if i == axis else n for i, n in enumerate(value.shape)]
                grown.append((place, np.broadcast_to(np.take(value, [0], axis), shape)))
    for pair in combinations_with_replacement(grown, 2):
        inputs = [*case.inputs]
        for place, value in pair:
            inputs[place] = value
        yield tuple(inputs), given


@pytest.mark.parametrize("variants", [inflated, enlarged])
@pytest.mark.parametrize("title", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_sizes_out_of_proportion(title: str, variants: Callable[[Case], Iterator[Call]]) -> None:
    function = entry(CASES[title]).function
    for inputs, attributes in variants(CASES[title]):
        tracemalloc.start()
        try:
            with spending(Budget(max_bytes=LIMIT, deadline=time.monotonic() + 0.2)):
                function(*inputs, **attributes)
        except REFUSALS:
            pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 8 * LIMIT, (inputs, attributes)


@pytest.mark.parametrize("title", sorted(LOOPING))
def test_loops_keep_to_the_time_limit(title: str) -> None:
    case = CASES[title]
    with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
        entry(case).function(*case.inputs, **attributes_of(case))
