"""Sides of a comparison in processes of their own, and measurements of them in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any, NamedTuple

from embedx.peers.process import Times

_REST = 0.02
"""Seconds before a measurement: threads that wait in a loop for work have gone to sleep by then."""
_BUDGET, _FEWEST, _MOST = 5.0, 3, 50
"""Seconds that one side may take, and how many measurements it has at least and at most."""
_LONG = 20.0
"""Seconds of a run that is not repeated."""


class Entry(NamedTuple):
    """One side of a comparison, as it stands in a row of the result."""

    model: str
    side: str
    """``embedx``, or the peer."""
    batches: str | None = None
    """How a peer that leaves it to its user puts texts together: ``sorted``, ``naive``."""


def interleaved(
    runs: Mapping[Entry, Callable[[], Times]], iterations: int | None = None
) -> dict[Entry, list[Times]]:
    """The times that each of ``runs`` tells, measured in turn after one run each to warm up.

    Each is measured ``iterations`` times; by default for about five seconds, 3 to 50 times, and
    only once if that takes more than 20 seconds. The measurements of a side are spread evenly.
    """
    times: dict[Entry, list[Times]] = {entry: [] for entry in runs}
    wanted = {}
    for entry, run in runs.items():
        first = run()
        most = int(_BUDGET / max(first.wall, 1e-9))
        wanted[entry] = iterations or min(max(most, _FEWEST), _MOST)
        if iterations is None and first.wall > _LONG:
            times[entry], wanted[entry] = [first], 0
    rounds = max(wanted.values())
    for i in range(rounds):
        for entry, run in runs.items():
            if (i + 1) * wanted[entry] // rounds > i * wanted[entry] // rounds:
                time.sleep(_REST)
                times[entry].append(run())
    return times


def summary(times: Mapping[Entry, list[Times]]) -> list[dict[str, Any]]:
    """A row for each side: medians, quartiles, and for peers the speed of embedx.

    ``embedx_speed`` is the peer's median over that of embedx on the same model, on the clock and,
    as ``embedx_cpu_speed``, by processor time: above 1, embedx is faster.
    """
    own = {entry.model: _medians(times[entry]) for entry in times if entry.side == "embedx"}
    rows = []
    for entry, measured in times.items():
        walls = [t.wall for t in measured]
        low, _, high = quantiles(walls, method="inclusive") if walls[1:] else walls * 3
        middle = _medians(measured)
        row = {
            **entry._asdict(),
            "runs": len(measured),
            "wall_seconds": middle.wall,
            "wall_quartiles": [low, high],
            "cpu_seconds": middle.cpu,
        }
        if entry.side != "embedx":
            ours = own[entry.model]
            row["embedx_speed"] = middle.wall / ours.wall
            row["embedx_cpu_speed"] = middle.cpu / ours.cpu if ours.cpu else None
        rows.append(row)
    return rows


def _medians(times: list[Times]) -> Times:
    return Times(*map(median, zip(*times, strict=True)))


@contextmanager
def one_core_busy() -> Iterator[subprocess.Popen[bytes]]:
    """Another process computes for as long as the block lasts."""
    # It ends with this process, even if that is killed.
    code = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(1000000))"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield process
        finally:
            process.kill()
