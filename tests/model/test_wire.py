"""Weights are cut out of a model's bytes, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, numpy_helper

from embedx.errors import ModelError
from embedx.model.onnx_file import read_model
from embedx.model.wire import without_weights
from embedx.run.engine import Engine
from tests.models import model

LARGE = np.arange(2000, dtype=np.float32)


def adding(*weights: np.ndarray) -> ModelProto:
    terms = ", ".join(f"w{i}" for i in range(len(weights)))
    proto = model(f"g (float[N] x) => (float[N] z) {{ z = Sum(x, {terms}) }}")
    for i, weight in enumerate(weights):
        proto.graph.initializer.append(numpy_helper.from_array(weight, f"w{i}"))
    return proto


def test_large_weights_are_views_of_the_bytes_and_small_ones_stay() -> None:
    small = np.ones(2000, np.float32)[:1]
    data = adding(LARGE, small, -LARGE).SerializeToString()
    rest, raw = without_weights(memoryview(data))
    assert len(rest) < 1000
    assert set(raw) == {0, 2}
    assert np.shares_memory(np.frombuffer(raw[2], np.uint8), np.frombuffer(data, np.uint8))
    graph = read_model(data)
    np.testing.assert_array_equal(graph.initializers["w0"], LARGE)
    np.testing.assert_array_equal(graph.initializers["w2"], -LARGE)
    x = np.zeros(2000, np.float32)
    np.testing.assert_array_equal(Engine(data).run([x])[0], np.ones(2000))


@given(st.binary(max_size=60))
def test_what_is_no_message_comes_back_whole(data: bytes) -> None:
    rest, raw = without_weights(memoryview(data))
    assert rest == data
    assert not raw


@given(st.data())
def test_a_file_that_is_cut_off_or_damaged_is_refused_or_read(data: st.DataObject) -> None:
    whole = adding(LARGE).SerializeToString()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ModelError):
        read_model(cut)
    place = data.draw(st.integers(0, 120))
    damaged = bytearray(whole)
    damaged[place] = data.draw(st.integers(0, 255))
    try:
        read_model(bytes(damaged))
    except ModelError:
        pass


def test_data_given_twice_is_still_seen() -> None:
    proto = adding(LARGE)
    proto.graph.initializer[0].float_data.extend([1.0])
    with pytest.raises(ModelError, match="has its data twice: float_data, raw_data"):
        read_model(proto.SerializeToString())
    tensor = TensorProto(name="w", dims=[2000], data_type=1, raw_data=LARGE.tobytes())
    field = (
        tensor.SerializeToString() + TensorProto(raw_data=(-LARGE).tobytes()).SerializeToString()
    )
    rest, raw = without_weights(memoryview(field))
    assert (rest, raw) == (field, {})


def test_two_graphs_are_merged_by_the_parser() -> None:
    data = adding(LARGE).SerializeToString()
    rest, raw = without_weights(memoryview(data + data))
    assert (rest, raw) == (data + data, {})
