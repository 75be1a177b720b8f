"""What holds for every operator: the types of its results, and that its inputs stay as they are."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.ops import Array, Op, dtype_of, registered
from embedx.ops._rounding import rounded
from tests.assertions import assert_close, assert_equal
from tests.ops.more_samples import MORE_SAMPLES
from tests.ops.samples import SAMPLES as FIRST_SAMPLES
from tests.strategies import FLOATS, HALVES, LAYOUTS, STRING, DType

SAMPLES = {**FIRST_SAMPLES, **MORE_SAMPLES}
OPERATORS = {entry.title: entry for entry in registered()}
MAPS = {"ai.onnx.ml::ZipMap-1", "ai.onnx.ml::DictVectorizer-1", "ai.onnx.ml::CastMap-1"}
SUBGRAPHS = {"If-1", "Loop-1", "Scan-8", "Scan-9", "SequenceMap-17"}  # typed by their bodies
RANDOM = {title for title in SAMPLES if title.startswith("Random")}
# Their types depend on each other, or on attributes.
COUPLED = {
    "BitCast-26",
    "SequenceInsert-11",
    "ai.onnx.ml::CategoryMapper-1",
    "ai.onnx.ml::LabelEncoder-2",
}
# Of what ONNX tried out no schema is left.
GONE = {t for t, e in OPERATORS.items() if e.formula.__module__.endswith(".experimental")}
GONE.add("MeanVarianceNormalization-1")
TYPES = {name.lower(): code for name, code in onnx.TensorProto.DataType.items() if code}
UNSUPPORTED = {"complex64", "complex128"}


def flat(values: Any) -> Iterator[Array]:
    """The arrays among inputs or results, those in sequences too."""
    for value in values:
        if isinstance(value, list):
            yield from flat(value)
        elif value is not None:
            yield value


def results(entry: Op, inputs: list[Any]) -> list[Any]:
    with np.errstate(all="ignore"):
        found = entry.function(*inputs, **SAMPLES[entry.title][1])
    return list(found) if isinstance(found, tuple) else [found]


def converted(value: Any, dtype: DType) -> Any:
    if isinstance(value, list):
        return [converted(v, dtype) for v in value]
    return value.astype(np.str_).astype(object) if dtype == STRING else value.astype(dtype)


def schema_of(entry: Op) -> Any:
    """The newest schema that the function serves."""
    later = [e.since for e in registered() if e.name == entry.name and e.since > entry.since]
    end = min([*later, entry.until or onnx.defs.onnx_opset_version() + 1])
    return onnx.defs.get_schema(entry.name, end - 1, entry.domain)


def formal(parameters: Any, place: int) -> str:
    """The type, or the name of the type, of an input or output; the last one may be variadic."""
    return str(parameters[min(place, len(parameters) - 1)].type_str)


def retyped(entry: Op) -> Iterator[tuple[list[Any], dict[str, DType]]]:
    """The sample with each of its type parameters in turn bound to each type that may be."""
    schema, inputs = schema_of(entry), SAMPLES[entry.title][0]
    names = [formal(schema.inputs, i) if schema.inputs else "" for i in range(len(inputs))]
    sampled = {name: next(flat([x])).dtype for name, x in zip(names, inputs, strict=True)}
    for constraint in schema.type_constraints:
        name = constraint.type_param_str
        for kind in constraint.allowed_type_strs if name in names else []:
            element = re.search(r"tensor\((\w+)\)", kind)
            if element is None or element[1] in UNSUPPORTED or kind.startswith("optional"):
                continue
            dtype = dtype_of(TYPES[element[1]])
            bound = {**sampled, name: dtype}
            yield [converted(x, bound[n]) for n, x in zip(names, inputs, strict=True)], bound


def test_every_operator_of_a_tested_module_has_a_sample() -> None:
    tested = {
        title
        for title, entry in OPERATORS.items()
        if find_spec(f"tests.ops.test_{entry.formula.__module__.rpartition('.')[2]}")
        and "microsoft" not in entry.formula.__module__
    }
    assert tested - SUBGRAPHS - MAPS <= set(SAMPLES) <= set(OPERATORS)


@pytest.mark.parametrize("title", SAMPLES)
def test_results_are_arrays_and_inputs_stay(title: str) -> None:
    inputs = SAMPLES[title][0]
    before = copy.deepcopy(inputs)
    for array in flat(inputs):
        array.flags.writeable = False
    found = results(OPERATORS[title], inputs)
    assert all(type(array) is np.ndarray for array in flat(found))
    for array, original in zip(flat(inputs), flat(before), strict=True):
        assert_equal(array, original)


@pytest.mark.parametrize("title", sorted(SAMPLES.keys() - COUPLED - GONE))
def test_results_have_the_types_of_the_schema(title: str) -> None:
    entry = OPERATORS[title]
    outputs = schema_of(entry).outputs
    for inputs, bound in retyped(entry):
        found = results(entry, inputs)
        for place, value in enumerate(found):
            kind = formal(outputs, place)
            fixed = re.fullmatch(r"tensor\((\w+)\)", kind)
            dtype = dtype_of(TYPES[fixed[1]]) if fixed else bound.get(kind)
            for array in flat([value]):
                assert dtype is None or array.dtype == dtype, (title, bound, place, array.dtype)


@pytest.mark.parametrize("title", sorted(SAMPLES.keys() - RANDOM))
def test_the_memory_layout_does_not_matter(title: str) -> None:
    inputs = SAMPLES[title][0]
    expected = list(flat(results(OPERATORS[title], inputs)))
    for layout in LAYOUTS:
        laid_out = [[*map(layout, x)] if isinstance(x, list) else layout(x) for x in inputs]
        found = flat(results(OPERATORS[title], laid_out))
        for array, other in zip(found, expected, strict=True):
            if other.dtype in FLOATS:  # sums may be taken in another order
                assert_close(array, other, other.dtype, floor=4)
            else:
                assert_equal(array, other)


@pytest.mark.parametrize("title", [t for t in SAMPLES if OPERATORS[t].rounds])
@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_are_computed_in_float32_and_rounded_once(title: str, half: DType) -> None:
    entry, (inputs, attributes) = OPERATORS[title], SAMPLES[title]
    narrow = [converted(x * 1.1, half) if x.dtype in FLOATS else x for x in inputs]
    wide = [converted(x, np.dtype(np.float32)) if x.dtype == half else x for x in narrow]
    with np.errstate(all="ignore"):
        formula = entry.formula(*wide, **attributes)
    expected = formula if isinstance(formula, tuple) else (formula,)
    places = range(len(expected)) if entry.rounds is True else entry.rounds
    assert isinstance(places, range | tuple)
    for i, (array, other) in enumerate(zip(results(entry, narrow), expected, strict=True)):
        assert_equal(array, rounded(other, half) if i in places else other)
