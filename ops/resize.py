"""Tensors resized: each element of the result is a weighted mean of some of the input's.

The kernels are separable, so one axis is resized after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ._budget import reserve
from ._checks import axes_in, int_list
from ._interpolation import Taps, cubic_kernel, inside, linear_kernel, taps
from ._registry import op
from ._typing import Array


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized."""

    size: int
    length: float
    """The new size before it is rounded to an integer."""
    count: int
    """The new size."""
    start: float = 0.0
    end: float = 1.0
    """The fractions of the axis between which tf_crop_and_resize crops."""


def _half_pixel(x: Array, axis: _Axis) -> Array:
    return (x + 0.5) * axis.size / axis.length - 0.5


def _pytorch_half_pixel(x: Array, axis: _Axis) -> Array:
    return _half_pixel(x, axis) if axis.count > 1 else np.zeros_like(x)


def _half_pixel_symmetric(x: Array, axis: _Axis) -> Array:
    return axis.size / 2 - 0.5 + (x + 0.5 - axis.count / 2) * axis.size / axis.length


def _align_corners(x: Array, axis: _Axis) -> Array:
    return x * (axis.size - 1) / (axis.length - 1) if axis.length != 1 else np.zeros_like(x)


def _asymmetric(x: Array, axis: _Axis) -> Array:
    return x * axis.size / axis.length


def _tf_half_pixel_for_nn(x: Array, axis: _Axis) -> Array:
    return (x + 0.5) * axis.size / axis.length


def _tf_crop_and_resize(x: Array, axis: _Axis) -> Array:
    share = x / (axis.count - 1) if axis.count > 1 else np.full_like(x, 0.5)
    return (axis.start + share * (axis.end - axis.start)) * (axis.size - 1)


