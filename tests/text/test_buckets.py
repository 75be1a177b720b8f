"""Which texts run together, and at what length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.errors import ConfigError
from embedx.text.buckets import batches, bucket_of, checked_lengths

LENGTHS = st.lists(st.integers(1, 40), max_size=30)


@given(LENGTHS, st.integers(1, 5))
def test_every_text_runs_once_beside_its_likes(lengths: list[int], size: int) -> None:
    found = list(batches(lengths, size))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    kinds = [{lengths[place] for place in batch} for batch in found]
    assert all(len(kind) == 1 for kind in kinds)
    assert all(len(batch) <= size for batch in found)
    order = [kind.pop() for kind in kinds]
    assert order == sorted(order, reverse=True)
    # No batch could take the texts of another one of its length.
    counts = [order.count(n) for n in set(order)]
    assert counts == [-(-lengths.count(n) // size) for n in set(order)]


@given(st.integers(1, 50), st.lists(st.integers(1, 40), min_size=1))
def test_a_bucket_is_the_smallest_that_holds_the_text(length: int, given_lengths: Any) -> None:
    buckets = checked_lengths(given_lengths)
    assert list(buckets) == sorted(set(given_lengths))
    large = [n for n in given_lengths if n >= length]
    assert bucket_of(length, buckets) == (min(large) if large else max(given_lengths))


@pytest.mark.parametrize("lengths", [0, -1, True, 1.5, "8", None, [], [8, 0], [True], [8, "16"]])
def test_what_is_no_length_is_refused(lengths: Any) -> None:
    with pytest.raises(ConfigError, match="sequence_length is a positive number"):
        checked_lengths(lengths)
