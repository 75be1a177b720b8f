"""Verdicts: what a difference means, from best to worst."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

Verdict: TypeAlias = Literal["identical", "rounding", "quantization", "suspicious", "impossible"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MEANINGS: dict[Verdict, str] = {
    "identical": "bit for bit what exact arithmetic gives, rounded once at each operator",
    "rounding": "no further off than rounding explains",
    "quantization": "roundings to integers, casts or comparisons fell the other way, as they may",
    "suspicious": "further off than rounding explains",
    "impossible": "no machine that computes what the model says can give this",
}

LINE = 4.0
"""How many times the noise floor a difference may be. Healthy runtimes reach 3, and real faults
begin above 10."""


STEP_LINE = 1.5
"""How many times what rounding to integers must add a product may be off: this is known better."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts; ``identical`` of none.

    >>> worst(["rounding", "suspicious", "identical"])
    'suspicious'
    """
    return max(verdicts, key=VERDICTS.index, default="identical")


def is_worse(verdict: Verdict, than: Verdict) -> bool:
    """Whether a verdict is worse than another."""
    return VERDICTS.index(verdict) > VERDICTS.index(than)
