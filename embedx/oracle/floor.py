"""The noise floor: how far apart honest runs of a model are, at any of its edges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from embedx.model.graph import Array
from embedx.ops import is_floating
from embedx.oracle.noise import FILL, Noise, flips
from embedx.oracle.steps import SAME, Coarse
from embedx.rewrite.retype import carry_halves_wide
from embedx.run.engine import Engine

_WIDE = 16
"""Elements of a row from which on some samples tell its noise."""

_FILLS = 1e4, 1e8
"""Two numbers fill a mask if both are as large as the first, and one as large as the second."""

_APART = 1e3
"""How many times as large as another a filling number is."""

_RAISE = 16.0
"""By which factor noise at decisions is raised until some flip."""


@dataclass(frozen=True, eq=False)
class Floor:
    """What rounding explains at one edge."""

    rows: Array
    """float64: the standard deviation in each row of the last axis."""
    sizes: Array
    """float64: the root of the mean square of each row's values."""
    width: int = _WIDE
    """Elements of a row."""
    columns: Array = field(default_factory=lambda: np.zeros(0))
    """float64: the standard deviation of each element of a row, over all rows."""

    @property
    def allowed(self) -> Array:
        """What each row may be off by itself: no less, for its size, than the median row.

        The noise of a row may be small by chance, and that of a row of few elements often is: it is
        no less than half of what it is in the mean over all rows, too.
        """
        with np.errstate(all="ignore"):
            relative = np.where(self.sizes > 0, self.rows / self.sizes, np.nan)
        known = relative[np.isfinite(relative)]
        usual = np.quantile(known, 0.5, method="lower") if known.size else 0.0
        floor = np.maximum(self.rows, usual * self.sizes)
        if self.width < _WIDE and self.rows.size:
            floor = np.maximum(floor, np.sqrt(np.mean(np.square(self.rows))) / 2)
        return floor

    def ratios(self, off: Array) -> Array:
        """How many times the floor each row of a difference is, root mean square."""
        with np.errstate(all="ignore"):
            return np.where(off == 0, 0.0, off / self.allowed)


@dataclass(frozen=True, eq=False)
class Floors:
    """The floors of a graph's edges for some feeds."""

    by_edge: Mapping[str, Floor]
    flips: Mapping[str, float]
    """For each edge of decisions how many of them two samples take differently, in the mean."""
    sizes: Mapping[str, int]
    """Bytes that the values at the edges take."""


def row_rms(x: Array) -> Array:
    """The root of the mean square along the last axis, for each row; float64 (rows,)."""
    rows = x.reshape(-1, x.shape[-1]) if x.ndim and x.size else x.reshape(-1, 1)
    with np.errstate(all="ignore"):
        return np.sqrt(np.square(rows.astype(np.float64)).mean(axis=1))


def column_rms(x: Array) -> Array:
    """The root of the mean square over all rows, for each element of the last axis; float64."""
    return row_rms(x.reshape(-1, x.shape[-1]).T) if x.ndim and x.size else row_rms(x)


