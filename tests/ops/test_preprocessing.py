"""Features of tables, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    array_feature_extractor,
    binarizer,
    category_mapper,
    feature_vectorizer,
    imputer,
    label_encoder,
    label_encoder_1,
    normalizer,
    one_hot_encoder,
    scaler,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole
from tests.oracles import elementwise
from tests.strategies import DType, shapes, tensors

F32 = np.dtype(np.float32)
TYPES: list[DType] = [F32, *map(np.dtype, (np.float64, np.int32, np.int64))]


@st.composite
def tables(draw: st.DrawFn) -> Array:
    shape = draw(shapes(min_rank=1, max_rank=2, min_side=1))
    return whole(draw, *shape, dtype=draw(st.sampled_from(TYPES)))


@given(tables(), st.data())
def test_features_are_extracted(x: Array, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, x.shape[-1] - 1), min_size=1, max_size=4))
    expected = np.stack([x.reshape(-1, x.shape[-1])[:, i] for i in places], axis=1)
    assert_equal(array_feature_extractor(x, np.array([places])), expected)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_beyond_the_features_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match="outside of an axis of size 3"):
        array_feature_extractor(np.zeros((2, 3)), np.array([index]))


@given(tables(), st.sampled_from([-1.0, 0.0, 0.5]))
def test_binarizer_compares(x: Array, threshold: float) -> None:
    expected = elementwise(lambda v: v > threshold, x, dtype=x.dtype)
    assert_equal(binarizer(x, threshold=threshold), expected)


@given(tables(), st.sampled_from(["MAX", "L1", "L2"]))
def test_normalizer_divides_each_row(x: Array, norm: str) -> None:
    found = normalizer(x, norm=norm)
    for row, line in zip(x.reshape(-1, x.shape[-1]), found.reshape(-1, x.shape[-1]), strict=True):
        values = row.tolist()
        divisor = {
            "MAX": max(values),
            "L1": sum(map(abs, values)),
            "L2": math.sqrt(sum(v * v for v in values)),
        }[norm]
        assert_close(line, [v / divisor if divisor else v for v in values], F32, ulps=1)


@given(tables(), st.booleans())
def test_scaler_shifts_and_scales(x: Array, each: bool) -> None:
    count = x.shape[-1] if each else 1
    offset, scale = tuple(range(count)), tuple(0.5 + n for n in range(count))
    exact = (x - np.array(offset, np.float64)) * np.array(scale)
    found = scaler(x, offset=tuple(map(float, offset)), scale=scale)
    assert_close(found, exact, F32, ulps=0.5)
    assert_close(scaler(x), x.astype(np.float64), F32)


@given(tables(), st.booleans())
def test_imputer_replaces_one_value(x: Array, each: bool) -> None:
    values = tuple(range(10, 10 + (x.shape[-1] if each else 1)))
    if x.dtype.kind == "f":
        holes = np.where(x == 1, np.nan, x).astype(x.dtype)
        found = imputer(
            holes, imputed_value_floats=tuple(map(float, values)), replaced_value_float=math.nan
        )
    else:
        found = imputer(x, imputed_value_int64s=values, replaced_value_int64=1)
    assert_equal(found, np.where(x == 1, np.array(values), x).astype(x.dtype))


@given(tables(), st.booleans())
def test_one_hot_encoder_marks_categories(x: Array, strings: bool) -> None:
    categories = (3, 0, -2)
    cells = x.astype(np.int64)
    expected = np.stack([cells == c for c in categories], axis=-1).astype(np.float32)
    if strings:
        words = cells.astype(str).astype(object)
        found = one_hot_encoder(words, cats_strings=tuple(map(str, categories)))
    else:
        found = one_hot_encoder(x, cats_int64s=categories)
    assert_equal(found, expected)


KEYS: dict[str, tuple[Any, Any]] = {
    # Kind of key, keys, and what to look up.
    "keys_floats": ((0.5, math.nan, 2.0, 0.5), np.array([[2, np.nan], [0.5, 7]], np.float32)),
    "keys_int64s": ((5, 7, 2, 5), np.array([[2, 7], [5, 9]])),
    "keys_strings": (("a", "b", "", "a"), np.array([["", "b"], ["a", "z"]], object)),
    "keys_tensor": (np.array([5, 7, 2, 5], np.int16), np.array([[2, 7], [5, 9]], np.int16)),
}
VALUES: dict[str, tuple[Any, Any, DType]] = {
    # Kind of value, values, default, and the type of the result.
    "values_floats": ((1.0, 2.0, 3.0, 4.0), {"default_float": 9.0}, F32),
    "values_int64s": ((1, 2, 3, 4), {"default_int64": 9}, np.dtype(np.int64)),
    "values_strings": (("1", "2", "3", "4"), {"default_string": "9"}, np.dtype(object)),
    "values_tensor": (
        np.array([1, 2, 3, 4.0]), {"default_tensor": np.array([9.0])}, np.dtype(np.float64)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("result", VALUES)
def test_label_encoder_looks_up(kind: str, result: str) -> None:
    keys, x = KEYS[kind]
    values, default, dtype = VALUES[result]
    found = label_encoder(x, **{kind: keys, result: values}, **default)
    # The last of the two equal keys counts; the last element has none.
    expected = np.array([[3, 2], [4, 9]])
    words = expected.astype(str).astype(object)
    assert_equal(found, words if dtype == object else expected.astype(dtype))


@given(
    st.dictionaries(st.integers(-3, 3), st.text("ab"), min_size=1),
    tensors(np.dtype(np.int64), low=-4, high=4),
)
def test_label_encoder_is_a_dictionary(labels: dict[int, str], x: Array) -> None:
    keys, values = tuple(labels), tuple(labels.values())
    found = label_encoder(x, keys_int64s=keys, values_strings=values, default_string="?")
    assert_equal(found, elementwise(lambda key: labels.get(key, "?"), x, dtype=object))


@pytest.mark.parametrize(
    ("result", "default"),
    [("values_floats", -0.0), ("values_int64s", -1), ("values_strings", "_Unused")],
)
def test_label_encoder_has_defaults(result: str, default: object) -> None:
    values, _, _ = VALUES[result]
    found = label_encoder(np.array([1]), keys_int64s=(5, 6, 7, 8), **{result: values})
    assert found.tolist() == [default]
    assert str(found[0]) == str(default)


@given(tensors(np.dtype(np.int64), shapes(), low=-1, high=3))
def test_label_encoder_1_goes_both_ways(x: Array) -> None:
    words = ("a", "b", "c")
    names = label_encoder_1(x, classes_strings=words, default_string="?")
    expected = elementwise(lambda i: words[i] if 0 <= i < 3 else "?", x, dtype=object)
    assert_equal(names, expected)
    places = label_encoder_1(names, classes_strings=words, default_int64=-7)
    assert_equal(places, np.where((x >= 0) & (x < 3), x, -7))


@given(
    st.lists(st.integers(-3, 3), min_size=1, unique=True),
    tensors(np.dtype(np.int64), low=-4, high=4),
)
def test_category_mapper_goes_both_ways(numbers: list[int], x: Array) -> None:
    pairs: dict[str, Any] = {
        "cats_int64s": tuple(numbers),
        "cats_strings": tuple(f"<{n}>" for n in numbers),
    }
    words = category_mapper(x, **pairs, default_string="?")
    expected = elementwise(lambda n: f"<{n}>" if n in numbers else "?", x, dtype=object)
    assert_equal(words, expected)
    found = category_mapper(words, **pairs, default_int64=9)
    assert_equal(found, elementwise(lambda n: n if n in numbers else 9, x, dtype=np.int64))


@given(st.data(), st.integers(0, 3), st.integers(1, 3))
def test_features_are_put_side_by_side(data: st.DataObject, rows: int, count: int) -> None:
    tails = [data.draw(shapes(min_rank=1)) for _ in range(count)]
    parts = [
        whole(data.draw, rows, *tail, dtype=data.draw(st.sampled_from(TYPES))) for tail in tails
    ]
    # A vector is one row.
    given = [p[0] if rows == 1 and p.ndim == 2 and data.draw(st.booleans()) else p for p in parts]
    expected = [[float(v) for part in parts for v in part[row].flat] for row in range(rows)]
    widths = tuple(math.prod(tail) for tail in tails)
    found = feature_vectorizer(*given, inputdimensions=widths)
    assert_equal(found, np.array(expected, np.float32).reshape(rows, sum(widths)))
    assert_equal(feature_vectorizer(*given), found)


X = np.zeros((2, 3))
INTS: dict[str, Any] = {"keys_int64s": (1,), "values_int64s": (1,)}


@pytest.mark.parametrize(
    ("function", "inputs", "attributes", "message"),
    [
        (normalizer, (X,), {"norm": "L3"}, "norm is one of"),
        (scaler, (X,), {"offset": (1.0, 2.0)}, "for 3 features"),
        (imputer, (X,), {"imputed_value_int64s": (1,)}, "0 values for 3 features"),
        (imputer, (X,), {"imputed_value_floats": (1.0, 2.0)}, "2 values for 3 features"),
        (one_hot_encoder, (X,), {"cats_int64s": (1,), "zeros": 0}, "none of the categories"),
        (one_hot_encoder, (X,), {}, "0 lists are given"),
        (label_encoder, (X,), {}, "0 lists are given"),
        (category_mapper, (np.array([1]),), {}, "0 keys for 0 values"),
        (category_mapper, (np.array([1]),), {"cats_int64s": (1, 2)}, "2 keys for 0 values"),
        (label_encoder, (X,), INTS | {"keys_floats": (1.0,)}, "2 lists are given"),
        (label_encoder, (X,), INTS | {"values_int64s": (1, 2)}, "1 keys for 2 values"),
        (feature_vectorizer, (X,), {"inputdimensions": (2,)}, "expected"),
        (feature_vectorizer, (X, np.array(1.0)), {}, "a scalar"),
        (feature_vectorizer, (X, X[:1]), {}, "dimensions"),
    ],
)
def test_refusals(
    function: Any, inputs: tuple[Any, ...], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(*inputs, **attributes)


def test_keys_have_the_type_of_x() -> None:
    with pytest.raises(TypeError, match="of another type"):
        label_encoder(np.array(["1"], object), **INTS)
