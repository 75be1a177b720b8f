"""Softmax and attention in float32, each block of scores in cache from its making to its use.

Softmax does not change when a number is added to all scores of a row. Usually their maximum is
subtracted, lest the exponential overflow. Here the exponentials are tried without that: if every
row's sum is of ordinary size, nothing has over- or underflowed and the pass over the scores for
their maximum is saved. If not, the block is done once more, with the maximum.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from embedx import ops
from embedx.kernels._blocks import blocks, over_rows, result_for, rows_of
from embedx.kernels._registry import Constants, Prepared, fused, replaces
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage
from embedx.kernels.views import reshaper
from embedx.model.graph import Array, Node
from embedx.ops import reserve
from embedx.workers import spread

_SCORES = 2**17
"""Scores of a block: half a megabyte."""
_SMALLEST, _LARGEST = np.float32(2.0**-40), np.float32(2.0**100)
"""Between these a row's sum shows that its exponentials neither vanished nor overflowed."""


@replaces(ops.softmax, overwrites=(0,))
def softmax(input: Array, /, *, axis: int = -1, out: Array | None = None) -> Array:
    """Softmax-13; within 8 ulp, and one more for each 64 elements of a row.

    Elements below 2**-100 are off by no more than that. Where the maximum has to be subtracted, its
    difference to an element is rounded, as it is in the operator: another ulp for each unit of it.
    """
    last = axis in (-1, input.ndim - 1)
    if input.dtype != np.float32 or input.ndim == 0 or input.size == 0 or not last:
        return NotImplemented
    y = result_for(input, out)
    source, target = rows_of(input), rows_of(y)
    ones = np.ones(source.shape[1], np.float32)

    def work(block: slice, spare: Array) -> None:
        np.exp(source[block], out=spare)
        sums = np.vecdot(spare, ones)
        # Each row on its own, lest its last bits depend on the rows that share its block.
        odd = ~_ordinary(sums)
        if odd.any():
            rows = source[block][odd]
            spare[odd] = np.exp(rows - rows.max(axis=-1, keepdims=True))
            sums[odd] = np.vecdot(spare[odd], ones)
        np.divide(spare, sums[:, None], out=target[block])

    over_rows(work, *source.shape, scratch=1)
    return y


@replaces(ops.softmax_1, overwrites=(0,))
def softmax_1(input: Array, /, *, axis: int = 1, out: Array | None = None) -> Array:
    """Softmax-1, over all axes from ``axis`` on; as good as :func:`softmax`."""
    return softmax(input, out=out) if axis in (-1, input.ndim - 1) else NotImplemented


def _ordinary(sums: Array) -> Array:
    return (sums > _SMALLEST) & (sums < _LARGEST)  # both False for NaN


def _prepared_attention(node: Node, constants: Constants, storage: Storage) -> Prepared:
    """With the constant shapes of heads looked at beforehand."""
    given = [*constants, *[None] * 11][7:11]
    views = [reshaper(shape) for shape in given]
    return Prepared(partial(attention, views=views))


@fused("Attention", prepare=_prepared_attention)
def attention(
    q: Array, k: Array, v: Array, mask: Array | None = None, fill: Array | None = None,
    dead: Array | None = None, bias: Array | None = None, q_shape: Array | None = None,
    k_shape: Array | None = None, v_shape: Array | None = None, y_shape: Array | None = None, /, *,
    scale: float = 1.0, axis: int = -1, to_bool: int = 0, joined: int = 0,
    views: Sequence[Callable[[Array, Array], Array]] = (ops.reshape,) * 4,
) -> Array:  # fmt: skip
    """``softmax(q @ k * scale + mask + bias) @ v`` over the last two axes.

    Within 8 ulp of the largest of ``v``, one more for each 64 keys, and two for each unit of the
    largest ``|q| @ |k| * scale``, whose rounding the exponential enlarges. ``q`` is
    (..., queries, size), ``k`` (..., size, keys), ``v`` (..., keys, width). ``mask`` and ``bias``
    broadcast to the scores (..., queries, keys) and are added, or with ``fill`` the mask is True
    where scores become that number; ``to_bool`` makes it bool first; ``joined`` adds the bias to
    the mask and not to the scores. ``dead`` is the number that probabilities that are NaN become.

    With ``q_shape`` q is first reshaped to that shape, (batch, queries, heads, size), and its axes
    are brought in order, k and v likewise; with ``y_shape`` the heads of the result are put side by
    side, and it is reshaped. ``views`` does the reshaping.
    """
    shapes = (q_shape, k_shape, v_shape)
    try:
        q, k, v = (
            x if shape is None else view(x, shape).transpose(axes)
            for x, shape, view, axes in zip((q, k, v), shapes, views[:3], _AXES, strict=True)
        )
    except ValueError:
        return NotImplemented
    masks = [m.astype(bool) if to_bool else m for m in (mask, bias) if m is not None]
    if joined and len(masks) == 2:
        if masks[0].dtype != masks[1].dtype:
            return NotImplemented
        masks = [ops.add(*masks)]
    if not _takes(q, k, v, masks, fill, dead, axis) or (y_shape is not None and q.ndim != 4):
        return NotImplemented
    scores = (*q.shape[:-1], k.shape[-1])
    # A mask of zeros, as texts without padding have it, changes nothing.
    masks = [np.broadcast_to(m, scores) for m in masks if m.any()]
    y = _attended(q, k, v, masks, fill, dead, scale)
    if y_shape is None:
        return y
    try:
        return views[3](y.swapaxes(1, 2), y_shape)
    except ValueError:
        return NotImplemented


