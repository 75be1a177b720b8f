"""What a difference looks like, small enough to be kept when the tensors are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from embedx.model.graph import Array
from embedx.oracle.floor import Floor, difference, finite, row_rms

_WORST = 8
"""Elements that are kept."""

_LEAST, _MOST = -8, 40
"""Powers of two of the floor that are told apart; what is less or more counts as these."""

EDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e6)
"""Where the bins of ``torch.onnx.verification`` begin and end."""


TINY = 1e-7
"""What ``torch.onnx.verification`` adds to the size of what is exact, so that it is not 0."""


class Element(NamedTuple):
    """One number of a tensor."""

    place: tuple[int, ...]
    exact: float
    """What the referee has."""
    value: float
    """What the candidate has."""
    floor: float | None
    """The deviation that rounding explains there; None where nothing is known of it."""

    @property
    def times(self) -> float | None:
        """How many times the floor the value is off."""
        if self.floor is None:
            return None
        off = abs(self.value - self.exact)
        return off / self.floor if self.floor else (float("inf") if off else 0.0)


@dataclass(frozen=True)
class Detail:
    """A candidate's tensor beside the exact one, or several of one edge."""

    shape: tuple[int, ...]
    types: tuple[str, str]
    """Of the exact tensor, and of the candidate's."""
    deviation: float | None = None
    """The difference in the row that is furthest off for its floor, relative to the row's values;
    root mean square. None where there are no floats."""
    floor: float | None = None
    """What of it rounding explains."""
    worst: tuple[Element, ...] = ()
    """The elements that are furthest off for the floor, from the worst on."""
    powers: tuple[tuple[int | None, int], ...] = ()
    """How many elements are off by how many times the floor: up to the power of two of this
    exponent and beyond the one before; None for those that are not off."""
    max_abs: float | None = None
    max_rel: float | None = None
    """The largest difference, and the largest relative to what is exact and ``TINY`` more."""
    abs_counts: tuple[int, ...] = ()
    """How many differences lie in each of the bins between ``EDGES``."""
    rel_counts: tuple[int, ...] = ()
    """The same for differences relative to the exact values."""
    run: int = 0
    """Of which run the worst elements and the deviation are told."""


def detail(value: Array, exact: Array, keep: Array | None, floor: Floor | None) -> Detail:
    """How a candidate's ``value`` differs from the ``exact`` one.

    ``keep`` are the elements that count (``inputs.tokens_of``); ``floor`` is None for integers.
    """
    shape = tuple(int(n) for n in exact.shape)
    found = Detail(shape, (exact.dtype.name, value.dtype.name))
    if value.shape != exact.shape or not {exact.dtype.kind, value.dtype.kind} <= set("fiubV"):
        return found
    off = difference(value, exact)
    if keep is not None:
        off = np.where(keep, off, 0.0)
    size = np.abs(off)
    with np.errstate(all="ignore"):
        relative = size / (np.abs(finite(exact)) + TINY)
    found = replace(
        found, max_abs=float(size.max(initial=0)), max_rel=float(relative.max(initial=0)),
        abs_counts=_counts(size), rel_counts=_counts(relative),
        worst=_worst(value, exact, size, size, None),
    )  # fmt: skip
    rows = row_rms(off)
    if floor is None or floor.rows.shape != rows.shape:
        return found
    allowed = floor.allowed
    each = np.broadcast_to(allowed[:, None], (len(rows), off.size // max(len(rows), 1)))
    with np.errstate(all="ignore"):
        times = np.where(size == 0, 0.0, size / each.reshape(shape))
    ratios = floor.ratios(rows)
    row = (
        int(np.argmax(ratios))
        if ratios.any()
        else int(np.argmax(floor.sizes))
        if len(rows)
        else None
    )
    if row is None:
        return found
    scale = float(floor.sizes[row])
    return replace(
        found,
        deviation=float(rows[row]) / scale if scale else None,
        floor=float(allowed[row]) / scale if scale else None,
        worst=_worst(value, exact, size, times, each.reshape(shape)), powers=_powers(times),
    )  # fmt: skip


def _counts(sizes: Array) -> tuple[int, ...]:
    return tuple(int(n) for n in np.histogram(sizes[np.isfinite(sizes)], EDGES)[0])


def _worst(
    value: Array, exact: Array, size: Array, order: Array, floors: Array | None
) -> tuple[Element, ...]:
    flat = order.ravel()
    count = min(_WORST, int(np.count_nonzero(flat)))
    if not count:
        return ()
    places = np.argpartition(flat, flat.size - count)[flat.size - count :]
    found = []
    for place in sorted(places.tolist(), key=lambda p: (-flat[p], -size.ravel()[p], p)):
        index = tuple(int(i) for i in np.unravel_index(place, order.shape))
        allowed = None if floors is None else float(floors[index])
        found.append(Element(index, float(exact[index]), float(value[index]), allowed))
    return tuple(found)


def _powers(times: Array) -> tuple[tuple[int | None, int], ...]:
    off = times[times > 0]
    with np.errstate(all="ignore"):
        exponents = np.clip(np.nan_to_num(np.ceil(np.log2(off))), _LEAST, _MOST)
    known, counts = np.unique(exponents.astype(int), return_counts=True)
    same = int(times.size - off.size)
    first: list[tuple[int | None, int]] = [(None, same)] if same else []
    return (*first, *zip(known.tolist(), counts.tolist(), strict=True))


def joined(several: Sequence[Detail], ratios: Sequence[float | None]) -> Detail | None:
    """The details of several runs as one: of the worst run by its noise ratio, counts of all."""
    if not several:
        return None
    run = max(range(len(several)), key=lambda i: -1.0 if (r := ratios[i]) is None else r)
    powers: Counter[Any] = Counter()
    for one in several:
        powers.update(dict(one.powers))
    return replace(
        several[run], run=run,
        max_abs=_largest([one.max_abs for one in several]),
        max_rel=_largest([one.max_rel for one in several]),
        powers=tuple(sorted(powers.items(), key=lambda p: -1e9 if p[0] is None else p[0])),
        abs_counts=_sums([one.abs_counts for one in several]),
        rel_counts=_sums([one.rel_counts for one in several]),
    )  # fmt: skip


def _largest(values: Sequence[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _sums(counts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(c for c in counts if c), strict=True)))
