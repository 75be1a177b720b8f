"""Which texts run together, and at what length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from embedx.errors import ConfigError


def checked_lengths(sequence_length: int | Sequence[int]) -> tuple[int, ...]:
    """The bucket lengths in ascending order, each once. Raises ConfigError for what is no length.

    >>> checked_lengths(128), checked_lengths([64, 16])
    ((128,), (16, 64))
    """
    several = isinstance(sequence_length, list | tuple)
    lengths: list[Any] = list(sequence_length) if several else [sequence_length]  # type: ignore[arg-type]
    if not lengths or not all(type(n) is int and n > 0 for n in lengths):
        raise ConfigError(
            f"sequence_length is a positive number, or a list of such, not {sequence_length!r}"
        )
    return tuple(sorted(set(lengths)))


def bucket_of(length: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds ``length`` tokens, or the largest of all.

    >>> bucket_of(16, (16, 64)), bucket_of(17, (16, 64)), bucket_of(99, (16, 64))
    (16, 64, 64)
    """
    return next((n for n in buckets if n >= length), buckets[-1])


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Places of equal lengths, longest first, at most ``batch_size`` together.

    >>> list(batches([2, 5, 2, 2], 2))
    [[1], [0, 2], [3]]
    """
    groups: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        groups.setdefault(length, []).append(place)
    for _, places in sorted(groups.items(), reverse=True):
        for i in range(0, len(places), batch_size):
            yield places[i : i + batch_size]
