"""JSON that is written by hand is what json writes, to the last digit."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedx.model.graph import Array
from embedx.server import answers
from embedx.server.answers import array_json, base64_json, json_response, object_json

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, min_side=0), elements=FINITE)


@given(ARRAYS)
def test_each_float32_is_told_in_full(array: Array) -> None:
    assert json.loads(array_json(array)) == array.astype(np.float64).tolist()


def test_long_rows_are_written_in_pieces() -> None:
    array = np.random.default_rng(0).standard_normal(3 * answers._PIECE + 1).astype(np.float32)
    assert json.loads(array_json(array)) == array.tolist()


@given(ARRAYS)
def test_base64_is_little_endian(array: Array) -> None:
    data = base64.b64decode(json.loads(base64_json(array.T)), validate=True)
    numbers = struct.unpack(f"<{array.size}f", data)
    assert list(numbers) == array.T.reshape(-1).tolist()


PLAIN: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.text() | FINITE


@given(st.dictionaries(st.text(), PLAIN), st.dictionaries(st.text(), st.lists(PLAIN)))
def test_objects_hold_what_they_are_given(known: Any, written: Any) -> None:
    text = object_json(known, {key: json.dumps(value) for key, value in written.items()})
    assert json.loads(text) == {**known, **written}


def test_answers_are_json() -> None:
    response = json_response('{"a":"é"}')
    assert response.headers["content-type"] == "application/json"
    assert json.loads(bytes(response.body)) == {"a": "é"}
