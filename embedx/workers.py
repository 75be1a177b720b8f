"""Work inside one run, split over a few threads; NumPy and BLAS release the interpreter's lock.

BLAS itself is held to one thread: its own threads wait for each other in loops, and were seen ten
times slower than one thread as soon as something else ran on the machine.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_threads: ContextVar[int] = ContextVar("embedx.threads", default=1)
_beside: ContextVar[bool] = ContextVar("embedx.beside", default=False)
_lock = threading.RLock()
_pool: ThreadPoolExecutor | None = None


def available_cores() -> int:
    """The processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let the work inside the block use ``count`` threads (None: one per core), BLAS one in each.

    Blocks of several threads may overlap in any way; after the last of them BLAS is as it was.
    Inside a piece of work that is spread already, there is one thread.
    """
    token = _threads.set(1 if has_company() else available_cores() if count is None else count)
    own = _pin_blas()
    try:
        yield
    finally:
        _release_blas(own)
        _threads.reset(token)


def pieces_of(size: int, grain: int) -> int:
    """Into how many parallel pieces of at least ``grain`` a range of ``size`` is cut."""
    return max(1, min(_threads.get(), size // max(grain, 1)))


def once(make: Callable[[], T]) -> Callable[[], T]:
    """What is made at the first call, once, whichever threads come first."""
    made: list[T] = []

    def get() -> T:
        if not made:
            with _lock:
                if not made:
                    made.append(make())
        return made[0]

    return get


def has_company() -> bool:
    """Whether other threads of the run are at work, and wait for the interpreter's lock as well."""
    return _beside.get()


def spread(work: Callable[[int, int], None], size: int, grain: int) -> None:
    """Call ``work(start, stop)`` for pieces of ``range(size)`` of at least ``grain``, in parallel.

    Raises what a piece raises, after all have ended.
    """
    pieces = pieces_of(size, grain)
    if pieces == 1:
        work(0, size)
        return
    edges = [size * i // pieces for i in range(pieces)]
    pool = _shared_pool()
    others: list[Future[None]] = []
    for start, stop in itertools.pairwise(edges):
        try:
            # The context carries NumPy's error state and the run's budget into the thread.
            others.append(pool.submit(copy_context().run, _piece, work, start, stop))
        except RuntimeError as refusal:
            if "cannot schedule" not in str(refusal):
                raise
            break  # the main thread has ended, and this one goes on without the pool
    tokens = _threads.set(1), _beside.set(True)
    try:
        work(edges[len(others)], size)
    finally:
        _threads.reset(tokens[0])
        _beside.reset(tokens[1])
        errors = [future.exception() for future in others]
    for error in filter(None, errors):
        raise error


def _piece(work: Callable[[int, int], None], start: int, stop: int) -> None:
    _threads.set(1)
    _beside.set(True)
    for library in _libraries:
        if library.shared is False:
            library.hold()  # for good, as nobody else uses the pool's threads
    work(start, stop)


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="embedx")
        return _pool


def blas_architectures() -> set[str]:
    """For which processors the kernels of the BLAS libraries are, in the libraries' own words."""
    with _lock:
        _look_for_libraries()
        return {library.architecture for library in _libraries}


@dataclass(eq=False)
class _Library:
    """A BLAS library, and the number of threads that it may use."""

    path: str
    architecture: str
    limit: Callable[[], int]
    set_limit: Callable[[int], object]
    shared: bool | None = None
    """Whether all threads have one limit, or each its own; None until that has been seen."""
    before: int | None = None
    """The shared limit that comes back after the last run."""

    def hold(self) -> int | None:
        """Set the limit to 1; what it was, if that is something else."""
        found = self.limit()
        if found == 1:
            return None
        self.set_limit(1)
        return found


_libraries: tuple[_Library, ...] = ()
_modules = 0
"""How many modules there were when libraries were looked for."""
_runs: list[int] = []
"""The thread of each run."""


def _pin_blas() -> list[tuple[_Library, int]]:
    """Hold BLAS to one thread. What comes back are limits that the thread itself has to restore."""
    own = []
    with _lock:
        _look_for_libraries()
        for library in _libraries:
            # Also while others run: whoever set a limit before them may have put it back since.
            before = library.hold()
            if before is None:
                continue
            if library.shared is None:
                library.shared = _in_another_thread(library.limit) == 1
            if library.shared:
                library.before = before
            else:
                own.append((library, before))
        _runs.append(threading.get_ident())
    return own


def _release_blas(own: list[tuple[_Library, int]]) -> None:
    for library, before in own:
        library.set_limit(before)
    with _lock:
        _runs.remove(threading.get_ident())
        _restore_shared_limits()


def _restore_shared_limits() -> None:
    """Give back what runs have taken, once there are none, unless somebody set another limit."""
    if _runs:
        return
    for library in _libraries:
        if library.before is not None and library.limit() == 1:
            library.set_limit(library.before)
        library.before = None


def _look_for_libraries() -> None:
    """Know the BLAS libraries of the process. They come with modules; most runs find no new one."""
    global _libraries, _modules
    if len(sys.modules) == _modules:
        return
    from threadpoolctl import ThreadpoolController

    known = {library.path for library in _libraries}
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    new = [c for c in found if c.filepath not in known]
    _libraries += tuple(_library(c) for c in new)
    _modules = len(sys.modules)


def _library(controller: Any) -> _Library:
    architecture = getattr(controller, "architecture", None) or ""
    return _Library(
        controller.filepath, architecture, controller.get_num_threads, _setter(controller)
    )


def _setter(controller: Any) -> Callable[[int], object]:
    """How any thread sets the limit of a library.

    threadpoolctl, from 3.8 on, lets just one thread set the limit of an OpenBLAS whose threads the
    process shares, and ignores all others without a word. So OpenBLAS itself is asked.
    """
    if controller.internal_api == "openblas" and controller.threading_layer != "openmp":
        for name in controller.check_symbols:  # by which threadpoolctl has known it
            function = getattr(controller.dynlib, name.replace("_get_", "_set_"), None)
            if function is not None:
                return function
    return controller.set_num_threads


def _in_another_thread(function: Callable[[], int]) -> int:
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def _forget_other_threads() -> None:
    """In a forked child only the thread that forked goes on."""
    global _pool
    _pool = None
    _runs[:] = [thread for thread in _runs if thread == threading.get_ident()]
    _restore_shared_limits()
    _lock.release()


if hasattr(os, "register_at_fork"):
    # The lock is taken, so that the child does not begin in the middle of a change.
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_forget_other_threads,
    )
