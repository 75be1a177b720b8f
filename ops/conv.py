"""Convolutions as matrix products of the filters with the windows of the image (im2col)."""

from __future__ import annotations

import math
import operator

import numpy as np

from ._budget import reserve
from ._checks import int_list, one_type, per_channel
from ._interpolation import linear_kernel, sample, taps
from ._registry import op
from ._typing import Array
from ._windows import Windows as Windows
from ._windows import check_auto_pad, halves, per_axis, spans, windows


@op("Conv", since=1, rounds=True)
def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    /,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The inner product of each filter with each window of the zero-padded image, plus ``B``.

    X is (batch, channels, *size) with any number of axes in ``size``, W is (filters, channels /
    group, *kernel), B has one number per filter. Filters of a group see only the channels of their
    group. Raises ValueError for shapes and attributes that do not fit, TypeError for different
    dtypes.

    >>> conv(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, -1.0]]]), pads=(1, 0))
    array([[[-1., -1., -2.]]])

    Spec: Conv-22.
    """
    y = convolve(
        x, w, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return y if b is None else y + per_channel(b, y)


def convolve(
    x: Array,
    w: Array,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Conv without its bias; the padding is zero. The sums of integers in float64 are exact.

    >>> convolve(np.array([[[1.0, 2.0]]]), np.array([[[3.0]]]))
    array([[[3., 6.]]])
    """
    places = windows_of(
        x, w, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return _filtered(columns_of(x, places), w, group)


def windows_of(
    x: Array,
    w: Array,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Windows:
    """Where the filters of Conv stand on the image.

    Raises ValueError for shapes and attributes that do not fit, TypeError for different dtypes.

    >>> windows_of(np.zeros((1, 1, 5)), np.zeros((1, 1, 2)), strides=(2,)).counts
    (2,)
    """
    one_type(x, w)
    _check_filters(x, w, group, w.shape[1] * group, kernel_shape)
    return windows(
        x.shape[2:], w.shape[2:], auto_pad=auto_pad, dilations=dilations, pads=pads, strides=strides
    )


def _filtered(columns: Array, w: Array, group: int) -> Array:
    """The product of filters and windows (batch, channels, *kernel, *counts)."""
    grouped, counts = _grouped(columns, group), columns.shape[w.ndim :]
    reserve((len(columns), len(w), *counts), columns.dtype)
    y = w.reshape(group, len(w) // group, grouped.shape[2]) @ grouped
    return y.reshape(len(columns), len(w), *counts)


def columns_of(x: Array, places: Windows) -> Array:
    """Every window of the zero-padded image, as a view (batch, channels, *kernel, *counts).

    >>> columns_of(np.array([[[1, 2, 3]]]), windows((3,), (2,)))
    array([[[[1, 2],
             [2, 3]]]])
    """
    seen = places.over(x)
    rank = len(places.size)
    return np.moveaxis(seen, range(-rank, 0), range(2, 2 + rank)) if rank else seen


def _grouped(columns: Array, group: int) -> Array:
    """(batch, channels, *kernel, *counts) as (batch, group, channels / group * kernel, count)."""
    reserve(columns.shape, columns.dtype)
    batch, channels, *rest = columns.shape
    kernel = math.prod(rest[: len(rest) // 2])
    return columns.reshape(batch, group, channels // group * kernel, math.prod(rest) // kernel)


def _check_filters(
    x: Array, w: Array, group: int, channels: int, kernel_shape: tuple[int, ...] | None
) -> None:
    if x.ndim < 2 or x.ndim != w.ndim:
        raise ValueError(f"an image of shape {x.shape} and filters of shape {w.shape}")
    if group < 1 or len(w) % group or x.shape[1] != channels:
        raise ValueError(
            f"filters of shape {w.shape} in {group} groups do not fit {x.shape[1]} channels"
        )
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(f"kernel_shape is {kernel_shape}, the filters have {w.shape[2:]}")


@op("ConvTranspose", since=1, rounds=True)
def conv_transpose(
    x: Array,
    w: Array,
    b: Array | None = None,
    /,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The transpose of Conv as a linear map: filters added up, weighted by ``X``, plus ``B``.

    X is (batch, channels, *size), W is (channels, filters / group, *kernel), B has one number per
    filter. Each element of X adds its filter, times the element, to the output, ``strides`` apart.
    ``output_shape`` (without batch and filters) determines the padding. Raises ValueError for
    shapes and attributes that do not fit, TypeError for different dtypes.

    >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]]))
    array([[[  1.,  12., 120., 200.]]])

    Spec: ConvTranspose-22.
    """
    one_type(x, w)
    _check_filters(x, w, group, len(w), kernel_shape)
    places = _output_windows(
        x.shape[2:], w.shape[2:], auto_pad, dilations, output_padding, output_shape, pads, strides
    )
    share, count = len(w) // group, math.prod(places.counts)
    filters = w.reshape(group, share, math.prod(w.shape[1:])).swapaxes(1, 2)
    reserve((len(x), group * filters.shape[1], count), x.dtype)
    columns = filters @ x.reshape(len(x), group, share, count)
    y = places.fold(columns.reshape(len(x), group * w.shape[1], *places.kernel, *places.counts))
    return y if b is None else y + per_channel(b, y)


def _output_windows(
    counts: tuple[int, ...],
    kernel: tuple[int, ...],
    auto_pad: str,
    dilations: tuple[int, ...] | None,
    output_padding: tuple[int, ...] | None,
    output_shape: tuple[int, ...] | None,
    pads: tuple[int, ...] | None,
    strides: tuple[int, ...] | None,
) -> Windows:
    """The windows of the output to which ConvTranspose adds its filters."""
    rank = len(counts)
    check_auto_pad(auto_pad, None if output_shape else pads)
    strides = per_axis("strides", strides, rank, least=1)
    dilations = per_axis("dilations", dilations, rank, least=1)
    extra = per_axis("output_padding", output_padding, rank, least=0, default=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ValueError(f"output_padding {extra} is not below strides {strides} or dilations")
    axes = zip(counts, strides, spans(kernel, dilations), extra, strict=True)
    reach = [(count - 1) * stride + extent + e for count, stride, extent, e in axes]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = output_shape or tuple(map(operator.mul, counts, strides))
        size = per_axis("output_shape", wanted, rank, least=0)
        excess = [max(0, reached - n) for reached, n in zip(reach, size, strict=True)]
        before, after = halves(excess, odd_in_front=auto_pad != "SAME_UPPER")
    else:
        given = per_axis("pads", pads, 2 * rank, least=0, default=0)
        before, after = given[:rank], given[rank:]
        size = tuple(n - b - a for n, b, a in zip(reach, before, after, strict=True))
        if min(size, default=0) < 0:
            raise ValueError(f"pads {pads} take more than an image of size {tuple(reach)} has")
    return Windows(size, kernel, strides, dilations, before, after, counts)


@op("Col2Im", since=18, rounds=True)
def col2im(
    input: Array,
    image_shape: Array,
    block_shape: Array,
    /,
    *,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The image whose blocks are the columns of the input; where blocks overlap, their sum.

    The input is (batch, channels * block, blocks), the result (batch, channels, *image_shape).
    Raises ValueError if the image does not have that many blocks.

    >>> col2im(np.array([[[1, 2], [10, 20]]]), np.array([1, 3]), np.array([1, 2]))
    array([[[[ 1, 12, 20]]]])

    Spec: Col2Im-18.
    """
    places = windows(
        tuple(int_list(image_shape)), tuple(int_list(block_shape)),
        dilations=dilations, pads=pads, strides=strides,
    )  # fmt: skip
    batch, rows, blocks = input.shape
    channels, rest = divmod(rows, math.prod(places.kernel))
    if rest or blocks != math.prod(places.counts):
        raise ValueError(f"{rows} x {blocks} columns do not make up an image with {places.counts}")
    return places.fold(input.reshape(batch, channels, *places.kernel, *places.counts))


@op("DeformConv", since=19, rounds=True)
def deform_conv(
    x: Array,
    w: Array,
    offset: Array,
    b: Array | None = None,
    mask: Array | None = None,
    /,
    *,
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    offset_group: int = 1,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Conv whose windows are sampled off the grid: each element displaced by its ``offset``.

    ``offset`` is (batch, offset_group * kernel * rank, *output), the displacements along the first
    axis first, and ``mask`` (batch, offset_group * kernel, *output) weights the samples, which are
    interpolated linearly and zero outside of the image. Each offset group serves a run of channels.
    Raises ValueError for shapes and attributes that do not fit, TypeError for different dtypes.

    >>> x, half = np.array([[[[1.0, 3.0]]]]), np.array([0.0, 0.5]).reshape(1, 2, 1, 1)
    >>> deform_conv(x, np.ones((1, 1, 1, 1)), np.tile(half, (1, 1, 1, 2)))
    array([[[[2. , 1.5]]]])

    Spec: DeformConv-22; Dai et al. 2017, Zhu et al. 2018.
    """
    one_type(x, w, offset)
    _check_filters(x, w, group, w.shape[1] * group, kernel_shape)
    places = windows(x.shape[2:], w.shape[2:], dilations=dilations, pads=pads, strides=strides)
    batch, channels, rank = len(x), x.shape[1], x.ndim - 2
    views = batch * offset_group
    count = math.prod(places.kernel + places.counts)
    moves = offset.reshape(views, *places.kernel, rank, *places.counts)
    points = places.grid()[:, None] + np.moveaxis(moves, 1 + rank, 0)
    seen = sample(
        x.reshape(views, channels // offset_group, *x.shape[2:]),
        [taps(axis.reshape(views, count), linear_kernel, 1) for axis in points],
    )
    seen = seen if mask is None else seen * mask.reshape(views, 1, count)
    columns = seen.reshape(batch, channels, *places.kernel, *places.counts)
    y = _filtered(columns.astype(x.dtype, copy=False), w, group)
    return y if b is None else y + per_channel(b, y)
