"""The ONNX backend suite, through the backend that embedx is: what fails is exactly what
golden/known_failures.txt says.
"""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.backend.base import Backend
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests

from embedx import backend
from embedx.errors import ConfigError, EmbedxError, InputError, UnsupportedOpError
from embedx.ops import resolve
from tests.models import model

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
            found = backend.prepare(model).run(inputs)
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


# The backend itself.


def test_the_suite_runs_the_module_as_a_backend() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite = BackendTest(backend, __name__)
    wanted = ("test_add_cpu", "test_split_equal_parts_1d_opset13_cpu", "test_identity_sequence_cpu")
    missing = "test_image_decoder_decode_bmp_rgb_cpu"
    case = suite.test_cases["OnnxBackendNodeModelTest"]
    passed = unittest.TestSuite(case(name) for name in wanted).run(unittest.TestResult())
    assert passed.wasSuccessful()
    failed = unittest.TestSuite([case(missing)]).run(unittest.TestResult())
    assert [name.id().rpartition(".")[2] for name, _ in failed.errors] == [missing]
    assert "UnsupportedOpError" in failed.errors[0][1]
    skipped = unittest.TestSuite([case("test_add_cuda")]).run(unittest.TestResult())
    assert len(skipped.skipped) == 1


def two_inputs() -> onnx.ModelProto:
    return model(
        "agraph (float[2] x, float[2] w) => (float[2] y, float[2] z) <float[2] w = {2, 4}>"
        "{ y = Mul(x, w) z = Add(x, w) }"
    )


X, W = np.array([1, 2], np.float32), np.array([10, 20], np.float32)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (X, [2, 8]), ([X], [2, 8]), ({"x": X}, [2, 8]), ([X, W], [10, 40]), ((X, W), [10, 40]),
        ({"w": W, "x": X}, [10, 40]),
    ],
)  # fmt: skip
def test_feeds_by_name_and_in_order(inputs: Any, expected: list[float]) -> None:
    outputs = backend.run_model(two_inputs(), inputs)
    assert isinstance(outputs, tuple)
    assert outputs[0].tolist() == outputs["y"].tolist() == expected  # type: ignore[call-overload]
    assert len(outputs) == 2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="got 3 inputs, the model has 1"):
        backend.run_model(two_inputs(), [X, X, X])
    with pytest.raises(InputError, match="got 3 inputs, the node has a, b"):
        backend.run_node(helper.make_node("Add", ["a", "b"], ["c"]), [X, X, X])
    with pytest.raises(ConfigError, match="'CUDA'"):
        backend.prepare(two_inputs(), "CUDA")


def test_models_with_unknown_operators_are_not_compatible() -> None:
    unknown = model("agraph (float[2] x) => (float[2] y) { y = Unknown(x) }")
    assert backend.is_compatible(two_inputs())
    assert not backend.is_compatible(unknown)
    assert issubclass(backend.EmbedxBackend, Backend)
    assert [backend.supports_device(d) for d in ("CPU", "CPU:0", "CUDA")] == [True, True, False]
    with pytest.raises(UnsupportedOpError, match="Unknown"):
        backend.prepare(unknown)


def test_single_nodes() -> None:
    clip = helper.make_node("Clip", ["x", "", "high"], ["y"])
    high = np.array(1.5, np.float32)
    for inputs in ([X, high], [X, None, high], {"x": X, "high": high}):
        assert backend.run_node(clip, inputs)[0].tolist() == [1, 1.5]
    twice = helper.make_node("Add", ["x", "x"], ["y"])
    assert backend.run_node(twice, [X, X])[0].tolist() == [2, 4]
    top = helper.make_node("TopK", ["x", "k"], ["", "places"])
    (places,) = backend.run_node(top, [X, np.array([1])])
    assert places.tolist() == [1]
    softmax = helper.make_node("Softmax", ["x"], ["y"])
    halves = np.zeros((2, 1, 2), np.float32)
    older = backend.run_node(softmax, halves, opset_version=11)[0]
    assert (older[0, 0, 0], backend.run_node(softmax, halves)[0][0, 0, 0]) == (0.5, 0.5)
    square = np.zeros((1, 2, 2), np.float32)
    assert backend.run_node(softmax, square, opset_version=11)[0][0, 0, 0] == 0.25
