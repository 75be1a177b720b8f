"""Tensors sliced, padded and repeated."""

from __future__ import annotations

import numpy as np

from ._budget import reserve
from ._checks import axes_in, axis_in, int_list, same_type, scalar_int
from ._registry import op
from ._typing import Array, zero_of

_PAD_MODES = ("constant", "reflect", "edge", "wrap")


@op("Slice", since=10)
def slice_(
    data: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
    /,
) -> Array:
    """``data`` from ``starts`` to before ``ends`` in ``steps`` along ``axes`` (or the first ones).

    Negative numbers count from the end, and numbers beyond the axis are clamped to it, as in
    Python. Raises ValueError for a step of 0, lists of different lengths, and axes that do not
    exist, TypeError for numbers that are not integers.

    >>> slice_(np.arange(5), np.array([-1]), np.array([-9]), None, np.array([-2]))
    array([4, 2, 0])

    Spec: Slice-13.
    """
    first, last = int_list(starts), int_list(ends)
    along = range(len(first)) if axes is None else int_list(axes)
    stride = [1] * len(first) if steps is None else int_list(steps)
    if not len(first) == len(last) == len(along) == len(stride):
        raise ValueError("starts, ends, axes and steps must have one length")
    where = [slice(None)] * data.ndim
    for axis, begin, end, step in zip(axes_in(along, data.ndim), first, last, stride, strict=True):
        where[axis] = slice(begin, end, step)
    return np.asarray(data[tuple(where)], data.dtype)


@op("Slice", since=1)
def slice_1(
    data: Array,
    /,
    *,
    axes: tuple[int, ...] | None = None,
    ends: tuple[int, ...],
    starts: tuple[int, ...],
) -> Array:
    """``data`` from ``starts`` to before ``ends`` along ``axes``, which are attributes.

    Raises ValueError for lists of different lengths and axes that do not exist.

    >>> slice_1(np.arange(5), starts=(1,), ends=(-1,))
    array([1, 2, 3])

    Spec: Slice-1.
    """
    chosen = None if axes is None else np.array(axes, np.int64)
    return slice_(data, np.array(starts, np.int64), np.array(ends, np.int64), chosen)


@op("Pad", since=11)
def pad(
    data: Array,
    pads: Array,
    constant_value: Array | None = None,
    axes: Array | None = None,
    /,
    *,
    mode: str = "constant",
) -> Array:
    """``data`` with elements added at the ends of ``axes``, or removed where ``pads`` is negative.

    ``pads`` (int64) lists the counts in front of each axis, then those behind; elements are removed
    before others are added. ``mode`` is "constant" (``constant_value``, by default zero or the
    empty string), "reflect" (without the edge), "edge" or "wrap". Raises ValueError for another
    mode or number of pads, and for more removed than there is, TypeError for a constant of another
    dtype.

    >>> pad(np.array([1, 2, 3]), np.array([2, -1]), mode="reflect")
    array([1, 2, 1, 2])

    Spec: Pad-25.
    """
    if mode not in _PAD_MODES:
        raise ValueError(f"mode is one of {', '.join(_PAD_MODES)}, not {mode!r}")
    along = range(data.ndim) if axes is None else axes_in(int_list(axes), data.ndim)
    counts = int_list(pads)
    if len(counts) != 2 * len(along):
        raise ValueError(f"{len(counts)} pads for {len(along)} axes, expected two per axis")
    if not along:
        return data
    widths = [(0, 0)] * data.ndim
    for axis, before, after in zip(along, counts, counts[len(along) :], strict=False):
        widths[axis] = (before, after)
    cropped = data[tuple(_crop(n, *width) for n, width in zip(data.shape, widths, strict=True))]
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    reserve((n + sum(g) for n, g in zip(cropped.shape, grown, strict=True)), data.dtype)
    if mode != "constant":
        return np.pad(cropped, grown, mode=mode)  # type: ignore[call-overload]
    fill = zero_of(data.dtype) if constant_value is None else constant_value.reshape(())
    same_type(data.reshape(-1)[:1], fill)
    return np.pad(cropped, grown, constant_values=fill)


def _crop(size: int, before: int, after: int) -> slice:
    begin, end = max(-before, 0), size - max(-after, 0)
    if begin > end:
        raise ValueError(f"pads {before} and {after} remove more than an axis of size {size} has")
    return slice(begin, end)


@op("Pad", since=2)
def pad_2(
    data: Array, /, *, mode: str = "constant", pads: tuple[int, ...], value: float = 0.0
) -> Array:
    """``data`` with elements added or removed at the ends, by attributes.

    Raises ValueError for another mode or number of pads, and for more removed than there is.

    >>> pad_2(np.array([1.0]), pads=(1, 0), value=5.0)
    array([5., 1.])

    Spec: Pad-2.
    """
    return pad(data, np.array(pads, np.int64), np.array(value, data.dtype), mode=mode)


@op("Tile", since=6)
def tile(input: Array, repeats: Array, /) -> Array:
    """The input repeated along each axis; ``repeats`` (int64) has one count per axis.

    Raises ValueError for another number of counts or a negative one, TypeError for counts that are
    not integers.

    >>> tile(np.array([[1, 2]]), np.array([2, 1]))
    array([[1, 2],
           [1, 2]])

    Spec: Tile-13.
    """
    counts = int_list(repeats)
    if len(counts) != input.ndim or min(counts, default=0) < 0:
        raise ValueError(f"repeats {counts} for shape {input.shape}: expected one count per axis")
    reserve((n * count for n, count in zip(input.shape, counts, strict=True)), input.dtype)
    return np.tile(input, counts)


@op("Tile", since=1)
def tile_1(input: Array, tiles: Array, axis: Array, /) -> Array:
    """The input repeated ``tiles`` times along one ``axis``.

    Raises ValueError for an axis that does not exist or a negative count.

    >>> tile_1(np.array([1, 2]), np.array(2), np.array(0))
    array([1, 2, 1, 2])

    Spec: Tile-1.
    """
    repeats = np.ones(input.ndim, np.int64)
    # Both have the input's dtype, which may be a float.
    count, along = (scalar_int(value.astype(np.int64)) for value in (tiles, axis))
    repeats[axis_in(along, input.ndim)] = count
    return tile(input, repeats)


@op("CenterCropPad", since=18)
def center_crop_pad(
    input_data: Array, shape: Array, /, *, axes: tuple[int, ...] | None = None
) -> Array:
    """The input cropped, or padded with zeros, around its centre so that ``axes`` get ``shape``.

    Of an odd difference the smaller half is in front. Raises ValueError for axes that do not exist
    and another number of sizes, TypeError for sizes that are not integers.

    >>> center_crop_pad(np.array([1, 2, 3]), np.array([5]))
    array([0, 1, 2, 3, 0])

    Spec: CenterCropPad-18.
    """
    along = range(input_data.ndim) if axes is None else axes_in(axes, input_data.ndim)
    pads = np.zeros((2, input_data.ndim), np.int64)
    for axis, wanted in zip(along, int_list(shape), strict=True):
        missing = wanted - input_data.shape[axis]
        # Truncation towards zero puts the smaller half in front, for padding and cropping.
        pads[0, axis] = int(missing / 2)
        pads[1, axis] = missing - pads[0, axis]
    return pad(input_data, pads.reshape(-1))
