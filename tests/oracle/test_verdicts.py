"""The order of verdicts."""

from __future__ import annotations

from embedx.oracle.verdicts import VERDICTS, is_worse, worst


def test_verdicts_go_from_best_to_worst() -> None:
    assert VERDICTS == ("identical", "rounding", "quantization", "suspicious", "impossible")
    assert worst(VERDICTS) == "impossible"
    assert worst(()) == "identical"
    assert is_worse("suspicious", "quantization")
    assert not is_worse("rounding", "rounding")
