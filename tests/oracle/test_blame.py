"""Who moved."""

from __future__ import annotations

from dataclasses import replace

from embedx.oracle.blame import blame, moved
from tests.oracle.comparisons import comparison

RIGHT = replace(comparison(), candidate="A")
WRONG = replace(comparison(verdict="suspicious"), candidate="B")
ALSO = replace(WRONG, candidate="C")


def test_whoever_is_beyond_the_floor_moved() -> None:
    assert moved([RIGHT, WRONG]) == ["B"]
    assert blame([RIGHT, WRONG]) == "It is B that moved; A is where exact arithmetic is."
    assert (
        blame([RIGHT, WRONG, ALSO]) == "It is B and C that moved; A is where exact arithmetic is."
    )
    assert blame([WRONG, ALSO]) == "All of them moved away from exact arithmetic: B and C."
    assert blame([RIGHT, replace(RIGHT, candidate="D")]).startswith("None of them moved")
