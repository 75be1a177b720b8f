"""Work inside one run, split over a few threads; NumPy and BLAS release the interpreter's lock.

BLAS itself is held to one thread: its own threads wait for each other in loops, and were seen ten
times slower than one thread as soon as something else ran on the machine.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

_threads: ContextVar[int] = ContextVar("embedx.threads", default=1)
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_runs = 0
_blas: Any = None
_restore: Any = None


def available_cores() -> int:
    """The processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let the work inside the block use ``count`` threads (None: one a core), BLAS one in each."""
    token = _threads.set(available_cores() if count is None else count)
    _pin_blas()
    try:
        yield
    finally:
        _release_blas()
        _threads.reset(token)


def pieces_of(size: int, grain: int) -> int:
    """Into how many parallel pieces of at least ``grain`` a range of ``size`` is cut."""
    return max(1, min(_threads.get(), size // max(grain, 1)))


def spread(work: Callable[[int, int], None], size: int, grain: int) -> None:
    """Call ``work(start, stop)`` for pieces of ``range(size)`` of at least ``grain``, in parallel.

    Raises what a piece raises, after all have ended.
    """
    pieces = pieces_of(size, grain)
    if pieces == 1:
        work(0, size)
        return
    edges = [size * i // pieces for i in range(pieces + 1)]
    pool = _shared_pool()
    others = [
        # The context carries NumPy's error state and the run's budget into the thread.
        pool.submit(copy_context().run, _piece, work, start, stop)
        for start, stop in itertools.pairwise(edges[1:])
    ]
    try:
        work(edges[0], edges[1])
    finally:
        errors = [future.exception() for future in others]
    for error in filter(None, errors):
        raise error


def _piece(work: Callable[[int, int], None], start: int, stop: int) -> None:
    _threads.set(1)
    work(start, stop)


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="embedx")
        return _pool


def _pin_blas() -> None:
    """Several runs at once share one pin: the first sets it, the last takes it away."""
    global _runs, _blas, _restore
    with _lock:
        _runs += 1
        if _runs > 1 or available_cores() == 1:
            return
        if _blas is None:
            from threadpoolctl import ThreadpoolController

            _blas = ThreadpoolController()
        _restore = _blas.limit(limits=1, user_api="blas")


def _release_blas() -> None:
    global _runs, _restore
    with _lock:
        _runs -= 1
        if _runs == 0 and _restore is not None:
            _restore.restore_original_limits()
            _restore = None


def _forget() -> None:
    """In a forked child the threads are gone, and the lock may be held by one of them."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
