"""What goes into a model: checked against its declared inputs, or made up from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from embedx.errors import InputError
from embedx.model.graph import (
    Array,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
    Value,
)
from embedx.rewrite.element_types import FLOATS


def checked_feeds(
    inputs: Sequence[Value], optional: Collection[str], feeds: Any, *, widen: bool = False
) -> dict[str, Any]:
    """The feeds by name; ``None`` for one of ``optional`` that is not fed.

    With ``widen`` all floats become float64, in which those that are declared have the same value.

    Raises InputError naming the input for a missing or unknown name, a dtype or rank that is not
    the declared one, a size that is not, or two sizes for one symbolic dimension.
    """
    expected = [v.name for v in inputs if v.name not in optional]
    if isinstance(feeds, Mapping):
        named = dict(feeds)
    elif isinstance(feeds, list | tuple):
        if len(feeds) != len(expected):
            raise InputError(
                f"got {len(feeds)} inputs, expected {len(expected)}: {', '.join(expected)}"
            )
        named = dict(zip(expected, feeds, strict=True))
    else:
        raise InputError(f"feeds are a dict or a list of arrays, not {type(feeds).__name__}")
    unknown = [name for name in named if name not in {v.name for v in inputs}]
    missing = [name for name in expected if name not in named]
    if unknown or missing:
        raise InputError(
            f"the inputs are {', '.join(expected)};"
            + f" missing: {', '.join(missing)}" * bool(missing)
            + f" unknown: {', '.join(map(str, unknown))}" * bool(unknown)
        )
    sizes: dict[str, tuple[int, str]] = {}
    return {
        v.name: _checked(named[v.name], v.type, v.name, sizes, widen) if v.name in named else None
        for v in inputs
    }


def _checked(
    value: Any, kind: Type, name: str, sizes: dict[str, tuple[int, str]], widen: bool
) -> Any:
    if isinstance(kind, OptionalType):
        return None if value is None else _checked(value, kind.element, name, sizes, widen)
    if isinstance(kind, SequenceType):
        if not isinstance(value, list | tuple):
            raise InputError(f"input {name!r} is a sequence, not {type(value).__name__}")
        return [_checked(item, kind.element, name, {}, widen) for item in value]
    if isinstance(kind, MapType):
        keyed_by = str if kind.key == object else int | np.integer
        if not isinstance(value, Mapping) or not all(isinstance(key, keyed_by) for key in value):
            raise InputError(f"input {name!r} is {kind}, not {type(value).__name__}")
        return {key: _checked(item, kind.value, name, {}, widen)[()] for key, item in value.items()}
    if value is None or isinstance(value, np.ma.MaskedArray):
        raise InputError(f"input {name!r} must be an array, not {type(value).__name__}")
    array = _as_array(value, kind, name, widen)
    if kind is None or kind.shape is None:
        return array
    if array.ndim != len(kind.shape):
        raise InputError(f"input {name!r} has shape {array.shape}, expected {kind}")
    for size, dim in zip(array.shape, kind.shape, strict=True):
        if isinstance(dim, int) and size != dim:
            raise InputError(f"input {name!r} has shape {array.shape}, expected {kind}")
        if isinstance(dim, str):
            known, other = sizes.setdefault(dim, (size, name))
            if known != size:
                raise InputError(
                    f"dimension {dim!r} is {known} in input {other!r} and {size} in input {name!r}"
                )
    return array


def _as_array(value: Any, kind: TensorType | None, name: str, widen: bool) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"input {name!r} is no array: {error}") from error
    if array.dtype.kind in "UT" or (array.dtype == object and kind and kind.dtype == object):
        array = array.astype(object)
        if not all(isinstance(item, str | bytes) for item in array.flat):
            raise InputError(f"input {name!r} holds something that is no string")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if widen and array.dtype in FLOATS and (kind is None or kind.dtype in FLOATS):
        return array.astype(np.float64)
    if kind is None or array.dtype == kind.dtype:
        return array
    typed = isinstance(value, np.ndarray | np.generic)
    if not typed and np.can_cast(array.dtype, kind.dtype, "same_kind"):
        return array.astype(kind.dtype)  # lists of numbers have no dtype to disagree
    raise InputError(f"input {name!r} is {array.dtype}, expected {kind.dtype}")