def floors(
    engine: Engine,
    feeds: Mapping[str, Any],
    edges: Collection[str],
    *,
    samples: int = 8,
    seed: int = 0,
    coarse: Coarse = SAME,
    moving: bool = False,
) -> Floors:
    """The floors at ``edges``, from pairs of runs with independent noise (see ``noise.Noise``).

    ``engine`` is one in exact precision. With ``moving`` the feeds have noise as well. Two runs go
    side by side, so that two values of each edge are alive at a time; half of the mean square of
    their differences estimates the variance.
    """
    pairs = [
        _pair(engine, feeds, edges, seed + 2 * i, coarse, 0.0, moving) for i in range(samples // 2)
    ]
    return _pooled(pairs)


def flipped_floors(
    engine: Engine,
    feeds: Mapping[str, Any],
    edges: Collection[str],
    *,
    samples: int = 8,
    seed: int = 0,
    coarse: Coarse = SAME,
    moving: bool = False,
    most: float = 2.0**20,
) -> Floors:
    """The same from runs in which decisions have flipped: their noise is raised until some do.

    ``most`` is how many times more noise there may be. Flips are few and some weigh much, so that
    the largest deviation is taken, not the usual one.
    """
    ends = {v.name for v in engine.graph.outputs}.intersection(edges)

    def reaches(pair: Floors) -> bool:
        return all(f.rows.any() for edge, f in pair.by_edge.items() if edge in ends)

    pairs: list[Floors] = []
    factor = 1.0
    for i in range(samples // 2):
        while True:
            pair = _pair(engine, feeds, edges, seed + 2 * i, coarse, factor, moving)
            if (any(pair.flips.values()) and reaches(pair)) or factor >= most:
                break
            factor *= _RAISE
        pairs.append(pair)
    found = _pooled(pairs, np.max)
    return Floors({**found.by_edge, **_carried(engine, feeds, found)}, found.flips, found.sizes)


def _carried(engine: Engine, feeds: Mapping[str, Any], found: Floors) -> dict[str, Floor]:
    """The floors of outputs no less than what it makes of them to carry halves in float32."""
    weights = engine.graph.initializers.values()
    names = [v.name for v in engine.graph.outputs if v.name in found.by_edge]
    if not names or not any(is_floating(w.dtype) and w.dtype.itemsize == 2 for w in weights):
        return {}
    wide = Engine(carry_halves_wide(engine.graph), precision="exact")
    floors = {}
    for name, a, b in zip(names, engine.run(names, feeds), wide.run(names, feeds), strict=True):
        floor, off = found.by_edge[name], row_rms(difference(a, b))
        if off.shape == floor.rows.shape:
            floors[name] = replace(floor, rows=np.maximum(floor.rows, off))
    return floors


def _pooled(pairs: list[Floors], pool: Callable[..., Any] = np.mean) -> Floors:
    found: dict[str, Floor] = {}
    for edge, first in pairs[0].by_edge.items():
        rows = [p.by_edge[edge].rows for p in pairs if p.sizes.get(edge) == pairs[0].sizes[edge]]
        columns = [p.by_edge[edge].columns for p in pairs if edge in p.by_edge]
        pooled = (np.sqrt(pool(np.square(values), axis=0)) for values in (rows, columns))
        found[edge] = Floor(next(pooled), first.sizes, first.width, next(pooled))
    edges = {edge for pair in pairs for edge in pair.flips}
    usual = {edge: float(np.mean([p.flips.get(edge, 0) for p in pairs])) for edge in edges}
    return Floors(found, usual, pairs[0].sizes)


def _pair(
    engine: Engine, feeds: Mapping[str, Any], edges: Collection[str], seed: int, coarse: Coarse,
    flipping: float, moving: bool,
) -> Floors:  # fmt: skip
    noises = [
        Noise(engine.graph, seed=seed + i, coarse=coarse, flipping=flipping) for i in range(2)
    ]
    data = noises[0].data
    walks = [
        engine.walk(noise.moved_feeds(feeds) if moving else feeds, noise.around) for noise in noises
    ]
    found: dict[str, Floor] = {}
    decisions: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for one, other in zip(*walks, strict=True):
        node = one.step.node
        for name, a, b in zip(node.outputs, one.outputs, other.outputs, strict=False):
            if not isinstance(a, np.ndarray) or np.shape(a) != np.shape(b):
                continue
            flipped = flips(node, a, b) if name in data or flipping else None
            if flipped is not None:
                decisions[name] = float(flipped)
            if name in edges:
                sizes[name] = a.nbytes
            if name in edges and is_floating(a.dtype):
                off = np.asarray(difference(a, b)) / np.sqrt(2)
                rows, sizes_of = row_rms(off), row_rms(finite(a))
                width = a.size // max(rows.size, 1)
                found[name] = Floor(rows, sizes_of, width, column_rms(off))
    return Floors(found, decisions, sizes)


def difference(a: Array, b: Array) -> Array:
    """``a - b``, 0 where both are the same infinity or NaN, inf where only one is.

    What fills a mask differs between types and exporters (-inf, -3.4e38, -1e9, -65504): of two
    numbers of one sign, both far beyond any result, none is wrong.

    In float32, in which a difference of near numbers is exact, unless one is wider.
    """
    kind: Any = np.float64 if max(a.dtype.itemsize, b.dtype.itemsize) > 4 else np.float32
    x, y = a.astype(kind, copy=False), b.astype(kind, copy=False)
    with np.errstate(all="ignore"):
        off = np.asarray(x - y)
    if np.isfinite(off).all() and np.abs(off).max(initial=0) < _FILLS[1]:
        return off
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    least, most = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
    apart = (most >= _APART * least) | (least >= FILL)  # results are no thousand times too large
    fills = (most >= _FILLS[1]) & (least >= _FILLS[0]) & apart
    same |= fills & (np.sign(x) == np.sign(y))
    return np.where(same, 0, np.where(np.isnan(off), np.inf, off))


def finite(x: Array) -> Array:
    """``x`` with 0 for what is not finite or fills a mask."""
    wide = x if x.dtype.itemsize >= 4 else x.astype(np.float32)
    with np.errstate(invalid="ignore"):
        fits = np.abs(wide) < FILL
    return wide if fits.all() else np.where(fits, wide, 0)
