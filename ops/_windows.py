"""The positions of a kernel on an image: the geometry that convolution and pooling share."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._budget import reserve, turn
from ._typing import Array, zero_of

_AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Windows:
    """The positions of a kernel along the last axes of a tensor, one number per axis throughout."""

    size: tuple[int, ...]
    """The image without its padding."""
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    """The padding in front."""
    after: tuple[int, ...]
    """The padding behind; a last window may reach beyond it."""
    counts: tuple[int, ...]
    """The number of positions, which is the size of the output."""

    def over(self, x: Array) -> Array:
        """The windows of the zero-padded ``x``, as a view of shape (..., *counts, *kernel).

        >>> windows((3,), (2,), pads=(1, 0)).over(np.array([1, 2, 3]))
        array([[0, 1],
               [1, 2],
               [2, 3]])
        """
        if not self.size:
            return x
        axes = tuple(range(x.ndim - len(self.size), x.ndim))
        extents = spans(self.kernel, self.dilations)
        every = np.lib.stride_tricks.sliding_window_view(self.padded(x), extents, axes)
        steps: Any = (slice(None, None, step) for step in (*self.strides, *self.dilations))
        return every[(Ellipsis, *steps)]

    def fold(self, columns: Array) -> Array:
        """The image whose every element is the sum of its values in all windows.

        The columns are (..., *kernel, *counts).

        The transpose of ``over``, as a linear map.

        >>> windows((3,), (2,)).fold(np.array([[1, 2], [10, 20]]))
        array([ 1, 12, 20])
        """
        lead = columns.shape[: columns.ndim - 2 * len(self.size)]
        shape = (*lead, *map(max, self._reach(), map(operator.add, self.before, self.size)))
        reserve(shape, columns.dtype)
        canvas = np.full(shape, zero_of(columns.dtype))
        for place, seen in self.positions():
            canvas[seen] += columns[place]
        inner: Any = (slice(b, b + n) for b, n in zip(self.before, self.size, strict=True))
        return canvas[(Ellipsis, *inner)]

    def positions(self) -> Iterator[tuple[Any, Any]]:
        """For each element of the kernel the index of its values in all windows, and in the image.

        The first is for an array (..., *kernel, *counts), the second for the padded image.
        """
        every = [slice(None)] * len(self.size)
        for place in itertools.product(*map(range, self.kernel)):
            turn()
            axes = zip(place, self.dilations, self.counts, self.strides, strict=True)
            seen = (slice(k * d, k * d + n * s, s) for k, d, n, s in axes)
            yield (Ellipsis, *place, *every), (Ellipsis, *seen)

    def grid(self) -> Array:
        """The coordinates on the image of each element of the kernel in each window.

        The shape is (rank, *kernel, *counts).

        >>> windows((3,), (2,), pads=(1, 0)).grid().tolist()
        [[[-1, 0, 1], [0, 1, 2]]]
        """
        shape = (*self.kernel, *self.counts)
        reserve((len(self.size), *shape), np.int64)
        steps = np.array([*self.dilations, *self.strides]).reshape(-1, *[1] * len(shape))
        in_kernel, of_kernel = np.split(np.indices(shape) * steps, 2)
        return in_kernel + of_kernel - np.reshape(self.before, (-1, *[1] * len(shape)))

    def known(self, *, with_padding: bool = False) -> Array:
        """Which elements of the windows (*kernel, *counts) belong to the image (or its padding).

        >>> windows((3,), (2,), pads=(1, 0)).known().tolist()
        [[False, True, True], [True, True, True]]
        """
        grid = self.grid()
        size, before, after = (
            np.reshape(n, (-1, *[1] * (grid.ndim - 1)))
            for n in (self.size, self.before, self.after)
        )
        if not with_padding:
            before = after = np.zeros_like(size)
        return np.asarray(((grid >= -before) & (grid < size + after)).all(axis=0))

    def padded(self, x: Array, fill: Any = 0) -> Array:
        """``x`` with ``fill`` around it, as far as the windows reach.

        >>> windows((3,), (2,), pads=(1, 5), strides=(9,)).padded(np.array([1, 2, 3]))
        array([0, 1, 2, 3])
        """
        axes = zip(self._reach(), self.before, self.size, strict=True)
        widths = [(before, max(0, reach - before - n)) for reach, before, n in axes]
        if not any(map(any, widths)):
            return x
        lead = x.shape[: x.ndim - len(widths)]
        reserve((*lead, *map(operator.add, self.size, map(sum, widths))), x.dtype)
        return np.pad(x, [(0, 0)] * len(lead) + widths, constant_values=fill)

    def _reach(self) -> tuple[int, ...]:
        """How far the last window reaches into the padded image."""
        extents = spans(self.kernel, self.dilations)
        steps = zip(self.counts, self.strides, extents, strict=True)
        return tuple((count - 1) * stride + extent for count, stride, extent in steps)


def windows(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Windows:
    """The positions of ``kernel`` on an image of ``size``, from the attributes of Conv and pooling.

    With ``ceil_mode`` a last window may reach beyond the end if it begins before the padding there
    (and the padding is given in ``pads``). Raises ValueError for attributes of the wrong length,
    below their least value, or that contradict each other, and for a kernel that does not fit into
    the padded image.

    >>> windows((5,), (2,), strides=(2,), ceil_mode=1).counts
    (3,)
    """
    rank = len(size)
    kernel = per_axis("kernel_shape", kernel, rank, least=1)
    strides = per_axis("strides", strides, rank, least=1)
    dilations = per_axis("dilations", dilations, rank, least=1)
    extents = spans(kernel, dilations)
    before, after = paddings(size, extents, strides, auto_pad, pads)
    counts = []
    for n, extent, stride, b, a in zip(size, extents, strides, before, after, strict=True):
        room = b + n + a - extent
        if room < 0:
            raise ValueError(
                f"a kernel that spans {extent} does not fit a padded axis of {b + n + a}"
            )
        count = room // stride + 1
        hangs_over = auto_pad == "NOTSET" and room % stride and count * stride < b + n
        counts.append(count + bool(ceil_mode and hangs_over))
    return Windows(size, kernel, strides, dilations, before, after, tuple(counts))


def per_axis(
    name: str, values: tuple[int, ...] | None, count: int, *, least: int, default: int = 1
) -> tuple[int, ...]:
    """An attribute with one number per axis, or the default for each.

    Raises ValueError for another number of numbers, or one below ``least``.

    >>> per_axis("strides", None, 2, least=1)
    (1, 1)
    """
    if values is None:
        return (default,) * count
    if len(values) != count or min(values, default=least) < least:
        raise ValueError(f"{name} {tuple(values)}: expected {count} numbers, each at least {least}")
    return tuple(values)


def spans(kernel: tuple[int, ...], dilations: tuple[int, ...]) -> tuple[int, ...]:
    """How many elements a kernel covers from its first to its last.

    >>> spans((3, 2), (1, 4))
    (3, 5)
    """
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))


def paddings(
    size: tuple[int, ...],
    extents: tuple[int, ...],
    strides: tuple[int, ...],
    auto_pad: str,
    pads: tuple[int, ...] | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding in front of and behind each axis.

    SAME_UPPER and SAME_LOWER pad to ``ceil(size / stride)`` positions, the odd one behind or in
    front.

    >>> paddings((4,), (4,), (1,), "SAME_UPPER", None)
    ((1,), (2,))
    """
    check_auto_pad(auto_pad, pads)
    if auto_pad in ("NOTSET", "VALID"):
        given = per_axis("pads", pads, 2 * len(size), least=0, default=0)
        return given[: len(size)], given[len(size) :]
    axes = zip(size, extents, strides, strict=True)
    total = [max(0, (-(-n // s) - 1) * s + extent - n) for n, extent, s in axes]
    return halves(total, odd_in_front=auto_pad == "SAME_LOWER")


def check_auto_pad(auto_pad: str, pads: tuple[int, ...] | None) -> None:
    """Raise ValueError for an unknown ``auto_pad``, and for one together with pads."""
    if auto_pad not in _AUTO_PADS:
        raise ValueError(f"auto_pad is one of {', '.join(_AUTO_PADS)}, not {auto_pad!r}")
    if auto_pad != "NOTSET" and any(pads or ()):
        raise ValueError(f"pads {pads} and auto_pad {auto_pad} cannot be used together")


def halves(total: list[int], *, odd_in_front: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Each number as the sum of two that differ by at most one.

    >>> halves([3, 4], odd_in_front=True)
    ((2, 2), (1, 2))
    """
    small = tuple(n // 2 for n in total)
    large = tuple(n - n // 2 for n in total)
    return (large, small) if odd_in_front else (small, large)
