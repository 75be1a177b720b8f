"""Feature preprocessing of ai.onnx.ml: encoders, scalers and imputers of (rows, features)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._budget import reserve, timed
from ._registry import ML, op
from ._typing import Array


@op("ArrayFeatureExtractor", since=1, domain=ML)
def array_feature_extractor(x: Array, y: Array, /) -> Array:
    """The elements of the last axis at the indices ``Y`` (int64), which are flattened.

    A 1-D X is one row. Raises IndexError for an index outside of the axis.

    >>> array_feature_extractor(np.array([[5, 6, 7], [8, 9, 10]]), np.array([2, 0]))
    array([[ 7,  5],
           [10,  8]])

    Spec: ai.onnx.ml ArrayFeatureExtractor-1.
    """
    rows = x if x.ndim > 1 else x.reshape(1, -1)
    if ((y < 0) | (y >= rows.shape[-1])).any():
        raise IndexError(f"an index lies outside of an axis of size {rows.shape[-1]}")
    reserve((*rows.shape[:-1], y.size), x.dtype)
    return rows[..., y.reshape(-1)]


@op("Binarizer", since=1, domain=ML)
def binarizer(x: Array, /, *, threshold: float = 0.0) -> Array:
    """1 where ``X`` is above ``threshold``, else 0, in the dtype of X.

    >>> binarizer(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 1.])

    Spec: ai.onnx.ml Binarizer-1.
    """
    return (x > threshold).astype(x.dtype)


@op("LabelEncoder", since=2, domain=ML)
def label_encoder(
    x: Array,
    /,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: Array | None = None,
    keys_floats: tuple[float, ...] | None = None,
    keys_int64s: tuple[int, ...] | None = None,
    keys_strings: tuple[str, ...] | None = None,
    keys_tensor: Array | None = None,
    values_floats: tuple[float, ...] | None = None,
    values_int64s: tuple[int, ...] | None = None,
    values_strings: tuple[str, ...] | None = None,
    values_tensor: Array | None = None,
) -> Array:
    """The value that belongs to each element's key, or a default.

    Exactly one list of keys and one of values of the same length must be given, the keys in the
    dtype of X. Of equal keys the last one counts; NaN is a key, too. The result is float32, int64,
    strings, or has the dtype of ``values_tensor``. Raises ValueError for lists that do not agree,
    TypeError for keys of another kind than X.

    >>> words = np.array(["Dori", "Amy"], object)
    >>> label_encoder(words, keys_strings=("Amy", "Sally"), values_int64s=(5, 6))
    array([-1,  5])

    Spec: ai.onnx.ml LabelEncoder-4.
    """
    keys = _only(keys_tensor, keys_floats, keys_int64s, keys_strings)
    values = _only(
        values_tensor,
        _array(values_floats, np.float32),
        _array(values_int64s, np.int64),
        _array(values_strings, object),
    )
    defaults = {"f": default_float, "i": default_int64, "O": default_string}
    default = defaults[values.dtype.kind] if default_tensor is None else default_tensor.item()
    return _looked_up(x, keys, values, default)


def _only(*given: Any) -> Any:
    found = [value for value in given if value is not None and len(value)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} lists are given, expected one of each kind")
    return found[0]


def _array(values: Sequence[object] | None, dtype: Any) -> Array | None:
    return None if values is None else np.array(values, dtype)


def _looked_up(x: Array, keys: Sequence[Any] | Array, values: Array, default: Any) -> Array:
    plain = np.asarray(keys).tolist()
    if len(plain) != len(values) or not plain:
        raise ValueError(f"{len(plain)} keys for {len(values)} values")
    if (x.dtype.kind in "OUT") != isinstance(plain[0], str):
        raise TypeError(f"the keys are of another type than X, {x.dtype}")
    places = {_comparable(key): place for place, key in timed(enumerate(plain))}
    distinct, which = np.unique(x, return_inverse=True)
    each = timed(distinct.tolist())
    found = np.array([places.get(_comparable(key), -1) for key in each], np.int64)
    table = np.append(values, np.array([default], values.dtype))  # -1 finds the default
    return table[found[which.reshape(-1)]].reshape(x.shape)


def _comparable(key: Any) -> Any:
    """The key itself, or a stand-in for NaN, which does not equal itself."""
    return "NaN" if isinstance(key, float) and math.isnan(key) else key


@op("LabelEncoder", since=1, domain=ML)
def label_encoder_1(
    x: Array,
    /,
    *,
    classes_strings: tuple[str, ...] | None = None,
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Array:
    """The index of each string in ``classes_strings`` (int64), or the string at each index.

    What is not there becomes the default. Raises ValueError without classes.

    >>> label_encoder_1(np.array([1, 7]), classes_strings=("a", "b"))
    array(['b', '_Unused'], dtype=object)

    Spec: ai.onnx.ml LabelEncoder-1.
    """
    words = classes_strings or ()
    places, names = np.arange(len(words)), np.array(words, object)
    if x.dtype.kind in "OUT":
        return _looked_up(x, words, places, default_int64)
    return _looked_up(x, places.tolist(), names, default_string)


@op("CategoryMapper", since=1, domain=ML)
def category_mapper(
    x: Array,
    /,
    *,
    cats_int64s: tuple[int, ...] | None = None,
    cats_strings: tuple[str, ...] | None = None,
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Array:
    """The string that belongs to each integer, or the integer that belongs to each string.

    What is not there becomes the default. Raises ValueError unless there are as many integers as
    strings, and at least one.

    >>> category_mapper(np.array([5, 7, 9]), cats_int64s=(7, 5), cats_strings=("a", "b"))
    array(['b', 'a', '_Unused'], dtype=object)

    Spec: ai.onnx.ml CategoryMapper-1.
    """
    numbers, words = np.array(cats_int64s or (), np.int64), np.array(cats_strings or (), object)
    if x.dtype.kind in "OUT":
        return _looked_up(x, words, numbers, default_int64)
    return _looked_up(x, numbers, words, default_string)


@op("OneHotEncoder", since=1, domain=ML)
def one_hot_encoder(
    x: Array,
    /,
    *,
    cats_int64s: tuple[int, ...] | None = None,
    cats_strings: tuple[str, ...] | None = None,
    zeros: int = 1,
) -> Array:
    """A one-hot vector for each element's category on a new last axis (float32).

    Floats are truncated to integers first. Raises ValueError for an element of no category if
    ``zeros`` is 0, and unless exactly one list of categories is given.

    >>> one_hot_encoder(np.array([7, 5, 1]), cats_int64s=(5, 7))
    array([[0., 1.],
           [1., 0.],
           [0., 0.]], dtype=float32)

    Spec: ai.onnx.ml OneHotEncoder-1.
    """
    categories = np.asarray(_only(_array(cats_int64s, np.int64), _array(cats_strings, object)))
    reserve((*x.shape, len(categories)), np.float32)
    whole = x.astype(np.int64) if x.dtype.kind in "fiu" else x
    hot = whole[..., None] == categories
    if not zeros and not hot.any(axis=-1).all():
        raise ValueError("an element is none of the categories")
    return hot.astype(np.float32)


@op("Normalizer", since=1, domain=ML, rounds=True)
def normalizer(x: Array, /, *, norm: str = "MAX") -> Array:
    """Each row divided by its largest element ("MAX"), or its "L1" or "L2" norm, as float32.

    A row whose divisor is 0 stays as it is; a 1-D X is one row. Raises ValueError for another norm.

    >>> normalizer(np.array([[3.0, 4.0], [0.0, 0.0]]), norm="L2")
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)

    Spec: ai.onnx.ml Normalizer-1.
    """
    wide = x.astype(np.float64)
    divisors = {
        "MAX": lambda: wide.max(axis=-1, keepdims=True),
        "L1": lambda: np.abs(wide).sum(axis=-1, keepdims=True),
        "L2": lambda: np.sqrt(np.square(wide).sum(axis=-1, keepdims=True)),
    }
    if norm not in divisors:
        raise ValueError(f"norm is one of {', '.join(divisors)}, not {norm!r}")
    divisor = divisors[norm]()
    return (wide / np.where(divisor == 0, 1, divisor)).astype(np.float32)


@op("Scaler", since=1, domain=ML, rounds=True)
def scaler(
    x: Array,
    /,
    *,
    offset: tuple[float, ...] | None = None,
    scale: tuple[float, ...] | None = None,
) -> Array:
    """``(X - offset) * scale``, with one number per feature or one for all, as float32.

    Raises ValueError for another number of offsets or scales.

    >>> scaler(np.array([[1, 2]]), offset=(1.0,), scale=(2.0, 3.0))
    array([[0., 3.]], dtype=float32)

    Spec: ai.onnx.ml Scaler-1.
    """
    lengths = {1, x.shape[-1]}
    if not {len(offset or (0,)), len(scale or (0,))} <= lengths:
        raise ValueError(f"offset {offset} and scale {scale} for {x.shape[-1]} features")
    return ((x - np.array(offset or 0.0)) * np.array(scale or 1.0)).astype(np.float32)


@op("Imputer", since=1, domain=ML)
def imputer(
    x: Array,
    /,
    *,
    imputed_value_floats: tuple[float, ...] | None = None,
    imputed_value_int64s: tuple[int, ...] | None = None,
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Array:
    """``X`` with one value, which may be NaN, replaced by one value per feature, or one for all.

    Floats use the attributes for floats, integers those for integers. Raises ValueError for another
    number of values.

    >>> imputer(np.array([[np.nan, 2.0]]), imputed_value_floats=(7.0,), replaced_value_float=np.nan)
    array([[7., 2.]])

    Spec: ai.onnx.ml Imputer-1.
    """
    floating = x.dtype.kind == "f"
    values = imputed_value_floats if floating else imputed_value_int64s
    old = replaced_value_float if floating else replaced_value_int64
    if not values or len(values) not in (1, x.shape[-1]):
        raise ValueError(f"{len(values or ())} values for {x.shape[-1]} features of {x.dtype}")
    hit = np.isnan(x) if math.isnan(old) else x == old
    return np.where(hit, np.array(values).astype(x.dtype), x)


@op("FeatureVectorizer", since=1, domain=ML)
def feature_vectorizer(*x: Array, inputdimensions: tuple[int, ...] | None = None) -> Array:
    """The features of all inputs side by side, as float32 (rows, features).

    Axis 0 of an input has the rows, all others the features; a 1-D input is one row. Raises
    ValueError for scalars, and if the inputs do not have ``inputdimensions`` features.

    >>> feature_vectorizer(np.array([[1], [2]]), np.array([[3], [4]]))
    array([[1., 3.],
           [2., 4.]], dtype=float32)

    Spec: ai.onnx.ml FeatureVectorizer-1.
    """
    shapes = [part.shape if part.ndim > 1 else (1, *part.shape) for part in x]
    if not all(part.ndim for part in x):
        raise ValueError("an input is a scalar, which has no features")
    parts = [
        part.reshape(shape[0], math.prod(shape[1:])) for part, shape in zip(x, shapes, strict=True)
    ]
    widths = tuple(part.shape[1] for part in parts)
    reserve((shapes[0][0], sum(widths)), np.float32)
    if inputdimensions is not None and widths != tuple(inputdimensions):
        raise ValueError(f"the inputs have {widths} features, expected {inputdimensions}")
    return np.concatenate(parts, axis=1).astype(np.float32)
