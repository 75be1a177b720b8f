"""Every operator gives what its golden cases say, in each precision that rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedx import Engine, ToleranceError
from embedx.difference import CLOSE, EXACT, ROUNDING, Tolerance, compare, ulps
from embedx.model.graph import Node
from embedx.ops import Array, resolve
from embedx.oracle.golden import Case, check, decode, read_cases, tolerance_of
from embedx.run.binding import Precision, bind

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = [case for path in sorted(GOLDEN.glob("ops/*.json")) for case in read_cases(path)]


def named(cases: list[Case]) -> Iterator[Any]:
    for case in cases:
        yield pytest.param(case, id=f"{case.operator}-{case.id}")


def bound(case: Case, precision: Precision) -> Callable[..., Any]:
    """The operator at the case's opset, with its attributes, as an engine would call it."""
    node = Node(
        case.name,
        tuple("" if x is None else f"x{i}" for i, x in enumerate(case.inputs)),
        tuple("" if y is None else f"y{i}" for i, y in enumerate(case.outputs)),
        case.attributes,
        case.domain,
        opset=case.opset,
    )
    return bind(node, precision)


def expected_tolerance(case: Case, precision: Precision) -> Tolerance:
    """Computed in float64 and rounded once, a narrower float is the one that is nearest."""
    entry = resolve(case.name, case.opset, case.domain)
    wide = any(getattr(y, "dtype", None) == np.float64 for y in case.outputs)
    nearest = precision == "exact" and entry.rounds and case.oracle.startswith("mpmath")
    return EXACT if nearest and not wide else tolerance_of(entry)


@pytest.mark.parametrize("precision", ["native", "exact"])
@pytest.mark.parametrize("case", list(named([case for case in CASES if case.model is None])))
def test_operator(case: Case, precision: Precision) -> None:
    check(case, bound(case, precision), expected_tolerance(case, precision))


@pytest.mark.parametrize("precision", ["native", "exact"])
@pytest.mark.parametrize("case", list(named([case for case in CASES if case.model is not None])))
def test_model(case: Case, precision: Precision) -> None:
    folder = GOLDEN / "models" / str(case.model)
    proto = onnx.load(folder / "model.onnx")
    inputs = read_data(folder, "input", proto.graph.input)
    outputs = Engine(folder / "model.onnx", precision=precision).run(inputs)
    expected = read_data(folder, "output", proto.graph.output)
    for place, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
        compare(ours, theirs, ROUNDING, f"{case.model}, output {place}")


def read_data(folder: Path, kind: str, edges: Any) -> list[Any]:
    """The tensors, sequences and optionals beside a golden model."""
    return [
        read_value((folder / f"test_data_set_0/{kind}_{i}.pb").read_bytes(), edge.type)
        for i, edge in enumerate(edges)
    ]


def read_value(data: bytes, kind: Any) -> Any:
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    if kind.HasField("sequence_type"):
        items = numpy_helper.to_list(onnx.SequenceProto.FromString(data))
        return [as_map(item) if isinstance(item, dict) else item for item in items]
    if kind.HasField("map_type"):
        return as_map(numpy_helper.to_dict(onnx.MapProto.FromString(data)))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def as_map(found: dict[Any, Array]) -> dict[Any, Any]:
    """With texts for keys that are bytes, and scalars for values."""
    return {k.decode() if isinstance(k, bytes) else k: v[()] for k, v in found.items()}


# The reader and the comparison themselves.


def one_case(tmp_path: Path, **entry: Any) -> Case:
    path = tmp_path / "com.microsoft.Gelu.json"
    path.write_text(json.dumps([{"id": "one", "opset": 1, "oracle": "nobody", **entry}]))
    (case,) = read_cases(path)
    return case


def test_case_is_read_with_domain_and_attributes_as_onnx_stores_them(tmp_path: Path) -> None:
    attributes = {"alpha": 0.1, "axes": [1, 2], "mode": "fast", "value": {"int8[]": [3]}}
    case = one_case(tmp_path, inputs=[{"float32[0,2]": []}, None], attributes=attributes)
    assert (case.domain, case.name, case.opset) == ("com.microsoft", "Gelu", 1)
    assert case.attributes["alpha"] == float(np.float32(0.1))
    assert case.attributes["axes"] == (1, 2)
    assert case.attributes["value"] == np.int8(3)
    assert [getattr(x, "shape", None) for x in case.inputs] == [(0, 2), None]


