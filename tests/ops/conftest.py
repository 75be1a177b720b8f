"""Operators are called as the engine calls them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def no_numpy_warnings() -> Iterator[None]:
    """Infinities and NaN are results like others; the engine silences NumPy about them."""
    with np.errstate(all="ignore"):
        yield
