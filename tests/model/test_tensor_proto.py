"""Tensors of every type, from either field, dense and sparse."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper, numpy_helper

from embedx.errors import ModelError
from embedx.model.graph import SparseTensor
from embedx.model.onnx_file import read_model
from embedx.run.engine import Engine
from tests.model.protos import NEG, edited, tensor_with
from tests.models import model


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, -2], np.float32),
        np.array([1.5, -2], np.float16),
        np.array([1, -2], np.int8),
        np.array([1, 2], np.uint64),
        np.array([True, False]),
        np.array(["a", "é"], object),
        np.array([1 + 2j, 3], np.complex64),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([1.5, -2], ml_dtypes.float8_e4m3fn),
        np.array([-8, 7, 3], ml_dtypes.int4),
        np.array([15, 7, 3], ml_dtypes.uint4),
        np.array([1.5, -6, 0], ml_dtypes.float4_e2m1fn),
        np.zeros((0, 3), np.float32),
    ],
    ids=lambda a: a.dtype.name,
)
@pytest.mark.parametrize("raw", [True, False])
def test_every_element_type_is_read_from_either_field(array: Any, raw: bool) -> None:
    tensor = numpy_helper.from_array(array, "w")
    if not raw and tensor.HasField("raw_data"):
        tensor = helper.make_tensor("w", tensor.data_type, array.shape, array.flatten())
    proto = model(NEG)
    proto.graph.initializer.append(tensor)
    found = read_model(proto).initializers["w"]
    assert isinstance(found, np.ndarray)
    assert found.dtype == (object if array.dtype.kind == "O" else array.dtype)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found.astype(object), array.astype(object))


def test_a_bool_stored_as_two_is_true() -> None:
    proto = edited(tensor_with(dims=[2], data_type=9, raw_data=b"\x02\x00"))
    found = read_model(proto).initializers["w"]
    assert isinstance(found, np.ndarray)
    assert found.view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_initializers_in_both_index_layouts(linear: bool) -> None:
    dense = np.array([[0, 1.5, 0], [0, 0, -2]], np.float32)
    indices = np.array([1, 5]) if linear else np.array([[0, 1], [1, 2]])
    values = numpy_helper.from_array(dense[dense != 0], "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "i"), [2, 3])
    proto = model("g (float[2,2] x) => (float[2,3] z) { z = MatMul(x, w) }")
    proto.graph.sparse_initializer.append(sparse)
    found = read_model(proto).initializers["w"]
    assert isinstance(found, SparseTensor)
    np.testing.assert_array_equal(found.dense(), dense)
    x = np.eye(2, dtype=np.float32)
    np.testing.assert_array_equal(Engine(proto).run([x])[0], dense)


@pytest.mark.parametrize("indices", [[1, 9], [-1, 2], [2, 2], [5, 1], [1]])
def test_sparse_indices_must_ascend_inside_the_shape(indices: list[int]) -> None:
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    places = numpy_helper.from_array(np.array(indices), "i")
    proto = model("g (float[2,2] x) => (float[2,3] z) { z = MatMul(x, w) }")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    with pytest.raises(ModelError, match="indices"):
        read_model(proto)
