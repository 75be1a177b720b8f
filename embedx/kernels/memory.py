"""Memory for large results, used again as soon as nothing refers to it.

What an operating system gives costs a page fault every 4 KiB at its first use; a run that frees
and allocates its intermediate values again and again was measured to spend a seventh of its time
on that. So large arrays lie in buffers that are kept. An array refers to its buffer, and so does
every view of it: a buffer with no reference but the pool's is free. Nothing has to be given back,
and what a caller holds is never written to.
"""

from __future__ import annotations

import bisect
import math
import mmap
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from embedx.model.graph import Array

_LARGE = 2**16
"""Bytes below which the C library's own allocator is as good."""
_MOST = 2**27
"""Bytes that are kept when nothing uses them."""


# Python's own choice is memory that a forked child shares with its parent. Where nothing forks,
# on Windows, there is no choice, and anonymous memory belongs to the process.
_PRIVATE = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}


class Buffer(mmap.mmap):
    """Anonymous memory of this process that arrays use one after the other."""

    def __new__(cls, size: int) -> Buffer:
        """Memory of ``size`` bytes."""
        return super().__new__(cls, -1, size, **_PRIVATE)


_lock = threading.Lock()
_buffers: list[Buffer] = []  # by size


def fresh(shape: Sequence[int], dtype: Any) -> Array:
    """An array like ``np.empty(shape, dtype)``: whatever was there before is in it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _LARGE or np.dtype(dtype).hasobject:
        return np.empty(shape, dtype)
    step = 1 << max(size.bit_length() - 4, 12)  # at most an eighth is left over
    size = -(-size // step) * step
    with _lock:
        buffer = _idle(size)
        if buffer is None:
            buffer = Buffer(size)
            _keep(buffer)
        # Its first reference is made before another thread can look for idle buffers.
        return np.ndarray(shape, dtype, buffer)


_ARENA = 2**23
_PAGE = 2**21
"""Bytes of a large page."""
_LINE = 64
"""Bytes of a line of the cache."""
_arena: tuple[Buffer, int] | None = None
"""Memory for what stays, and how much of it is taken."""


def lasting(shape: Sequence[int], dtype: Any) -> Array:
    """An array like ``np.empty(shape, dtype)`` for what is kept as long as its model.

    Such arrays lie side by side in memory of large pages, where the system has them: a product of
    few rows with many weights was measured to be a fifth faster. Each begins where a line of the
    cache does; elsewhere a vector of AVX-512 would lie in two.
    """
    global _arena
    size = -(-math.prod(shape) * np.dtype(dtype).itemsize // _LINE) * _LINE
    with _lock:
        if _arena is None or _arena[1] + size > len(_arena[0]):
            _arena = _of_large_pages(max(size, _ARENA))
        buffer, start = _arena
        _arena = buffer, start + size
        return np.ndarray(shape, dtype, buffer, start)


def _of_large_pages(size: int) -> tuple[Buffer, int]:
    """So many bytes, and where in a buffer they begin: where a large page does."""
    buffer = Buffer(size + _PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer, -np.frombuffer(buffer, np.uint8).__array_interface__["data"][0] % _PAGE


def _idle(size: int) -> Buffer | None:
    """The smallest free buffer that holds so many bytes, and not more than twice as many."""
    for buffer in _buffers:
        if len(buffer) > 2 * size:
            break
        if len(buffer) >= size and sys.getrefcount(buffer) == _IDLE:
            return buffer
    return None


def _keep(buffer: Buffer) -> None:
    """Keep a buffer for later, if need be instead of those that are idle."""
    global _buffers
    if sum(map(len, _buffers)) + len(buffer) > _MOST:
        _buffers = [b for b in _buffers if sys.getrefcount(b) != _IDLE]
    if sum(map(len, _buffers)) + len(buffer) <= _MOST:
        bisect.insort(_buffers, buffer, key=len)


def _references_when_idle() -> int:
    for buffer in [Buffer(4096)]:
        return sys.getrefcount(buffer)
    raise AssertionError


_IDLE = _references_when_idle()


def _forget() -> None:
    """Start anew in a forked child.

    Whoever holds the lock or a buffer there may be a thread that is gone, and the idle buffers are
    no bargain: each page that is written to would first be copied.
    """
    global _lock, _buffers, _arena
    _lock, _buffers, _arena = threading.Lock(), [], None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
