"""Convolutions with constant filters, in blocks that stay in a processor's cache.

A block of windows becomes the columns of a matrix, which meets the filters while it is in the
cache. Where each channel has a filter of its own there are no matrices to multiply: the image,
shifted and scaled, is added up for each element of the kernel. Filters of 8 bits are whole numbers
in float32, and a window is cut into runs for each of which no sum can be beyond 2**24.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedx import ops
from embedx.kernels._blocks import CACHED, blocks, over_products
from embedx.kernels._buffers import unbuffered
from embedx.kernels._registry import Constants, Prepared, replaces
from embedx.kernels.integers import exact_rows
from embedx.kernels.memory import fresh
from embedx.kernels.quantization import to_narrow
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, SparseTensor
from embedx.ops import reserve
from embedx.ops.conv import Windows, columns_of, windows_of
from embedx.ops.microsoft.activation import activated
from embedx.workers import pieces_of

_WIDE = 512
"""Columns of a block: with fewer the filters, which each product packs anew, cost more than is
gained, from 10 elements in a window to 2304, and from 64 filters to 768."""
_COLUMNS = 2**17
"""Elements of a block of columns, if it holds several groups."""
_NARROW = (np.dtype(np.uint8), np.dtype(np.int8))

_Use = Callable[[Array, Any], None]
"""Takes sums, and their place in the result (batch, filters, *counts)."""


@dataclass(frozen=True)
class _Filters:
    """Filters (filters, channels / group, *kernel) in float32, without their zero points."""

    weight: Array
    group: int
    runs: tuple[slice, ...]
    """The elements of a window, cut so that the sums of integers over each run are exact."""

    def over(self, image: Array, places: Windows, use: _Use) -> None:
        """Call ``use`` with the sums for the windows of a float32 image, block by block."""
        if self.weight.shape[:2] == (self.group, 1) and len(self.runs) == 1:
            self._over_taps(image, places, use)
        else:
            self._over_columns(image, places, use)

    def _over_columns(self, image: Array, places: Windows, use: _Use) -> None:
        columns, counts = columns_of(image, places), places.counts
        share, channels = len(self.weight) // self.group, self.weight.shape[1]
        inner, rest = math.prod(self.weight.shape[1:]), math.prod(counts[1:])
        matrices = self.weight.reshape(self.group, share, inner)
        pieces = pieces_of(len(self.weight) * inner * math.prod(counts), 2**22)
        height = min(
            max(1, _WIDE // rest), counts[0] if len(image) >= pieces else -(-counts[0] // pieces)
        )
        groups = max(1, min(self.group, _COLUMNS // (inner * height * rest)))
        tasks = list(
            itertools.product(
                range(len(image)), blocks(0, self.group, groups), blocks(0, counts[0], height)
            )
        )
        plain = places.kernel == places.strides == (1,) * len(counts)

        def work(start: int, stop: int) -> None:
            held = fresh((0 if plain else groups * inner * height * rest,), np.float32)
            product = fresh((groups * share * height * rest,), np.float32)
            for example, some, span in tasks[start:stop]:
                of_channels = slice(some.start * channels, some.stop * channels)
                of_filters = slice(some.start * share, some.stop * share)
                kernel = len(counts) * (slice(None),)
                seen = columns[(example, of_channels, *kernel, span)]
                if not plain:
                    block = held[: seen.size].reshape(seen.shape)
                    np.copyto(block, seen)
                    seen = block
                flat = seen.reshape(len(matrices[some]), inner, -1)
                sums = self._product(matrices[some], flat, product)
                shape = (-1, span.stop - span.start, *counts[1:])
                with unbuffered():
                    use(sums.reshape(shape), (example, of_filters, span))

        over_products(work, len(tasks), (share * groups, inner, height * rest))

    def _product(self, matrices: Array, columns: Array, scratch: Array) -> Array:
        """The sums of some groups; int32 if there are several runs, which may wrap around."""
        shape = (*matrices.shape[:2], columns.shape[2])
        part = scratch[: math.prod(shape)].reshape(shape)
        total = None if len(self.runs) == 1 else np.zeros(shape, np.int32)
        for run in self.runs:
            np.matmul(matrices[..., run], columns[:, run], out=part)
            if total is not None:
                total += part.astype(np.int32)
        return part if total is None else total

    def _over_taps(self, image: Array, places: Windows, use: _Use) -> None:
        strides, kernel = places.strides, places.kernel
        reach = [(k - 1) * d for k, d in zip(kernel, places.dilations, strict=True)]
        cells = [n + r // s for n, r, s in zip(places.counts, reach, strides, strict=True)]
        plane = math.prod(cells)
        # Channels come first, so that the planes of several images lie behind one another.
        batch = max(1, min(len(image), CACHED // max(plane, 1)))
        channels = max(1, CACHED // max(plane * batch, 1))
        tasks = list(
            itertools.product(blocks(0, len(image), batch), blocks(0, self.group, channels))
        )
        offsets = np.indices(kernel).reshape(len(kernel), -1).T * places.dilations
        phases = np.ravel_multi_index(tuple((offsets % strides).T), strides)
        shifts = np.ravel_multi_index(tuple((offsets // strides).T), cells)
        weights = self.weight.reshape(self.group, 1, -1)
        inner = tuple(slice(n) for n in places.counts)

        def work(start: int, stop: int) -> None:
            for place in tasks[start:stop]:
                flat = _phases(image[place].swapaxes(0, 1), places, cells)
                total = fresh((len(flat), flat.shape[-1]), np.float32)
                scaled = fresh(total.shape, np.float32)
                whole = total[:, : total.shape[1] - shifts.max()]
                part = scaled[:, : whole.shape[1]]
                with unbuffered():
                    for i, (phase, shift) in enumerate(zip(phases, shifts, strict=True)):
                        seen = flat[:, phase, shift : shift + whole.shape[1]]
                        np.multiply(seen, weights[place[1], :, i], out=part if i else whole)
                        if i:
                            np.add(whole, part, out=whole)
                    sums = total.reshape(len(flat), -1, *cells).swapaxes(0, 1)
                    use(sums[(slice(None), slice(None), *inner)], place)

        over_products(work, len(tasks), (len(offsets), channels, batch, plane))


def _phases(image: Array, places: Windows, cells: list[int]) -> Array:
    """The padded image (channels, batch, *size) as (channels, phases, batch * cells).

    A phase has every ``strides``-th element: there, windows next to one another are one apart.
    """
    strides, rank = places.strides, len(cells)
    size = [n * s for n, s in zip(cells, strides, strict=True)]
    canvas = fresh((*image.shape[:2], *size), np.float32)
    canvas[...] = 0
    axes = list(zip(size, places.before, image.shape[2:], strict=True))
    inner = tuple(slice(before, min(before + n, total)) for total, before, n in axes)
    seen = tuple(slice(max(0, min(n, total - before))) for total, before, n in axes)
    both = (slice(None), slice(None))
    canvas[(*both, *inner)] = image[(*both, *seen)]
    if math.prod(strides) > 1:
        pairs = [n for pair in zip(cells, strides, strict=True) for n in pair]
        split = canvas.reshape(*image.shape[:2], *pairs)
        odd, even = range(3, 3 + 2 * rank, 2), range(2, 2 + 2 * rank, 2)
        canvas = split.transpose(0, *odd, 1, *even)
    return canvas.reshape(len(image), math.prod(strides), -1)


def _filters(weight: Array, group: int, zero_point: Array | None = None) -> _Filters | None:
    """The filters, if they are some: what does not fit is left to the operator."""
    if weight.ndim < 3 or weight.size == 0 or group < 1 or len(weight) % group:
        return None
    if weight.dtype == np.float32:
        # What lies at an odd address in a file would be copied by each product.
        return _Filters(np.require(weight, np.float32, ["C", "A"]), group, (slice(None),))
    centred = weight.astype(np.float32)
    if zero_point is not None:
        if zero_point.dtype != weight.dtype or zero_point.size not in (1, len(weight)):
            return None
        centred -= ops.integer.per_filter(zero_point, weight).astype(np.float32)
    elements = centred.reshape(len(weight), -1).T
    runs: list[slice] = []
    while not runs or runs[-1].stop < len(elements):
        start = runs[-1].stop if runs else 0
        runs.append(slice(start, start + exact_rows(elements[start:])))
    return _Filters(centred, group, tuple(runs))


def _result(x: Array, w: Array, places: Windows, dtype: Any) -> Array:
    shape = (len(x), len(w), *places.counts)
    reserve(shape, dtype)
    return fresh(shape, dtype)


def _along_filters(values: Array, filters: int, rank: int) -> Array:
    """One number per filter, or one for all, to broadcast against sums (filters, *counts)."""
    return np.broadcast_to(values.reshape(-1), filters).reshape(-1, *[1] * rank)


def _prepared_conv(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    weight = constants[1]
    if not isinstance(weight, np.ndarray) or weight.dtype != np.float32:
        return None
    filters = _filters(weight, int(node.attributes.get("group", 1)))
    if filters is None:
        return None

    def call(x: Array, w: Array, b: Array | None = None, /, **geometry: Any) -> Array:
        if x.dtype != np.float32 or (
            b is not None and (b.dtype, b.shape) != (x.dtype, w.shape[:1])
        ):
            return NotImplemented
        places = windows_of(x, w, **geometry)
        y = _result(x, w, places, np.float32)
        bias = None if b is None else _along_filters(b, len(w), len(places.counts))

        def use(sums: Array, place: Any) -> None:
            if bias is None:
                y[place] = sums
            else:
                np.add(sums, bias[place[1]], out=y[place])

        filters.over(x, places, use)
        return y

    return Prepared(call)


@replaces(ops.conv, prepare=_prepared_conv)
def conv(x: Array, w: Array, b: Array | None = None, /, **geometry: Any) -> Array:
    """Conv-22 with constant filters; the sum of the products in another order."""
    return NotImplemented


def _prepared_fused(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    plain = _prepared_conv(node, constants, storage)
    if plain is None:
        return None

    def call(
        x: Array, w: Array, b: Array | None = None, z: Array | None = None, /, *,
        activation: str | None = None, activation_params: tuple[float, ...] | None = None,
        **geometry: Any,
    ) -> Array:  # fmt: skip
        y = plain.call(x, w, b, **geometry)
        if y is NotImplemented or (z is not None and (z.dtype, z.shape) != (y.dtype, y.shape)):
            return NotImplemented
        alpha, beta = (*(activation_params or ()), None, None)[:2]
        return activated(y if z is None else y + z, activation, alpha, beta)

    return Prepared(call)


@replaces(ops.microsoft.fused_conv, prepare=_prepared_fused)
def fused_conv(
    x: Array, w: Array, b: Array | None = None, z: Array | None = None, /, **attributes: Any
) -> Array:
    """com.microsoft.FusedConv with constant filters; as good as :func:`conv`."""
    return NotImplemented


def _integer_filters(
    node: Node, constants: Constants, weight: int, zero_point: int
) -> _Filters | None:
    """The filters of 8 bits, if they and their zero point are constant."""
    w = constants[weight]
    zero = constants[zero_point] if zero_point < len(constants) else None
    named = zero_point < len(node.inputs) and node.inputs[zero_point] != ""
    if not isinstance(w, np.ndarray) or w.dtype not in _NARROW or isinstance(zero, SparseTensor):
        return None
    if named and zero is None:
        return None
    return _filters(w, int(node.attributes.get("group", 1)), zero)


def _centred(x: Array, zero_point: Array | None) -> Array:
    """``x - zero_point`` in float32."""
    image = x.astype(np.float32)
    if zero_point is not None:
        np.subtract(image, np.float32(zero_point.reshape(())), out=image)
    return image


def _fits(x: Array, zero_point: Array | None) -> bool:
    return x.dtype in _NARROW and (
        zero_point is None or (zero_point.dtype, zero_point.size) == (x.dtype, 1)
    )


def _prepared_integer(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    filters = _integer_filters(node, constants, 1, 3)
    if filters is None:
        return None

    def call(
        x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None, /,
        **geometry: Any,
    ) -> Array:  # fmt: skip
        if not _fits(x, x_zero):
            return NotImplemented
        image = _centred(x, x_zero)
        places = windows_of(image, filters.weight, **geometry)
        y = _result(x, w, places, np.int32)

        def use(sums: Array, place: Any) -> None:
            np.copyto(y[place], sums, casting="unsafe")

        filters.over(image, places, use)
        return y

    return Prepared(call)


@replaces(ops.conv_integer, prepare=_prepared_integer)
def conv_integer(
    x: Array, w: Array, x_zero_point: Array | None = None, w_zero_point: Array | None = None, /,
    **geometry: Any,
) -> Array:  # fmt: skip
    """ConvInteger-10, bit for bit; with constant filters only."""
    return NotImplemented


def _prepared_qlinear(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    filters = _integer_filters(node, constants, 3, 5)
    if filters is None:
        return None

    def call(
        x: Array, x_scale: Array, x_zero: Array, w: Array, w_scale: Array, w_zero: Array,
        y_scale: Array, y_zero: Array, b: Array | None = None, /, *,
        channels_last: int = 0, **geometry: Any,
    ) -> Array:  # fmt: skip
        single = x_scale.size == y_scale.size == y_zero.size == 1
        scales = [x_scale, w_scale, y_scale]
        plain = all(s.dtype == np.float32 for s in scales) and y_zero.dtype in _NARROW
        whole = b is None or (b.dtype == np.int32 and b.shape == w.shape[:1])
        if not (single and plain and whole and _fits(x, x_zero)) or w_scale.size not in (1, len(w)):
            return NotImplemented
        scale = np.asarray(x_scale.reshape(()) * w_scale.reshape(-1) / y_scale.reshape(()))
        if not all(np.isfinite(s).all() for s in (*scales, scale)) or not y_scale.all():
            return NotImplemented
        image = _centred(np.moveaxis(x, -1, 1) if channels_last else x, x_zero)
        places = windows_of(image, filters.weight, **geometry)
        y = _result(image, w, places, y_zero.dtype)
        factor = _along_filters(scale, len(w), len(places.counts))
        addend = None if b is None else _along_filters(b, len(w), len(places.counts))

        def use(sums: Array, place: Any) -> None:
            if addend is not None:
                sums = sums.astype(np.int32) + addend[place[1]]
            part = np.multiply(sums.astype(np.float32, copy=False), factor[place[1]])
            to_narrow(np.rint(part, out=part), y_zero, y[place])

        filters.over(image, places, use)
        return np.moveaxis(y, 1, -1) if channels_last else y

    return Prepared(call)


@replaces(ops.microsoft.qlinear_conv, prepare=_prepared_qlinear)
@replaces(ops.qlinear_conv, prepare=_prepared_qlinear)
def qlinear_conv(
    x: Array, x_scale: Array, x_zero_point: Array, w: Array, w_scale: Array, w_zero_point: Array,
    y_scale: Array, y_zero_point: Array, b: Array | None = None, /, **attributes: Any,
) -> Array:  # fmt: skip
    """QLinearConv-10, and com.microsoft's, bit for bit; with constant filters only."""
    return NotImplemented
