"""Reading and changing shapes. The results may be views of the input."""

from __future__ import annotations

import math

import numpy as np

from ._budget import reserve
from ._checks import axes_in, axis_in, int_list
from ._registry import op
from ._typing import Array


@op("Shape", since=1)
def shape(data: Array, /, *, end: int | None = None, start: int = 0) -> Array:
    """The dimensions of ``data`` from ``start`` to before ``end``, as int64.

    Negative numbers count from the end, and both are clamped to the rank.

    >>> shape(np.zeros((2, 3, 4)), start=-2)
    array([3, 4])

    Spec: Shape-25.
    """
    return np.array(data.shape[start:end], np.int64)


@op("Size", since=1)
def size(data: Array, /) -> Array:
    """The number of elements, as an int64 scalar.

    >>> size(np.zeros((2, 3)))
    array(6)

    Spec: Size-25.
    """
    return np.array(data.size, np.int64)


@op("Reshape", since=5)
def reshape(data: Array, shape: Array, /, *, allowzero: int = 0) -> Array:
    """The same elements in another shape.

    One dimension may be -1, which is inferred. 0 copies the input's dimension at that position, or
    means 0 with ``allowzero=1``. Raises ValueError if the numbers of elements differ, or for
    another dimension below 0, TypeError for dimensions that are not integers.

    >>> reshape(np.zeros((2, 3, 4)), np.array([0, -1])).shape
    (2, 12)

    Spec: Reshape-25.
    """
    wanted = int_list(shape)
    if min(wanted, default=0) < -1 or wanted.count(-1) > 1:
        raise ValueError(f"the shape {wanted} has a dimension below -1, or more than one -1")
    if not allowzero:
        if 0 in wanted[data.ndim :]:
            raise ValueError(
                f"the shape {wanted} copies a dimension that {data.shape} does not have"
            )
        wanted = [n or data.shape[i] for i, n in enumerate(wanted)]
    elif 0 in wanted and -1 in wanted:
        raise ValueError(f"with allowzero the shape {wanted} leaves -1 undefined")
    if 0 in wanted and -1 not in wanted:
        reserve(wanted, data.dtype)
    return data.reshape(wanted)


@op("Reshape", since=1)
def reshape_1(data: Array, /, *, shape: tuple[int, ...] | None = None) -> Array:
    """The same elements in another shape, an attribute.

    Raises ValueError if the numbers of elements differ.

    >>> reshape_1(np.zeros((2, 3, 4)), shape=(0, -1)).shape
    (2, 12)

    Spec: Reshape-1.
    """
    return reshape(data, np.array(shape or (), np.int64))


@op("Flatten", since=1)
def flatten(input: Array, /, *, axis: int = 1) -> Array:
    """A matrix: the dimensions before ``axis`` become its rows, the others its columns.

    ``axis`` is in [-rank, rank]. Raises ValueError otherwise.

    >>> flatten(np.zeros((2, 3, 4)), axis=2).shape
    (6, 4)

    Spec: Flatten-25.
    """
    cut = axis if axis == input.ndim else axis_in(axis, input.ndim)
    return input.reshape(math.prod(input.shape[:cut]), math.prod(input.shape[cut:]))


@op("Transpose", since=1)
def transpose(data: Array, /, *, perm: tuple[int, ...] | None = None) -> Array:
    """The input with its axes in the order of ``perm``, or reversed.

    Raises ValueError unless ``perm`` names each axis once.

    >>> transpose(np.zeros((2, 3, 4)), perm=(2, 0, 1)).shape
    (4, 2, 3)

    Spec: Transpose-25.
    """
    if perm is not None and sorted(perm) != list(range(data.ndim)):
        raise ValueError(f"perm {perm} does not permute {data.ndim} axes")
    return data.transpose(perm)


@op("Squeeze", since=13)
def squeeze(data: Array, axes: Array | None = None, /) -> Array:
    """The input without the given ``axes``, whose size is 1, or without all axes of size 1.

    Raises ValueError for an axis that does not exist, is named twice, or has another size,
    TypeError for axes that are not integers.

    >>> squeeze(np.zeros((1, 3, 1)), np.array([-1])).shape
    (1, 3)

    Spec: Squeeze-25.
    """
    return data.squeeze() if axes is None else data.squeeze(axes_in(int_list(axes), data.ndim))


@op("Squeeze", since=1)
def squeeze_1(data: Array, /, *, axes: tuple[int, ...] | None = None) -> Array:
    """The input without the given ``axes`` (an attribute), or without all axes of size 1.

    Raises ValueError for an axis that does not exist, is named twice, or has another size.

    >>> squeeze_1(np.zeros((1, 3, 1)), axes=(0,)).shape
    (3, 1)

    Spec: Squeeze-11.
    """
    return squeeze(data, None if axes is None else np.array(axes, np.int64))


