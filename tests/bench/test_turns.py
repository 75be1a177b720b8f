"""Measurements in turn, and beside a busy process."""

from __future__ import annotations

from functools import partial

import pytest

from embedx.bench import turns
from embedx.bench.turns import Entry, interleaved, one_core_busy, summary
from embedx.peers.process import Times


def test_measurements_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_REST", 0)
    order: list[str] = []

    def run(entry: Entry, seconds: float) -> Times:
        order.append(entry.side)
        return Times(seconds, 0.0)

    lasting = {Entry("m", "a"): 1.0, Entry("m", "b"): 2.0, Entry("m", "c"): 30.0}
    times = interleaved({entry: partial(run, entry, s) for entry, s in lasting.items()})
    assert [len(measured) for measured in times.values()] == [5, 3, 1]
    assert "".join(order) == "abc" + "aabaabab"
    entry = Entry("m", "c")
    assert interleaved({entry: partial(run, entry, 30.0)}, 2) == {entry: [Times(30.0, 0.0)] * 2}


def test_summary_is_of_medians() -> None:
    ours, theirs = summary(
        {
            Entry("m", "embedx"): [Times(1.0, 4.0), Times(9.0, 4.0), Times(2.0, 5.0)],
            Entry("m", "onnxruntime", "sorted"): [Times(1.0, 2.0)],
        }
    )
    assert (ours["wall_seconds"], ours["wall_quartiles"]) == (2.0, [1.5, 5.5])
    assert ours["cpu_seconds"] == 4.0
    assert (theirs["embedx_speed"], theirs["embedx_cpu_speed"], theirs["runs"]) == (0.5, 0.5, 1)
    assert (theirs["side"], theirs["batches"]) == ("onnxruntime", "sorted")


def test_peers_are_compared_on_their_own_model() -> None:
    sides = [
        Entry(model, side) for model in ("float32", "int8") for side in ("embedx", "onnxruntime")
    ]
    rows = summary({e: [Times(t, t)] for e, t in zip(sides, (1.0, 2.0, 5.0, 1.0), strict=True)})
    assert [row.get("embedx_speed") for row in rows] == [None, 2.0, None, 0.2]


def test_one_core_is_busy_only_inside() -> None:
    with one_core_busy() as process:
        assert process.poll() is None
    assert process.poll() is not None
