"""Who moved: several candidates beside one referee."""

from __future__ import annotations

from collections.abc import Sequence

from embedx.oracle.comparison import Comparison


def moved(several: Sequence[Comparison]) -> list[str]:
    """The names of those candidates that are further off than allowed."""
    return [found.candidate for found in several if not found.passed]


def blame(several: Sequence[Comparison]) -> str:
    """Which of some candidates moved, in one sentence: whoever is beyond the noise floor.

    No side is right because it is ours: embedx is a candidate like any other.
    """
    wrong = moved(several)
    right = [found.candidate for found in several if found.passed]
    if not wrong:
        return f"None of them moved: what {_and(right)} differ by is explained."
    if not right:
        return f"All of them moved away from exact arithmetic: {_and(wrong)}."
    verb = "is" if len(right) == 1 else "are"
    return f"It is {_and(wrong)} that moved; {_and(right)} {verb} where exact arithmetic is."


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
