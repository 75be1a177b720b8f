"""What a run may spend: bytes of one value, turns of its loops. Whoever runs the operators sets it.

A file of a few bytes can ask for terabytes, and NumPy's allocations succeed long before the
machine runs out of memory, so sizes are checked in Python integers before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import DTypeLike

from ._typing import Array


class OverBudgetError(Exception):
    """An operator asked for more bytes, loop turns or time than its run may spend."""


@dataclass
class Budget:
    """The limits of one run; ``None`` is unlimited."""

    max_bytes: int | None = None
    max_iterations: int | None = None
    deadline: float | None = None

    def check_time(self) -> None:
        """Raise OverBudgetError once the deadline (seconds of ``time.monotonic``) has passed."""
        if self.deadline is not None and monotonic() > self.deadline:
            raise OverBudgetError("the run's time limit has passed")


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

    Raises ValueError for a negative dimension.

    >>> with spending(Budget(max_bytes=100)):
    ...     reserve((5, 5), "int32")
    >>> with spending(Budget(max_bytes=99)):
    ...     reserve((5, 5), "int32")
    Traceback (most recent call last):
    ...
    embedx.ops._budget.OverBudgetError: a value of shape (5, 5) takes 100 bytes, 99 are allowed
    """
    dims = tuple(int(n) for n in shape)
    if min(dims, default=0) < 0:
        raise ValueError(f"the shape {dims} has a negative dimension")
    budget = _current.get()
    size = math.prod(dims) * np.dtype(dtype).itemsize
    if budget and budget.max_bytes is not None and size > budget.max_bytes:
        raise OverBudgetError(
            f"a value of shape {dims} takes {size} bytes, {budget.max_bytes} are allowed"
        )


def reserve_broadcast(*arrays: Array) -> None:
    """Hold the result of broadcasting ``arrays`` against each other to the current budget."""
    budget = _current.get()
    if budget is None or budget.max_bytes is None:
        return
    widest = max((a.dtype for a in arrays), key=lambda dtype: dtype.itemsize)
    if math.prod(a.size for a in arrays) * widest.itemsize > budget.max_bytes:
        reserve(np.broadcast_shapes(*(a.shape for a in arrays)), widest)


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
