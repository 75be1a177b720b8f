"""The limits of a run: bytes, loop iterations, time. Whoever runs the operators sets them.

A file of a few bytes can ask for terabytes, and NumPy's allocations succeed long before the
machine runs out of memory, so sizes are checked in Python integers before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ._typing import Array, Value

T = TypeVar("T")


class OverBudgetError(Exception):
    """An operator asked for more bytes, loop turns or time than its run may spend."""


@dataclass
class Budget:
    """The limits of one run; ``None`` is unlimited."""

    max_bytes: int | None = None
    """Bytes of all values that are alive at the same time."""
    max_iterations: int | None = None
    deadline: float | None = None
    holders: list[Sequence[Value]] = field(default_factory=list)
    """Who keeps the run's values: lists of them, for the bytes that are alive to be counted."""
    used: int = 0
    """No less than the bytes that are alive: what is freed is not subtracted until it matters."""

    def recount(self) -> None:
        """Count the bytes that are alive. Raises OverBudgetError if there are more than allowed."""
        self.used = _bytes_of(self.holders)
        if self.max_bytes is not None and self.used > self.max_bytes:
            raise OverBudgetError(
                f"the run's values take {self.used} bytes, {self.max_bytes} are allowed"
            )

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes may come to life."""
        if self.max_bytes is None or self.used + size <= self.max_bytes:
            return True
        self.used = _bytes_of(self.holders)
        return self.used + size <= self.max_bytes

    def check_time(self) -> None:
        """Raise OverBudgetError once the deadline (seconds of ``time.monotonic``) has passed."""
        if self.deadline is not None and monotonic() > self.deadline:
            raise OverBudgetError("the run's time limit has passed")


_MOST_DIMENSIONS = 64  # of NumPy's arrays

_current: ContextVar[Budget | None] = ContextVar("embedx.ops.budget", default=None)


@contextmanager
def spending(budget: Budget) -> Iterator[Budget]:
    """Make ``budget`` the one that operators called inside the block are held to."""
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def reserve(shape: Iterable[int], dtype: DTypeLike) -> None:
    """Raise OverBudgetError if a tensor of this shape and dtype is over the current budget.

    A dimension of 0 counts as 1. Raises ValueError for a negative dimension, and for more of them
    than NumPy's arrays have.

    >>> with spending(Budget(max_bytes=100)):
    ...     reserve((5, 5), "int32")
    >>> with spending(Budget(max_bytes=99)):
    ...     reserve((5, 5), "int32")
    Traceback (most recent call last):
    ...
    embedx.ops._budget.OverBudgetError: a value of shape (5, 5) takes 100 bytes, 99 are allowed
    """
    dims = tuple(int(n) for n in shape)
    if len(dims) > _MOST_DIMENSIONS:
        raise ValueError(f"a shape of {len(dims)} dimensions, {_MOST_DIMENSIONS} are possible")
    if min(dims, default=0) < 0:
        raise ValueError(f"the shape {dims} has a negative dimension")
    budget = _current.get()
    size = _places(dims) * np.dtype(dtype).itemsize
    if budget and not budget.has_room(size):
        raise OverBudgetError(
            f"a value of shape {dims} takes {size} bytes, {budget.max_bytes} are allowed"
            + f", {budget.used} of which are in use" * bool(budget.used)
        )


def reserve_broadcast(*arrays: Array) -> None:
    """Hold the result of broadcasting ``arrays`` against each other to the current budget."""
    budget = _current.get()
    if budget is None or budget.max_bytes is None:
        return
    widest = max((a.dtype for a in arrays), key=lambda dtype: dtype.itemsize)
    most = math.prod(_places(a.shape) for a in arrays) * widest.itemsize
    if most > budget.max_bytes - budget.used:
        reserve(np.broadcast_shapes(*(a.shape for a in arrays)), widest)


def _places(shape: Iterable[int]) -> int:
    """The number of elements, an empty axis counting as 1: NumPy loops over the others anyway."""
    return math.prod(n or 1 for n in shape)


def _bytes_of(holders: Iterable[Sequence[Value]]) -> int:
    """The bytes of all arrays that are held, directly or by views, each counted once."""
    owners: dict[int, int] = {}
    waiting: list[Value] = [value for values in holders for value in values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, np.ndarray):
            while isinstance(value.base, np.ndarray):
                value = value.base
            # Read-only arrays are weights, or broadcast views without memory of their own.
            owners[id(value)] = value.nbytes if value.flags.writeable else 0
    return sum(owners.values())


def check_time() -> None:
    """Raise OverBudgetError if the current budget's time is over."""
    budget = _current.get()
    if budget is not None:
        budget.check_time()


def timed(items: Iterable[T]) -> Iterable[T]:
    """The items one by one; raises OverBudgetError as soon as the current budget's time is over.

    >>> list(timed("ab"))
    ['a', 'b']
    """
    budget = _current.get()
    return items if budget is None or budget.deadline is None else _watched(items, budget)


def _watched(items: Iterable[T], budget: Budget) -> Iterator[T]:
    for item in items:
        budget.check_time()
        yield item


def turn() -> None:
    """Count one turn of a loop; raise OverBudgetError when the budget's turns or time are spent."""
    budget = _current.get()
    if budget is None:
        return
    budget.check_time()
    if budget.max_iterations is not None:
        if budget.max_iterations <= 0:
            raise OverBudgetError("the run's loops have turned as often as allowed")
        budget.max_iterations -= 1
