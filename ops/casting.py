"""Conversions between element types, and Dropout, which at inference is the identity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._budget import timed
from ._registry import op
from ._rounding import rounded
from ._typing import Array, dtype_of, is_floating, native


@op("Cast", since=6)
def cast(input: Array, /, *, round_mode: str = "up", saturate: int = 1, to: int) -> Array:
    """The elements converted to element type ``to``.

    Floats truncate towards zero on their way to integers. What does not fit becomes, on every
    machine, what x86 makes of it: NaN and numbers outside int32 (int64 for uint32 and 64-bit types)
    become the smallest such integer, of which narrower types keep the low bits. Integers wrap
    around. Floats out of range become inf; in float8 the largest number if ``saturate``, else inf
    or NaN. Strings are parsed as numbers, and numbers written in their shortest form.

    Raises ValueError for a string that is not a number, or an unknown ``round_mode`` (for
    float8e8m0), TypeError for an element type without arrays.

    >>> cast(np.array([300.7, -1.5]), to=2), cast(np.array(["-inf", "1e3"], object), to=1)
    (array([ 44, 255], dtype=uint8), array([ -inf, 1000.], dtype=float32))

    Spec: Cast-28.
    """
    return _convert(input, dtype_of(to), bool(saturate), round_mode)


@op("CastLike", since=15)
def cast_like(
    input: Array, target_type: Array, /, *, round_mode: str = "up", saturate: int = 1
) -> Array:
    """The elements converted to the element type of ``target_type``, by the rules of Cast.

    Raises ValueError as Cast does.

    >>> cast_like(np.array([2.5]), np.array([1]))
    array([2])

    Spec: CastLike-25.
    """
    return _convert(input, target_type.dtype, bool(saturate), round_mode)


def _convert(x: Array, dtype: np.dtype[Any], saturate: bool, round_mode: str) -> Array:
    if dtype == x.dtype:
        return x
    x = native(x)  # ml_dtypes converts between few of its own types
    if dtype == object:
        return x.astype(np.str_).astype(object)
    if x.dtype == object:
        x = x.astype(np.float64) if is_floating(dtype) else _whole_numbers(x)
    if dtype.name == "float8_e8m0fnu":
        return _to_power_of_two(x, dtype, saturate, round_mode)
    if saturate and is_floating(dtype) and dtype.name.startswith("float8"):
        return to_saturated(x, dtype)
    if is_floating(x.dtype) and dtype.kind in "iuV" and not is_floating(dtype):
        return _to_integer(x, dtype)
    return rounded(x, dtype) if is_floating(dtype) else x.astype(dtype)


def to_saturated(x: Array, dtype: np.dtype[Any]) -> Array:
    """Numbers rounded to a float8 (or narrower) type and saturated at its largest number."""
    import ml_dtypes

    largest = float(ml_dtypes.finfo(dtype).max)
    return rounded(np.asarray(np.clip(x.astype(np.float64), -largest, largest)), dtype)


def _whole_numbers(strings: Array) -> Array:
    # As int where possible: float64 would round integers beyond 2**53.
    def read(text: str) -> int | float:
        try:
            return int(text)
        except ValueError:
            return float(text)

    numbers = [read(text) for text in timed(strings.reshape(-1))]
    # NumPy would make floats of integers on both sides of 2**63.
    large = max(numbers, default=0) >= 2**63 and all(type(n) is int and n >= 0 for n in numbers)
    kind = np.uint64 if large else None
    return np.array(numbers or np.zeros(0, np.int64), kind).reshape(strings.shape)


def _to_integer(x: Array, dtype: np.dtype[Any]) -> Array:
    wide: Any = np.dtype(np.int64 if dtype.itemsize == 8 or dtype == np.uint32 else np.int32)
    limit = 2.0 ** (8 * wide.itemsize - 1)
    if x.dtype.itemsize < 4:
        x = x.astype(np.float32)
    upper = (x >= limit) & (x < 2 * limit) if dtype == np.uint64 else np.zeros((), bool)
    x = np.where(upper, x - limit, x)
    fits = (x > -limit - 1) & (x < limit)
    whole = np.where(fits, x, -limit).astype(wide)
    return np.asarray(np.where(upper, whole ^ np.iinfo(wide).min, whole)).astype(dtype)


def _to_power_of_two(x: Array, dtype: np.dtype[Any], saturate: bool, round_mode: str) -> Array:
    """float8e8m0: the exponent alone, 2**-127 to 2**127 and NaN."""
    if round_mode not in ("up", "down", "nearest"):
        raise ValueError(f"round_mode is up, down or nearest, not {round_mode!r}")
    mantissa, exponent = np.frexp(x.astype(np.float64))  # mantissa in [0.5, 1)
    limit = {"up": 0.5, "down": 1.0, "nearest": 0.75}[round_mode]
    above = mantissa > limit if round_mode == "up" else mantissa >= limit
    power = np.where(x == 0, -np.inf, np.where(np.isinf(x), np.inf, exponent - 1.0 + above))
    if saturate:
        power = np.clip(power, -127, 127)
    lost = np.isnan(x) | (np.abs(power) > 127)
    return np.asarray(np.where(lost, np.nan, np.exp2(power))).astype(dtype)


class Dropout(NamedTuple):
    """What Dropout returns."""

    output: Array
    mask: Array


@op("Dropout", since=12, pure=False)
def dropout(
    data: Array,
    ratio: Array | None = None,
    training_mode: Array | None = None,
    /,
    *,
    seed: int | None = None,
) -> Dropout:
    """``data`` and a mask of True; in training mode with the fraction ``ratio`` (0.5) zeroed.

    The mask (bool) is False where an element was zeroed; the others are divided by ``1 - ratio``.

    >>> dropout(np.array([1.0]))
    Dropout(output=array([1.]), mask=array([ True]))

    Spec: Dropout-22; Srivastava et al. 2014.
    """
    share = 0.5 if ratio is None else float(ratio.reshape(()))
    if training_mode is None or not training_mode.any() or share == 0:
        return Dropout(data, np.ones(data.shape, bool))
    kept = np.asarray(np.random.default_rng(seed).random(data.shape) >= share)
    return Dropout(np.where(kept, data / (1 - share), 0).astype(data.dtype), kept)


@op("Dropout", since=10)
def dropout_10(data: Array, /, *, ratio: float = 0.5) -> Dropout:
    """``data`` itself and a mask of True; ``ratio`` is an attribute and has no effect.

    >>> dropout_10(np.array([1.0])).output
    array([1.])

    Spec: Dropout-10.
    """
    return dropout(data)


@op("Dropout", since=7)
def dropout_7(data: Array, /, *, ratio: float = 0.5) -> Dropout:
    """``data`` itself and a mask of ones in its dtype.

    >>> dropout_7(np.array([2.0]))
    Dropout(output=array([2.]), mask=array([1.]))

    Spec: Dropout-7.
    """
    return Dropout(data, np.ones_like(data))