@op("Unsqueeze", since=13)
def unsqueeze(data: Array, axes: Array, /) -> Array:
    """The input with new axes of size 1, at the positions ``axes`` of the result.

    Raises ValueError for a position named twice or outside the result's rank, TypeError for
    positions that are not integers.

    >>> unsqueeze(np.zeros(3), np.array([0, -1])).shape
    (1, 3, 1)

    Spec: Unsqueeze-25.
    """
    places = int_list(axes)
    return np.expand_dims(data, axes_in(places, data.ndim + len(places)))


@op("Unsqueeze", since=1)
def unsqueeze_1(data: Array, /, *, axes: tuple[int, ...]) -> Array:
    """The input with new axes of size 1, at the positions ``axes`` (an attribute) of the result.

    Raises ValueError for a position named twice or outside the result's rank.

    >>> unsqueeze_1(np.zeros(3), axes=(0, 2)).shape
    (1, 3, 1)

    Spec: Unsqueeze-11.
    """
    return unsqueeze(data, np.array(axes, np.int64))


@op("Expand", since=8)
def expand(input: Array, shape: Array, /) -> Array:
    """The input broadcast against ``shape``, either of which may be the smaller.

    The result is a read-only view. Raises ValueError for shapes that do not broadcast, TypeError
    for dimensions that are not integers.

    >>> expand(np.array([[1], [2]]), np.array([3])).tolist()
    [[1, 1, 1], [2, 2, 2]]

    Spec: Expand-13.
    """
    wanted = np.broadcast_shapes(input.shape, tuple(int_list(shape)))
    reserve(wanted, input.dtype)
    return np.broadcast_to(input, wanted)


@op("Identity", since=1)
def identity(input: Array, /) -> Array:
    """The input itself, whether a tensor, a sequence or an optional.

    >>> identity(np.array([1]))
    array([1])

    Spec: Identity-25.
    """
    return input


@op("DepthToSpace", since=1)
def depth_to_space(input: Array, /, *, blocksize: int, mode: str = "DCR") -> Array:
    """Images whose channels are rearranged into blocks of ``blocksize x blocksize`` pixels.

    The input is (batch, channels, height, width). The channels of a block are adjacent in "CRD"
    mode, and a depth apart in "DCR" mode. Raises ValueError for another mode or rank, and if the
    blocks do not divide the channels.

    >>> depth_to_space(np.arange(4).reshape(1, 4, 1, 1), blocksize=2)
    array([[[[0, 1],
             [2, 3]]]])

    Spec: DepthToSpace-28.
    """
    _check_blocks(input, blocksize, mode)
    batch, channels, height, width = input.shape
    depth, rest = divmod(channels, blocksize**2)
    if rest:
        raise ValueError(f"{channels} channels do not make up blocks of {blocksize}")
    if mode == "DCR":
        blocks = input.reshape(batch, blocksize, blocksize, depth, height, width)
        moved = blocks.transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = input.reshape(batch, depth, blocksize, blocksize, height, width)
        moved = blocks.transpose(0, 1, 4, 2, 5, 3)
    return moved.reshape(batch, depth, height * blocksize, width * blocksize)


@op("SpaceToDepth", since=1)
def space_to_depth(input: Array, /, *, blocksize: int, mode: str = "DCR") -> Array:
    """Images whose blocks of ``blocksize x blocksize`` pixels are rearranged into channels.

    The inverse of DepthToSpace with the same mode. Raises ValueError for another mode or rank, and
    if the blocks do not divide the image.

    >>> space_to_depth(np.arange(4).reshape(1, 1, 2, 2), blocksize=2).ravel()
    array([0, 1, 2, 3])

    Spec: SpaceToDepth-28.
    """
    _check_blocks(input, blocksize, mode)
    batch, depth, height, width = input.shape
    rows, columns = height // blocksize, width // blocksize
    if (rows * blocksize, columns * blocksize) != (height, width):
        raise ValueError(f"an image of {height} x {width} has no blocks of {blocksize}")
    blocks = input.reshape(batch, depth, rows, blocksize, columns, blocksize)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return blocks.transpose(order).reshape(batch, depth * blocksize**2, rows, columns)


def _check_blocks(input: Array, blocksize: int, mode: str) -> None:
    if input.ndim != 4 or blocksize < 1 or mode not in ("DCR", "CRD"):
        raise ValueError(f"blocks of {blocksize} in mode {mode!r} for shape {input.shape}")
