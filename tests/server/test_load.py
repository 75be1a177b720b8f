"""Many clients at once: every answer is its request's own, and the server stays awake."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.server.load import Report, run


def check(report: Report) -> None:
    assert set(report.statuses) == {"200"}, report
    assert (report.wrong, report.broken) == (0, 0), report
    assert report.requests >= report.clients


def test_a_few_seconds_of_it(folder: Path) -> None:
    check(run(folder, seconds=2, clients=16, texts=64, longest=48))


@pytest.mark.load
def test_two_minutes_of_it() -> None:
    """The folder of a model of real size is EMBEDX_LOAD_MODEL."""
    folder = os.environ.get("EMBEDX_LOAD_MODEL")
    if folder is None:
        pytest.skip("EMBEDX_LOAD_MODEL names no model")
    report = run(Path(folder), seconds=120, clients=64)
    print(asdict(report))
    check(report)
    assert report.live_ms["most"] < 100
    assert report.resident_mb[1] < 1.1 * report.resident_mb[0]
    assert report.served > 0.8 * report.direct
    assert report.served > 3 * report.one_at_a_time
