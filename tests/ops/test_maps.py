"""Maps as Python dicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Budget, OverBudgetError, cast_map, dict_vectorizer, spending, zip_map
from tests.assertions import assert_equal
from tests.ops.windows import whole

words = st.lists(st.text("abé", max_size=2), min_size=1, max_size=4, unique=True)
integers = st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True)


@given(st.data(), words | integers, st.integers(0, 3))
def test_zip_map_labels_columns(data: st.DataObject, keys: list[Any], rows: int) -> None:
    x = whole(data.draw, rows, len(keys)) / np.float32(3)
    kind = "strings" if isinstance(keys[0], str) else "int64s"
    found = zip_map(x, **{f"classlabels_{kind}": tuple(keys)})
    assert found == [dict(zip(keys, map(float, row), strict=True)) for row in x]
    assert all(type(value) is float for row in found for value in row.values())
    if rows == 1:
        assert zip_map(x[0], **{f"classlabels_{kind}": tuple(keys)}) == found


@given(st.data(), words | integers)
def test_dict_vectorizer_follows_its_vocabulary(data: st.DataObject, keys: list[Any]) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int64, object]))
    texts = dtype is object
    some = data.draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
    numbers = {key: data.draw(st.integers(-9, 9)) for key in some}
    x = {key: str(n) if texts else np.dtype(dtype).type(n) for key, n in numbers.items()}
    kind = "string" if isinstance(keys[0], str) else "int64"
    found = dict_vectorizer(x, **{f"{kind}_vocabulary": tuple(keys)})
    row = [x.get(key, "" if texts else 0) for key in keys]
    assert_equal(found, np.array([row], dtype))


@given(st.dictionaries(st.integers(0, 5), st.integers(-9, 9).map(lambda n: n / 2), min_size=1))
def test_cast_map_orders_by_keys(x: dict[int, float]) -> None:
    dense = [x[key] for key in sorted(x)]
    sparse = [x.get(key, 0) for key in range(6)]
    for form, row in (("DENSE", dense), ("SPARSE", sparse)):
        found = cast_map(x, map_form=form, max_map=6)
        assert_equal(found, np.array([row], np.float32))
        whole = cast_map(x, map_form=form, max_map=6, cast_to="TO_INT64")
        assert_equal(whole, np.array([[int(v) for v in row]]))  # towards zero
    texts = cast_map({key: str(value) for key, value in x.items()}, map_form="DENSE")
    assert_equal(texts, np.array([dense], np.float32))


def test_cast_map_writes_numbers_as_c_does() -> None:
    found = cast_map({1: 0.5, 0: 2.0}, cast_to="TO_STRING")
    assert_equal(found, np.array([["2.000000", "0.500000"]], object))
    kept = cast_map({3: "é", 1: "a"}, cast_to="TO_STRING", map_form="SPARSE", max_map=4)
    assert_equal(kept, np.array([["", "a", "", "é"]], object))


def test_maps_of_nothing() -> None:
    assert_equal(dict_vectorizer({}, int64_vocabulary=(1, 2)), np.zeros((1, 2), np.float32))
    assert_equal(cast_map({}), np.zeros((1, 0), np.float32))
    assert_equal(cast_map({}, map_form="SPARSE", max_map=2), np.zeros((1, 2), np.float32))


X = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("function", "x", "attributes", "message"),
    [
        (zip_map, X, {"classlabels_int64s": (1,)}, "1 labels for columns of"),
        (zip_map, X[None], {"classlabels_int64s": (1, 2)}, "2 labels for columns of"),
        (zip_map, X, {}, "the labels must be given"),
        (dict_vectorizer, {"b": 1}, {"string_vocabulary": ("a",)}, "'b' is not in the vocabulary"),
        (dict_vectorizer, {1: 1}, {}, "the labels must be given"),
        (cast_map, {2: 1.0}, {"map_form": "SPARSE", "max_map": 2}, "outside of a row of 2"),
        (cast_map, {-1: 1.0}, {"map_form": "SPARSE", "max_map": 2}, "outside of a row of 2"),
        (cast_map, {1: 1.0}, {"map_form": "LOOSE"}, "map_form 'LOOSE'"),
        (cast_map, {1: 1.0}, {"cast_to": "TO_BOOL"}, "cast_to is 'TO_BOOL'"),
        (cast_map, {1: "one"}, {}, "could not convert string"),
        (cast_map, {}, {"map_form": "SPARSE", "max_map": -1}, "negative dimension"),
    ],
)
def test_refusals(function: Any, x: Any, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(x, **attributes)


def test_sizes_are_reserved() -> None:
    with spending(Budget(max_bytes=1000)):
        with pytest.raises(OverBudgetError, match="a value of shape"):
            cast_map({0: 1.0}, map_form="SPARSE", max_map=2**40)
        with pytest.raises(OverBudgetError, match="a value of shape"):
            zip_map(np.zeros((99, 2), np.float32), classlabels_int64s=(1, 2))
