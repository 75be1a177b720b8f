"""The ONNX backend suite: what fails is exactly what golden/known_failures.txt says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from embedx.errors import EmbedxError
from embedx.ops import resolve
from embedx.run.engine import Engine

KNOWN_FAILURES = Path(__file__).parent.parent / "golden" / "known_failures.txt"
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
# What onnx's own test of its reference implementation grants.
TOLERANCES = {"test_celu_bfloat16_expanded": (1e-2, 1e-2)} | {
    f"test_dft{suffix}": (1e-3, 1e-6)
    for suffix in ("", "_axis", "_inverse", "_opset19", "_axis_opset19", "_inverse_opset19")
}
RANDOM = ("test_bernoulli", "test_training_dropout")


def known_failures() -> dict[str, str]:
    lines = KNOWN_FAILURES.read_text().splitlines()
    pairs = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return {name: reason for name, _, reason in pairs}


@cache
def cases(kind: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own NumPy
        return {case.name: case for case in load_model_tests(kind=kind)}


def data_sets(case: Any) -> Iterator[tuple[onnx.ModelProto, list[Any], list[Any]]]:
    """The model, inputs and expected outputs, made in memory or read from the package's folder."""
    if case.model is not None:
        for inputs, outputs in case.data_sets:
            yield case.model, [as_value(v) for v in inputs], [as_value(v) for v in outputs]
        return
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    for data in sorted(folder.glob("test_data_set*")):
        sides = [
            [
                read(data / f"{side}_{i}.pb", value.type)
                for i, value in enumerate(values)
                if (data / f"{side}_{i}.pb").exists()
            ]
            for side, values in (("input", model.graph.input), ("output", model.graph.output))
        ]
        yield model, sides[0], sides[1]


def read(path: Path, kind: Any) -> Any:
    name = kind.WhichOneof("value")
    if name == "sequence_type":
        sequence = onnx.SequenceProto.FromString(path.read_bytes())
        return as_value(numpy_helper.to_list(sequence))
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def as_value(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return [as_value(v) for v in value] if isinstance(value, list | tuple) else np.asarray(value)


def outcome(case: Any) -> str:
    """``""`` if the case passes, else in a word why not."""
    rtol, atol = TOLERANCES.get(case.name, (case.rtol, case.atol))
    try:
        for model, inputs, expected in data_sets(case):
            names = [v.name for v in model.graph.input]
            weights = {t.name for t in model.graph.initializer}
            if len(names) != len(inputs):
                names = [name for name in names if name not in weights]
            found = Engine(model).run(dict(zip(names, inputs, strict=True)))
            for a, b in zip(found, expected, strict=True):
                assert_same(a, b, rtol, atol, values=not case.name.startswith(RANDOM))
    except EmbedxError as error:
        return type(error).__name__
    except AssertionError:
        return "wrong"
    return ""


def assert_same(found: Any, expected: Any, rtol: float, atol: float, *, values: bool) -> None:
    if expected is None or isinstance(expected, list):
        assert type(found) is type(expected)
        for a, b in zip(found or [], expected or [], strict=True):
            assert_same(a, b, rtol, atol, values=values)
        return
    assert isinstance(found, np.ndarray)
    assert found.shape == expected.shape
    if expected.dtype.kind in "OSUT":
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in expected.reshape(-1)]
        assert found.reshape(-1).tolist() == texts
        return
    assert found.dtype == expected.dtype
    if expected.dtype.kind == "V":  # ml_dtypes
        rtol = max(rtol, 2.0**-6) if expected.dtype.name == "bfloat16" else rtol
        wide = np.float32 if "float" in expected.dtype.name else np.int32
        found, expected = found.astype(wide), expected.astype(wide)
    if values and found.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
    elif values:
        np.testing.assert_allclose(found, expected, rtol, atol)


@pytest.mark.parametrize("kind", KINDS)
def test_failures_are_exactly_those_that_are_known(kind: str) -> None:
    failed = {name: reason for name, case in cases(kind).items() if (reason := outcome(case))}
    assert set(failed) == set(known_failures()) & set(cases(kind)), failed


def test_known_failures_exist_and_have_reasons() -> None:
    every = {name for kind in KINDS for name in cases(kind)}
    assert set(known_failures()) <= every
    assert all(known_failures().values())


def test_operators_that_are_removed_or_too_new_are_refused() -> None:
    for name, opset in (("Scatter", 11), ("RMSNormalization", 22), ("Attention", 22)):
        with pytest.raises(LookupError, match=f"{name}"):
            resolve(name, opset)
