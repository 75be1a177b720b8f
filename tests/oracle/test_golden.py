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

from embedx import Engine
from embedx.difference import EXACT, ROUNDING, Tolerance, compare
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