@pytest.mark.parametrize(
    ("text", "dtype", "values"),
    [
        ('{"bool[2]": [true, false]}', "bool", [True, False]),
        ('{"uint64[1]": [18446744073709551615]}', "uint64", [2**64 - 1]),
        ('{"int64[1]": [-9007199254740993]}', "int64", [-(2**53) - 1]),
        ('{"float32[2]": [1e-45, "-Infinity"]}', "float32", [1e-45, -np.inf]),
        ('{"bfloat16[1]": [3.0]}', "bfloat16", [3.0]),
        ('{"float8_e4m3fn[1]": [448.0]}', "float8_e4m3fn", [448.0]),
        ('{"int4[2]": [-8, 7]}', "int4", [-8, 7]),
        ('{"string[2]": ["NaN", ""]}', "object", ["NaN", ""]),
    ],
)
def test_tensors_are_decoded_in_every_type(text: str, dtype: str, values: list[Any]) -> None:
    array = decode(json.loads(text))
    assert isinstance(array, np.ndarray)
    assert array.dtype.name == dtype
    assert array.tolist() == np.array(values).astype(array.dtype).tolist()


def f32(values: list[float]) -> Array:
    return np.array(values, np.float32)


ONE = f32([1, 2, 3])
NAN, INF = f32([1, np.nan, 3]), f32([1, np.inf, 3])


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (ONE.astype("float64"), ONE, "is float64\\[3\\], expected float32\\[3\\]"),
        (ONE[:2], ONE, "is float32\\[2\\], expected float32\\[3\\]"),
        (None, ONE, "is nothing, expected"),
        ([ONE], [ONE, ONE], "is a sequence of 1, expected a sequence of 2"),
        ([ONE, ONE + 1], [ONE, ONE], r"item 1, element \[0\]: 2.0 instead of 1.0"),
        (ONE, NAN, r"element \[1\]: 2.0 instead of nan$"),
        (NAN, ONE, r"element \[1\]: nan instead of 2.0$"),
        (f32([1, 3.4028235e38, 3]), INF, "instead of inf$"),
        (-INF, INF, r"element \[0\]: -1.0 instead of 1.0 .*; 3 of 3 elements differ"),
        (np.array(["a"], object), np.array(["b"], object), "a instead of b"),
        (np.array(7), np.array(8), r"element \[\]: 7 instead of 8$"),
    ],
)
def test_what_differs_is_named(actual: Any, expected: Any, message: str) -> None:
    with pytest.raises(ToleranceError, match=message):
        compare(actual, expected, CLOSE)


def test_tolerances_count_units_in_the_last_place() -> None:
    four_off = ONE.view(np.int32) + 4
    compare(four_off.view(np.float32), ONE, ROUNDING)
    with pytest.raises(ToleranceError, match="5 ulp, ROUNDING allows 4"):
        compare((four_off + 1).view(np.float32), ONE, ROUNDING)


def test_close_forgives_what_cancellation_costs_and_no_more() -> None:
    expected = f32([1e-9, 1])
    compare(f32([1e-9 + 4 * 2**-23, 1]), expected, CLOSE)
    with pytest.raises(ToleranceError, match=r"element \[0\]"):
        compare(f32([1e-9 + 5 * 2**-23, 1]), expected, CLOSE)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_distance_crosses_zero(dtype: str) -> None:
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    smallest = ml_dtypes.finfo(kind).smallest_subnormal
    pairs = np.array([[smallest, -smallest], [0.0, -0.0], [np.nan, -np.nan]], kind)
    assert ulps(pairs[:, 0], pairs[:, 1]).tolist() == [2, 0, 0]


def test_narrow_floats_must_be_equal() -> None:
    import ml_dtypes

    x = np.array([0.5, 2.0], ml_dtypes.float8_e8m0fnu)
    compare(x, x, CLOSE)
    with pytest.raises(ToleranceError):
        compare(x, x[::-1], CLOSE)
