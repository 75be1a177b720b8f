"""How far values are apart, and how far they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from embedx.errors import ToleranceError
from embedx.ops import Array, Value, is_floating


@dataclass(frozen=True)
class Tolerance:
    """How far floats may be off. Shapes, dtypes, NaN, infinities and all else must be equal."""

    name: str
    ulps: int
    """In units in the last place of the expected element ..."""
    of_largest: int = 0
    """... or, where that is more, of the tensor's largest element: what cancellation may cost."""


EXACT = Tolerance("EXACT", 0)
"""Integers, shapes, moved data, and floats that are rounded once from the exact result."""


ROUNDING = Tolerance("ROUNDING", 4)
"""A few operations, each of which rounds."""


CLOSE = Tolerance("CLOSE", 32, of_largest=4)
"""Many operations: sums of many terms, or results that nearly cancel on the way."""


def compare(
    actual: Any, expected: Value, tolerance: Tolerance = EXACT, what: str = "value"
) -> None:
    """Raise ToleranceError, naming the first element that differs, unless the values agree.

    Shape, dtype, and where NaN and the infinities stand must be the same; 0 and -0 are equal.

    >>> compare(np.float16([2, 0.5]), np.float16([2, 0.75]))
    Traceback (most recent call last):
    ...
    embedx.errors.ToleranceError: value, element [1]: 0.5 instead of 0.75 (512 ulp, EXACT allows 0)
    """
    if isinstance(expected, list) and isinstance(actual, list) and len(actual) == len(expected):
        for place, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
            compare(ours, theirs, tolerance, f"{what}, item {place}")
        return
    if _kind(actual) != _kind(expected):
        raise ToleranceError(f"{what} is {_kind(actual)}, expected {_kind(expected)}")
    if expected is not None:
        _compare_arrays(np.asarray(actual), np.asarray(expected), tolerance, what)


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        name = "string" if value.dtype.kind == "O" else value.dtype.name
        return f"{name}{list(value.shape)}"
    return "nothing" if value is None else f"a sequence of {len(value)}"


def _compare_arrays(actual: Array, expected: Array, tolerance: Tolerance, what: str) -> None:
    if is_floating(expected.dtype):
        distance = ulps(actual, expected)
        wrong = ~_within(actual, expected, distance, tolerance)
    else:
        distance = np.full(expected.shape, _APART)
        wrong = np.asarray(actual != expected, bool)
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    message = f"{what}, element {list(place)}: {actual[place]} instead of {expected[place]}"
    if distance[place] != _APART:
        message += f" ({distance[place]} ulp, {tolerance.name} allows {tolerance.ulps})"
    if wrong.sum() > 1:
        message += f"; {wrong.sum()} of {wrong.size} elements differ"
    raise ToleranceError(message)


_APART = np.uint64(2**64 - 1)
"""The distance between NaN or an infinity and any other number."""


def ulps(actual: Array, expected: Array) -> Array:
    """How many numbers of their type lie between the elements, plus one; 0 between 0 and -0.

    >>> ulps(np.float32([1, -1, np.nan]), np.float32([1 + 2**-22, -1, np.nan]))
    array([2, 0, 0], dtype=uint64)
    """
    a, b = _ordered(actual), _ordered(expected)
    with np.errstate(over="ignore"):  # modulo 2**64 the difference of two int64 is right
        distance = np.maximum(a, b).astype(np.uint64) - np.minimum(a, b).astype(np.uint64)
    both_nan = np.isnan(actual) & np.isnan(expected)
    apart = ~(np.isfinite(actual) & np.isfinite(expected)) & (distance != 0) & ~both_nan
    return np.asarray(np.where(apart, _APART, np.where(both_nan, 0, distance)), np.uint64)


def _ordered(x: Array) -> Array:
    """Integers as far apart as the floats: sign and magnitude of their bits."""
    if x.dtype.itemsize == 1:
        x = x.astype(np.float32)  # some of these have no sign, or no bit pattern for NaN
    width = 8 * x.dtype.itemsize
    bits = np.ascontiguousarray(x).reshape(x.shape).view(f"i{x.dtype.itemsize}").astype(np.int64)
    magnitude = bits & (2 ** (width - 1) - 1)
    return np.asarray(np.where(bits < 0, -magnitude, magnitude))


def _within(actual: Array, expected: Array, distance: Array, tolerance: Tolerance) -> Array:
    near = distance <= tolerance.ulps
    if not tolerance.of_largest or expected.dtype.itemsize == 1:  # those have no places to lose
        return near
    ours, theirs = actual.astype(np.float64), expected.astype(np.float64)
    largest = np.abs(theirs).max(initial=0, where=np.isfinite(theirs))
    with np.errstate(invalid="ignore"):
        off = np.abs(ours - theirs)  # NaN, which is near nothing, for what is not finite
    return np.asarray(near | (off <= tolerance.of_largest * _last_place(largest, expected.dtype)))


def _last_place(number: float, dtype: np.dtype[Any]) -> float:
    """What one unit in the last place of ``number`` is worth in a float type."""
    one = np.array([number]).astype(dtype)
    return float(np.spacing(one[0]))


def differences(ours: list[Array], theirs: list[Array]) -> dict[str, float | None]:
    """The largest and the mean difference between numbers; None where the results do not compare.

    >>> differences([np.array([1.0, 2.0])], [np.array([1.0, 2.5])])
    {'max_abs_difference': 0.5, 'mean_abs_difference': 0.25}
    """
    found = [
        np.abs(a.astype(np.float64) - b.astype(np.float64)).ravel()
        for a, b in zip(ours, theirs, strict=False)
        if a.shape == b.shape and a.size and a.dtype.kind in "fiub" and b.dtype.kind in "fiub"
    ]
    gaps = np.concatenate(found) if found else np.array([np.nan])
    known = bool(np.isfinite(gaps).all())
    return {
        "max_abs_difference": float(gaps.max()) if known else None,
        "mean_abs_difference": float(gaps.mean()) if known else None,
    }


def metrics(actual: Array, expected: Array) -> dict[str, float | None]:
    """How far a tensor is from what is expected, in the measures that others use.

    ``max_abs`` and ``max_rel`` (of the expected element; over those that are not 0), ``max_ulp``
    (in the type of ``actual``; None for what is no float), ``cosine`` of the flattened tensors,
    ``sqnr_db`` (10 log10 of the expected one's energy over the difference's) and ``psnr_db`` (of
    its largest value's square over the mean of the squared difference). Infinite where nothing
    differs, NaN where NaN or infinities do.

    >>> found = metrics(np.float32([3, 4]), np.float32([3, 5]))
    >>> found["max_abs"], found["max_rel"], round(found["cosine"], 4)
    (1.0, 0.2, 0.9947)
    """
    x, y = actual.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    with np.errstate(all="ignore"):
        off = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
        relative = off[y != 0] / np.abs(y[y != 0])
        norms = np.sqrt(np.square(x).sum() * np.square(y).sum())
        noise = np.square(off)
        largest = np.square(y).max(initial=0)
        return {
            "max_abs": float(off.max(initial=0)),
            "max_rel": float(relative.max(initial=0)),
            "max_ulp": float(ulps(actual, expected.astype(actual.dtype)).max(initial=0))
            if is_floating(actual.dtype)
            else None,
            "cosine": float((x * y).sum() / norms) if norms else float(x.any() == y.any()),
            "sqnr_db": _decibels(np.square(y).sum(), noise.sum()),
            "psnr_db": _decibels(largest, noise.mean() if noise.size else 0.0),
        }


def _decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(signal / noise)) if noise else float("inf")
