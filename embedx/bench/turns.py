"""Sides of a comparison in processes of their own, and measurements of them in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

_REST = 0.02
"""Seconds before a measurement: threads that wait in a loop for work have gone to sleep by then."""
_BUDGET, _FEWEST, _MOST = 5.0, 3, 50
"""Seconds that one side may take, and how many measurements it has at least and at most."""
_LONG = 20.0
"""Seconds of a run that is not repeated."""


def interleaved(
    runs: Mapping[str, Callable[[], float]], iterations: int | None = None
) -> dict[str, list[float]]:
    """The seconds that each of ``runs`` tells, measured in turn after one run each to warm up.

    Each is measured ``iterations`` times; by default for about five seconds, 3 to 50 times, and
    only once if that takes more than 20 seconds. The measurements of a side are spread evenly.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    wanted = {}
    for name, run in runs.items():
        first = run()
        wanted[name] = iterations or min(max(int(_BUDGET / max(first, 1e-9)), _FEWEST), _MOST)
        if iterations is None and first > _LONG:
            times[name], wanted[name] = [first], 0
    rounds = max(wanted.values())
    for i in range(rounds):
        for name, run in runs.items():
            if (i + 1) * wanted[name] // rounds > i * wanted[name] // rounds:
                time.sleep(_REST)
                times[name].append(run())
    return times


def summary(times: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    """A row for each side: its median and quartiles, and for peers the speed of embedx.

    ``embedx_speed`` is the peer's median over that of embedx: above 1, embedx is faster.
    """
    own = median(times["embedx"])
    rows = []
    for name, seconds in times.items():
        low, middle, high = quantiles(seconds, method="inclusive") if seconds[1:] else seconds * 3
        rows.append(
            {
                "side": name,
                "runs": len(seconds),
                "median_seconds": middle,
                "quartile_seconds": [low, high],
            }
        )
        if name != "embedx":
            rows[-1]["embedx_speed"] = middle / own
    return rows


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