_COORDINATES: dict[str, Callable[[Array, _Axis], Array]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": _asymmetric,
    "tf_half_pixel_for_nn": _tf_half_pixel_for_nn,
    "tf_crop_and_resize": _tf_crop_and_resize,
}
_NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@op("Resize", since=11, rounds=True)
def resize(
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    /,
    *,
    antialias: int = 0,
    axes: tuple[int, ...] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Array:
    """``X`` with ``axes`` (default: all) resized to ``sizes`` (int64) or by the factors ``scales``.

    ``coordinate_transformation_mode`` maps each output coordinate to a point of the input. The
    value there is that of the ``"nearest"`` element, or interpolated from two (``"linear"``) or
    four (``"cubic"``) elements per axis; outside, the edge is repeated unless ``exclude_outside``.
    ``antialias`` widens the kernel when downsampling. ``"tf_crop_and_resize"`` crops to ``roi``
    (all starts, then all ends, as fractions of the axes), ``extrapolation_value`` outside of X.
    Integers are rounded to even and saturated.

    Raises ValueError unless exactly one of ``scales`` and ``sizes`` is given, with one positive
    number per axis, and for unknown modes.

    >>> resize(np.array([1.0, 2.0]), None, np.float32([2]), mode="linear")
    array([1.  , 1.25, 1.75, 2.  ])
    >>> resize(np.array([1, 2, 3, 4]), None, None, np.array([2]))
    array([1, 3])

    Spec: Resize-19.
    """
    place = _choice("coordinate_transformation_mode", coordinate_transformation_mode, _COORDINATES)
    weigh = _choice("mode", mode, _weighers(nearest_mode, cubic_coeff_a))
    along = range(x.ndim) if axes is None else axes_in(axes, x.ndim)
    plans = _plans([x.shape[i] for i in along], scales, sizes, keep_aspect_ratio_policy)
    crops = place is _tf_crop_and_resize
    plans = _cropped(plans, roi) if crops else plans
    y = x if mode == "nearest" or x.dtype.kind in "fcV" else x.astype(np.float64)
    for i, axis in zip(along, plans, strict=True):
        reserve((axis.count,), np.float64)
        points = place(np.arange(axis.count, dtype=np.float64), axis)
        if np.array_equal(points, np.arange(axis.size)):
            continue
        stretch = max(1.0, axis.size / axis.length) if antialias and axis.count else 1.0
        y = _mixed(y, i, weigh(points, stretch), bool(exclude_outside))
        if crops:
            outside = (points < 0) | (points > axis.size - 1)
            y = _filled(y, i, outside, extrapolation_value)
    return y if y.dtype == x.dtype else _rounded(y, x.dtype)


_Weigher: TypeAlias = Callable[[Array, float], Taps]
"""From points, and how far an antialiasing kernel is stretched, to the elements they weigh."""
_T = TypeVar("_T")


def _choice(attribute: str, word: str, choices: dict[str, _T]) -> _T:
    if word not in choices:
        raise ValueError(f"{attribute} is one of {', '.join(choices)}, not {word!r}")
    return choices[word]


def _weighers(nearest_mode: str, cubic_coeff_a: float) -> dict[str, _Weigher]:
    """The kernels by ``mode``."""
    round_ = _choice("nearest_mode", nearest_mode, _NEAREST)
    return {
        "nearest": lambda points, _: Taps(round_(points)[:, None], np.ones((len(points), 1))),
        "linear": lambda points, stretch: taps(points, linear_kernel, 1, stretch),
        "cubic": lambda points, stretch: taps(points, cubic_kernel(cubic_coeff_a), 2, stretch),
    }


def _plans(dims: list[int], scales: Array | None, sizes: Array | None, policy: str) -> list[_Axis]:
    # At opset 11 an empty tensor stands for an input that is left out.
    by_scale, by_size = (v is not None and v.size > 0 for v in (scales, sizes))
    if by_scale == by_size and dims:
        raise ValueError("one of scales and sizes must be given, and not both")
    if scales is not None and by_scale:
        if len(scales) != len(dims) or not np.all(np.isfinite(scales) & (scales > 0)):
            raise ValueError(f"scales {scales.tolist()} for {len(dims)} axes: one above 0 for each")
        # The standard's shape inference multiplies in float32: 10 * 0.7 is 7 there.
        counts = np.floor(np.array(dims, np.float32) * scales.astype(np.float32))
        return [
            _Axis(n, n * float(scale), int(count))
            for n, scale, count in zip(dims, scales, counts, strict=True)
        ]
    wanted = int_list(sizes) if sizes is not None else []
    if len(wanted) != len(dims) or min(wanted, default=0) < 0 or (0 in dims and any(wanted)):
        raise ValueError(f"sizes {wanted} for axes of sizes {dims}")
    if policy == "stretch":
        return [_Axis(n, count, count) for n, count in zip(dims, wanted, strict=True)]
    pick = _choice("keep_aspect_ratio_policy", policy, {"not_larger": min, "not_smaller": max})
    ratio = pick(Fraction(count, n) for n, count in zip(dims, wanted, strict=True))
    return [_Axis(n, float(n * ratio), math.floor(n * ratio + Fraction(1, 2))) for n in dims]


def _cropped(plans: list[_Axis], roi: Array | None) -> list[_Axis]:
    if roi is None or roi.shape != (2 * len(plans),):
        raise ValueError("tf_crop_and_resize needs a roi with a start and an end for each axis")
    starts, ends = np.split(roi.astype(np.float64), 2)
    return [
        replace(axis, start=float(start), end=float(end))
        for axis, start, end in zip(plans, starts, ends, strict=True)
    ]


def _mixed(x: Array, axis: int, mix: Taps, exclude_outside: bool) -> Array:
    """The weighted means along ``axis``, with the edge repeated where the taps lie outside."""
    size, shape = x.shape[axis], mix.weights.shape
    reserve((*x.shape[:axis], *shape, *x.shape[axis + 1 :]), x.dtype)
    places, known = inside(mix.places.astype(np.int64), size)
    if shape[1] == 1:
        return x.take(places[:, 0], axis)
    weights = np.where(known, mix.weights, 0) if exclude_outside else mix.weights
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(x.real.dtype)
    weights = weights.reshape(*shape, *[1] * (x.ndim - axis - 1))
    return np.asarray((x.take(places, axis) * weights).sum(axis=axis + 1))


def _filled(x: Array, axis: int, outside: Array, value: float) -> Array:
    """``x`` with a value in all places along the axis that are outside."""
    outside = outside.reshape(-1, *[1] * (x.ndim - axis - 1))
    return np.where(outside, np.array(value).astype(x.dtype), x)


def _rounded(x: Array, dtype: np.dtype[Any]) -> Array:
    """Integers, rounded to even and saturated; bools, False where they round to 0."""
    if dtype == bool:
        return np.rint(x) != 0
    return np.clip(np.rint(x), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@op("Resize", since=10, rounds=True)
def resize_10(x: Array, scales: Array, /, *, mode: str = "nearest") -> Array:
    """``X`` resized by ``scales``, the first elements of input and output being aligned.

    The nearest element is rounded down along an axis that grows, and up along one that shrinks.
    Raises ValueError for an unknown mode and for scales that are not positive, one per axis.

    >>> resize_10(np.array([1, 2, 3, 4]), np.float32([0.6]))
    array([1, 3])

    Spec: Resize-10.
    """
    for i, scale in enumerate(scales):
        only = np.ones_like(scales)
        only[i] = scale
        x = resize(
            x, None, only, coordinate_transformation_mode="asymmetric", mode=mode,
            nearest_mode="ceil" if scale < 1 else "floor",
        )  # fmt: skip
    return x


@op("Upsample", since=9, until=10, rounds=True)
def upsample(x: Array, scales: Array, /, *, mode: str = "nearest") -> Array:
    """``X`` upsampled: Resize as of opset 10, with scales of at least 1.

    Raises ValueError for an unknown mode and for other scales.

    >>> upsample(np.array([1, 2]), np.float32([1.5]))
    array([1, 1, 2])

    Spec: Upsample-9.
    """
    if np.any(scales < 1):
        raise ValueError(f"scales {scales.tolist()} must be at least 1")
    return resize_10(x, scales, mode=mode)


@op("Upsample", since=7, rounds=True)
def upsample_7(x: Array, /, *, mode: str = "nearest", scales: tuple[float, ...]) -> Array:
    """``X`` upsampled; the scales are an attribute.

    Raises ValueError for an unknown mode and for scales below 1.

    >>> upsample_7(np.array([1, 2]), scales=(2.0,))
    array([1, 1, 2, 2])

    Spec: Upsample-7.
    """
    return upsample(x, np.array(scales, np.float32), mode=mode)


@op("Upsample", since=1, rounds=True)
def upsample_1(
    x: Array, /, *, height_scale: float, mode: str = "nearest", width_scale: float
) -> Array:
    """Images (batch, channels, height, width) upsampled; ``mode`` is "nearest" or "bilinear".

    Raises ValueError for an unknown mode and for scales below 1.

    >>> upsample_1(np.array([[[[1, 2]]]]), height_scale=1.0, width_scale=2.0)
    array([[[[1, 1, 2, 2]]]])

    Spec: Upsample-1.
    """
    scales = np.array([1, 1, height_scale, width_scale], np.float32)
    return upsample(x, scales, mode={"bilinear": "linear"}.get(mode, mode))
