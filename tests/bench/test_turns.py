"""Measurements in turn, and beside a busy process."""

from __future__ import annotations

from functools import partial

import pytest

from embedx.bench import turns
from embedx.bench.turns import interleaved, one_core_busy, summary


def test_measurements_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_REST", 0)
    order: list[str] = []

    def run(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    lasting = {"a": 1.0, "b": 2.0, "c": 30.0}
    times = interleaved({name: partial(run, name, s) for name, s in lasting.items()})
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 5, "b": 3, "c": 1}
    assert "".join(order) == "abc" + "aabaabab"
    assert interleaved({"c": partial(run, "c", 30.0)}, 2) == {"c": [30.0, 30.0]}


def test_summary_is_of_medians() -> None:
    ours, theirs = summary({"embedx": [1.0, 9.0, 2.0], "onnxruntime": [1.0]})
    assert (ours["median_seconds"], ours["quartile_seconds"]) == (2.0, [1.5, 5.5])
    assert (theirs["embedx_speed"], theirs["runs"]) == (0.5, 1)


def test_one_core_is_busy_only_inside() -> None:
    with one_core_busy() as process:
        assert process.poll() is None
    assert process.poll() is not None
