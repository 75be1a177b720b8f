"""Tensors for Hypothesis: every dtype, rank and memory layout that an operator may meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedx.ops import Array

DType: TypeAlias = "np.dtype[Any]"
Shape: TypeAlias = tuple[int, ...]
Strategy: TypeAlias = st.SearchStrategy

BFLOAT16: DType = np.dtype(ml_dtypes.bfloat16)
HALVES: list[DType] = [np.dtype(np.float16), BFLOAT16]
FLOATS: list[DType] = [*HALVES, np.dtype(np.float32), np.dtype(np.float64)]
SIGNED: list[DType] = [np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)]
UNSIGNED: list[DType] = [np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)]
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS
BOOL: DType = np.dtype(bool)
STRING: DType = np.dtype(object)
ANYTHING = [*NUMBERS, BOOL, STRING]


def shapes(
    min_rank: int = 0, max_rank: int = 3, min_side: int = 0, max_side: int = 3
) -> Strategy[Shape]:
    """Shapes; scalars and empty tensors are among them unless ruled out."""
    return hnp.array_shapes(
        min_dims=min_rank, max_dims=max_rank, min_side=min_side, max_side=max_side
    )


def axes(rank: int) -> Strategy[int]:
    """An axis of a tensor of this rank, counted from the front or from the back."""
    return st.integers(-rank, rank - 1)


def elements(dtype: DType, low: float | None = None, high: float | None = None) -> Strategy[Any]:
    """Any element of a dtype, or numbers between bounds (that float16 can hold)."""
    if dtype == BOOL:
        return st.booleans()
    if dtype == STRING:
        return st.text("abé", max_size=3)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        least = info.min if low is None else max(info.min, int(low))
        return st.integers(least, info.max if high is None else min(info.max, int(high)))
    width: Any = 16 if dtype == BFLOAT16 else 8 * dtype.itemsize
    return st.floats(low, high, width=width)


Layout: TypeAlias = Callable[[Array], Array]


def _as_is(x: Array) -> Array:
    return x


def _columns_first(x: Array) -> Array:
    return x.copy(order="F")


def _backwards(x: Array) -> Array:
    return np.flip(np.flip(x).copy()) if x.ndim else x


def _every_other(x: Array) -> Array:
    return np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x


LAYOUTS: Sequence[Layout] = (_as_is, _columns_first, _backwards, _every_other)


@st.composite
def tensors(
    draw: st.DrawFn,
    dtype: DType | Strategy[DType],
    shape: Shape | Strategy[Shape] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Array:
    """A tensor in any memory layout, mostly read-only so that nobody can write into it."""
    kind = dtype if isinstance(dtype, np.dtype) else draw(dtype)
    stored = np.dtype(np.float32) if kind == BFLOAT16 else kind
    size = shapes() if shape is None else shape
    drawn = draw(hnp.arrays(stored, size, elements=elements(kind, low, high)))
    with np.errstate(over="ignore"):
        x = draw(st.sampled_from(LAYOUTS))(drawn.astype(kind, copy=False))
    x.flags.writeable = draw(st.sampled_from([False, False, True])) and x.flags.writeable
    return x


@st.composite
def operands(
    draw: st.DrawFn,
    dtypes: Sequence[DType],
    count: int = 2,
    *,
    low: float | None = None,
    high: float | None = None,
) -> tuple[Array, ...]:
    """Tensors of one dtype whose shapes broadcast against each other."""
    kind = draw(st.sampled_from(dtypes))
    several = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, min_side=0, max_side=3))
    return tuple(draw(tensors(kind, s, low=low, high=high)) for s in several.input_shapes)


@st.composite
def with_axis(
    draw: st.DrawFn,
    dtypes: Sequence[DType],
    *,
    min_side: int = 0,
    low: float | None = None,
    high: float | None = None,
) -> tuple[Array, int]:
    """A tensor of at least rank 1, and one of its axes."""
    shape = shapes(min_rank=1, min_side=min_side)
    x = draw(tensors(st.sampled_from(dtypes), shape, low=low, high=high))
    return x, draw(axes(x.ndim))


def generators() -> Strategy[np.random.Generator]:
    """NumPy's generators, for tensors whose single numbers do not matter."""
    return st.integers(0, 999).map(np.random.default_rng)
