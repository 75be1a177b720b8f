"""NumPy's own buffers, kept out of the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def unbuffered() -> Iterator[None]:
    """Let NumPy compute on arrays of rows where they lie.

    NumPy 2.4 copies rows of up to a quarter of its buffer's size into the buffer first, though
    nothing is to be converted, and then needs two to four times as long. No result depends on that,
    unless an operation inside the block adds up what it also converts.
    """
    before = np.setbufsize(16)
    try:
        yield
    finally:
        np.setbufsize(before)
