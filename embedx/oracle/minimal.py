"""The few of many that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def minimal(items: Sequence[T], suffices: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part of ``items`` that suffices, and does not without any one of them, in order.

    All of them suffice. Halves, quarters and so on are tried, and what remains without them, so
    that few of many are found in few trials (Zeller and Hildebrandt 2002, Simplifying and
    Isolating Failure-Inducing Input).

    >>> minimal(range(100), lambda some: {7, 50} <= set(some))
    [7, 50]
    """
    found, count = list(items), 2
    while len(found) > 1:
        size = -(-len(found) // count)
        parts = [found[i : i + size] for i in range(0, len(found), size)]
        rests = [[x for other in parts if other is not part for x in other] for part in parts]
        smaller = next((part for part in parts if suffices(part)), None)
        if smaller is not None:
            found, count = smaller, 2
            continue
        smaller = next((rest for rest in rests if len(parts) > 2 and suffices(rest)), None)
        if smaller is not None:
            found, count = smaller, max(len(parts) - 1, 2)
        elif size == 1:
            break
        else:
            count = min(2 * len(parts), len(found))
    return found
