"""One value in a file: read back as onnx writes it, written as onnx reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from embedx.errors import InputError
from embedx.model.graph import MapType, OptionalType, SequenceType, TensorType, Type
from embedx.model.value_file import read_value, write_value
from embedx.ops import Array


def floats(values: Any) -> Array:
    return np.array(values, np.float32)


FLOATS = TensorType(np.dtype(np.float32))
INTEGERS = TensorType(np.dtype(np.int64))
TENSORS = [
    floats([[1.5, np.nan], [-0.0, np.inf]]),
    np.array(7),
    np.zeros((2, 0, 3), np.uint8),
    np.array([True, False]),
    np.array(["a", "", "ä"], object),
    np.array([1 + 2j], np.complex64),
    np.array([1.5, -3], ml_dtypes.bfloat16),
    np.array([-8, 7, 3], ml_dtypes.int4),
    np.array([0.5, 448], ml_dtypes.float8_e4m3fn),
]


def saved(tmp_path: Path, proto: Any) -> Path:
    path = tmp_path / "input_0.pb"
    path.write_bytes(proto.SerializeToString())
    return path


def same(a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return isinstance(a, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if b is None:
        return a is None
    x, y = np.asarray(a), np.asarray(b)
    equal = x.tolist() == y.tolist() if x.dtype == object else x.tobytes() == y.tobytes()
    return (x.dtype, x.shape) == (y.dtype, y.shape) and equal


@pytest.mark.parametrize("array", TENSORS, ids=lambda a: a.dtype.name)
def test_tensors_are_read_as_onnx_writes_them_and_the_other_way(array: Any, tmp_path: Path) -> None:
    name, found = read_value(saved(tmp_path, numpy_helper.from_array(array, "x")))
    assert name == "x"
    assert same(found, array)
    assert isinstance(found, np.ndarray)
    assert found.flags.writeable
    write_value(tmp_path / "output_0.pb", "y", array)
    proto = onnx.TensorProto.FromString((tmp_path / "output_0.pb").read_bytes())
    theirs = numpy_helper.to_array(proto)
    assert proto.name == "y"
    assert same(theirs.astype(object) if array.dtype == object else theirs, array)


@pytest.mark.parametrize(
    ("proto", "kind", "value"),
    [
        (
            numpy_helper.from_list([floats([1]), floats([])], "s"),
            SequenceType(FLOATS),
            [floats([1]), floats([])],
        ),
        (onnx.SequenceProto(name="s", elem_type=1), SequenceType(FLOATS), []),
        (
            numpy_helper.from_list([[np.array([1])], []], "s", onnx.SequenceProto.SEQUENCE),
            SequenceType(SequenceType(INTEGERS)),
            [[np.array([1])], []],
        ),
        (numpy_helper.from_optional(np.array(3), "o"), OptionalType(INTEGERS), np.array(3)),
        (numpy_helper.from_optional(None, "o", 1), OptionalType(INTEGERS), None),
        (
            numpy_helper.from_dict({1: np.array(2.0), 7: np.array(-1.0)}, "m"),
            MapType(np.dtype(np.int64), TensorType(np.dtype(np.float64))),
            {1: np.float64(2), 7: np.float64(-1)},
        ),
    ],
)
def test_other_kinds_are_read_and_written(
    proto: Any, kind: Type, value: Any, tmp_path: Path
) -> None:
    assert same(read_value(saved(tmp_path, proto), kind)[1], value)
    write_value(tmp_path / "again.pb", proto.name, value, kind)
    again = type(proto).FromString((tmp_path / "again.pb").read_bytes())
    assert (again.name, again.SerializeToString()) == (proto.name, proto.SerializeToString())


def test_maps_with_texts_for_keys(tmp_path: Path) -> None:
    kind = SequenceType(MapType(np.dtype(object), FLOATS))
    value = [{"a": 1.5, "ä": np.float32(2)}, {}]
    write_value(tmp_path / "m.pb", "m", value, kind)
    expected = [{"a": np.float32(1.5), "ä": np.float32(2)}, {}]
    assert same(read_value(tmp_path / "m.pb", kind)[1], expected)


@pytest.mark.parametrize(
    ("proto", "kind", "said"),
    [
        (onnx.TensorProto(name="x", data_type=1, dims=[10**15]), None, "'x'"),
        (onnx.TensorProto(name="x", data_type=99, dims=[1]), None, "'x'"),
        (
            onnx.TensorProto(data_type=1, dims=[10**6, 10**9], raw_data=b"1234"),
            None,
            "without a name",
        ),
        (
            onnx.TensorProto(
                name="x", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL,
                external_data=[onnx.StringStringEntryProto(key="location", value="/etc/passwd")],
            ),
            None,
            "'x'",
        ),
        (
            onnx.SequenceProto(name="s", map_values=[onnx.MapProto()]),
            SequenceType(FLOATS),
            "map_values, expected tensor_values",
        ),
        (
            onnx.MapProto(name="m", keys=[1, 1], values=onnx.SequenceProto()),
            MapType(np.dtype(np.int64), FLOATS),
            "'m' has 1 different keys and 0 values",
        ),
    ],
)  # fmt: skip
def test_what_a_file_claims_is_not_believed(
    proto: Any, kind: Type, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_value(saved(tmp_path, proto), kind)
    assert "input_0.pb" in str(caught.value)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pb"
    path.write_bytes(data)
    kinds: tuple[Type, ...] = (
        FLOATS, SequenceType(FLOATS), OptionalType(SequenceType(FLOATS)),
        MapType(np.dtype(object), FLOATS),
    )  # fmt: skip
    for kind in kinds:
        try:
            read_value(path, kind)
        except InputError as error:
            assert "any.pb" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ([floats([1])], FLOATS, "expected a tensor, got list"),
        (floats([1]), SequenceType(FLOATS), "expected a sequence, got ndarray"),
        (None, MapType(np.dtype(np.int64), FLOATS), "expected a map, got NoneType"),
        (np.array(["2020-01-01"], "M8[D]"), None, "no element type"),
    ],
)
def test_what_no_file_can_hold_is_refused(
    value: Any, kind: Type, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        write_value(tmp_path / "x.pb", "x", value, kind)
    assert not (tmp_path / "x.pb").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pb"):
        read_value(tmp_path / "nowhere.pb")
    with pytest.raises(InputError, match="no regular file"):
        read_value(tmp_path)