_AXES = ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
"""What makes q, k and v of heads that lie side by side in each token."""


def _attended(
    q: Array, k: Array, v: Array, masks: list[Array], fill: Array | None, dead: Array | None,
    scale: float,
) -> Array:  # fmt: skip
    lead, queries, keys = q.shape[:-2], q.shape[-2], k.shape[-1]
    memory, y = _result(lead, queries, v.shape[-1])
    places = list(_places(lead, queries, keys))
    ones = np.ones((keys, 1), np.float32)

    def scored(part: tuple[slice, ...], careful: bool = False) -> Array:
        # Fewer numbers are scaled before the product, but they may overflow where it does not.
        some, others = q[part], k[part[:-1]]
        if scale != 1 and not careful:
            some = np.multiply(some, np.float32(scale), out=fresh(some.shape, np.float32))
        scores = fresh((*some.shape[:-1], keys), np.float32)
        np.matmul(some, others, out=scores)
        if scale != 1 and careful:
            np.multiply(scores, np.float32(scale), out=scores)
        for m in masks:
            if fill is None:
                np.add(scores, m[part], out=scores)
            else:
                np.copyto(scores, fill, where=m[part])
        return scores

    def probabilities(part: tuple[slice, ...]) -> Array:
        p = scored(part, careful=True)
        np.subtract(p, p.max(axis=-1, keepdims=True), out=p)
        np.exp(p, out=p)
        np.divide(p, p @ ones, out=p)
        if dead is not None:
            np.copyto(p, dead, where=np.isnan(p))
        return p

    # Each matrix of scores goes one way or the other for itself: not even its last bits depend on
    # the texts beside it.
    def work(start: int, stop: int) -> None:
        for part in places[start:stop]:
            e = scored(part)
            np.exp(e, out=e)
            sums = e @ ones
            odd = ~_ordinary(sums).all(axis=(-2, -1), keepdims=True)
            if odd.any():
                np.copyto(e, probabilities(part), where=odd)
                np.copyto(sums, np.float32(1), where=odd)
            np.matmul(e, v[part[:-1]], out=y[part])
            np.divide(y[part], sums, out=y[part])

    def carefully(start: int, stop: int) -> None:
        for part in places[start:stop]:
            odd = ~np.isfinite(y[part]).all(axis=(-2, -1), keepdims=True)
            if odd.any():
                np.copyto(y[part], np.matmul(probabilities(part), v[part[:-1]]), where=odd)

    spread(work, len(places), 1)
    # Large values times a large sum may have overflowed before they were divided by it.
    if not np.isfinite(np.dot(memory, memory)):
        spread(carefully, len(places), 1)
    return y


def _takes(
    q: Array, k: Array, v: Array, masks: list[Array], fill: Array | None, dead: Array | None,
    axis: int,
) -> bool:  # fmt: skip
    """Whether all is float32, of like shapes, and nothing broadcasts the scores up."""
    kind = np.float32 if fill is None else np.bool_
    numbers = [number for number in (fill, dead) if number is not None]
    if not (
        min(q.ndim, k.ndim, v.ndim) >= 2
        and q.dtype == k.dtype == v.dtype == np.float32
        and all(m.dtype == kind for m in masks)
        and all(n.dtype == np.float32 and n.size == 1 and n.ndim <= q.ndim for n in numbers)
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
        and (q.shape[-1], k.shape[-1]) == (k.shape[-2], v.shape[-2])
        and axis in (-1, q.ndim - 1)
    ):
        return False
    scores = (*q.shape[:-1], k.shape[-1])
    return 0 not in (*scores, v.shape[-1]) and all(_broadcasts(m.shape, scores) for m in masks)


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of a shape broadcasts to the target, and the target stays as it is."""
    fitting = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(n in (1, size) for n, size in fitting)


def _result(lead: tuple[int, ...], queries: int, width: int) -> tuple[Array, Array]:
    """Memory as a vector, and as the result (*lead, queries, width).

    The heads of a token lie side by side in it, as the node behind wants them.
    """
    shape = (*lead, queries, width)
    reserve(shape, np.float32)
    swapped = len(lead) == 2
    y = fresh((lead[0], queries, lead[1], width) if swapped else shape, np.float32)
    return y.reshape(-1), y.swapaxes(1, 2) if swapped else y


def _places(lead: tuple[int, ...], queries: int, keys: int) -> Iterator[tuple[slice, ...]]:
    """Index tuples that cover the scores (*lead, queries) in blocks that stay in cache."""
    room = _SCORES // max(keys, 1)
    spans: list[list[slice]] = []
    for size in (queries, *reversed(lead)):
        count = math.ceil(size / max(room, 1))
        spans.append(list(blocks(0, size, math.ceil(size / count) if count else 1)))
        room //= max(size, 1)
    return itertools.product(*reversed(spans))
