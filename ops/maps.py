"""ONNX maps: Python dicts from int or str to numbers, or from int to str."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._budget import reserve, timed
from ._registry import ML, op
from ._typing import Array
from .prediction import labels_of


@op("ZipMap", since=1, domain=ML)
def zip_map(
    x: Array,
    /,
    *,
    classlabels_int64s: tuple[int, ...] | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
) -> list[dict[Any, float]]:
    """A list with a dict for each row: its numbers by the labels of the columns.

    A 1-D X is one row. Raises ValueError unless there is one label per column.

    >>> zip_map(np.array([[0.25, 0.75]]), classlabels_strings=("no", "yes"))
    [{'no': 0.25, 'yes': 0.75}]

    Spec: ai.onnx.ml ZipMap-1.
    """
    keys = labels_of(classlabels_int64s, classlabels_strings).tolist()
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    if rows.ndim != 2 or rows.shape[1] != len(keys):
        raise ValueError(f"{len(keys)} labels for columns of {x.shape}")
    reserve((*rows.shape, 8), np.float64)  # an entry takes at least 8 words
    return [dict(zip(keys, row.tolist(), strict=True)) for row in timed(rows)]


@op("DictVectorizer", since=1, domain=ML)
def dict_vectorizer(
    x: Mapping[Any, Any],
    /,
    *,
    int64_vocabulary: tuple[int, ...] | None = None,
    string_vocabulary: tuple[str, ...] | None = None,
) -> Array:
    """The values of a dict as one row, in the order of the vocabulary; 0 (or "") where missing.

    The result has the NumPy dtype of the values. Raises ValueError for a key that is not in the
    vocabulary, and unless exactly one vocabulary is given.

    >>> dict_vectorizer({"a": 4, "c": 8}, string_vocabulary=("a", "c", "b", "z"))
    array([[4, 8, 0, 0]])

    Spec: ai.onnx.ml DictVectorizer-1, whose row has no axis in front of it; all writers have one.
    """
    words = labels_of(int64_vocabulary, string_vocabulary).tolist()
    unknown = x.keys() - set(words)
    if unknown:
        raise ValueError(f"the key {next(iter(unknown))!r} is not in the vocabulary")
    values = _values(x, list(x))
    table = np.append(values, "" if values.dtype == object else values.dtype.type(0))
    places = {key: place for place, key in enumerate(x)}
    return table[[places.get(word, -1) for word in timed(words)]].reshape(1, -1)


def _values(x: Mapping[Any, Any], keys: list[Any]) -> Array:
    """The values of some keys, as float32 if there are none; strings as objects."""
    found = np.array([x[key] for key in keys], None if keys else np.float32)
    return found.astype(object) if found.dtype.kind in "UT" else found


@op("CastMap", since=1, domain=ML)
def cast_map(
    x: Mapping[int, Any],
    /,
    *,
    cast_to: str = "TO_FLOAT",
    map_form: str = "DENSE",
    max_map: int = 1,
) -> Array:
    """The values of a dict as one row, in the order of its keys, as float32, int64 or strings.

    ``cast_to`` is "TO_FLOAT", "TO_INT64" or "TO_STRING". ``map_form`` "DENSE" lists the values;
    "SPARSE" puts each one at the index that its key is, in a row of ``max_map`` zeros (or empty
    strings). Raises ValueError for unknown attributes, a key outside the row, and a string that is
    not a number.

    >>> cast_map({2: 0.5, 0: 3.0}, map_form="SPARSE", max_map=4)
    array([[3. , 0. , 0.5, 0. ]], dtype=float32)

    Spec: ai.onnx.ml CastMap-1.
    """
    types = {"TO_FLOAT": np.float32, "TO_INT64": np.int64, "TO_STRING": object}
    if cast_to not in types or map_form not in ("DENSE", "SPARSE"):
        raise ValueError(f"cast_to is {cast_to!r} and map_form {map_form!r}")
    keys = sorted(x)
    values = _values(x, keys)
    if cast_to == "TO_STRING" and values.dtype != object:
        values = np.array([f"{value:f}" for value in values.tolist()], object)
    values = values.astype(types[cast_to])
    if map_form == "DENSE":
        return values.reshape(1, -1)
    if keys and not 0 <= keys[0] <= keys[-1] < max_map:
        raise ValueError(f"keys from {keys[0]} to {keys[-1]} lie outside of a row of {max_map}")
    reserve((1, max_map), values.dtype)
    row = np.full((1, max_map), "" if values.dtype == object else 0, values.dtype)
    row[0, keys] = values
    return row
