"""Where a run's time goes: by operator, and inside matrix products."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from embedx.model.graph import Array
from embedx.run.engine import Engine
from embedx.workers import spread, threads

_BUDGET, _FEWEST, _MOST = 1.0, 5, 50
"""Seconds that the runs take about, and how many there are at least and at most."""


def profiled(
    engine: Engine, feeds: Sequence[Array], count: int, runs: int | None
) -> dict[str, Any]:
    """The time of each operator, between them, and in products, on ``count`` threads.

    Seconds are medians of ``runs`` runs (default: 5 to 50) for each step, added up by operator; of
    a step that several threads work at, they are the mean of its threads. Between the steps the
    loop runs, and memory is given back. Of the products those count that
    NumPy gives to BLAS; what is multiplied sparse shows as an operator.
    """
    seconds_each = engine.timed_run(feeds)[1]
    runs = runs or min(max(int(_BUDGET / seconds_each), _FEWEST), _MOST)
    plan = engine.plan
    calls: list[list[tuple[int, float]]] = [[] for _ in plan.steps]
    steps = tuple(
        replace(
            step,
            call=_timed(step.call, made),
            literal=step.literal and _timed(step.literal, made),
        )
        for step, made in zip(plan.steps, calls, strict=True)
    )
    stretches = {
        place: replace(stretch, steps=steps[place : place + len(stretch.steps)])
        for place, stretch in plan.stretches.items()
    }
    walls: list[float] = []
    parts: list[list[float]] = []
    try:
        engine.plan = replace(plan, steps=steps, stretches=stretches)
        for _ in range(runs):
            for made in calls:
                made.clear()
            walls.append(engine.timed_run(feeds)[1])
            parts.append([_mean_of_threads(made) for made in calls])
        with _products() as products:
            under_watch = sum(engine.timed_run(feeds)[1] for _ in range(runs))
    finally:
        engine.plan = plan
    rows: dict[str, dict[str, Any]] = {}
    for step, *seconds in zip(plan.steps, *parts, strict=True):
        title = step.node.operator
        row = rows.setdefault(title, {"operator": title, "count": 0, "seconds": 0.0})
        row["count"] += 1
        row["seconds"] += median(seconds)
    between = {
        "operator": "(between steps)",
        "count": len(plan.steps),
        "seconds": median(wall - sum(part) for wall, part in zip(walls, parts, strict=True)),
    }
    listed = [*sorted(rows.values(), key=lambda row: -row["seconds"]), between]
    total = sum(row["seconds"] for row in listed)
    busy = sum(seconds for seconds, _ in products) / count
    gflops = sum(flops for _, flops in products) / busy / 1e9 if busy else 0.0
    peak = sgemm_peak(count)
    return {
        "seconds": total,
        "operators": [{**row, "share": row["seconds"] / total} for row in listed],
        "products": {
            "share": busy / under_watch,
            "gflops": gflops,
            "peak_gflops": peak,
            "of_peak": gflops / peak,
        },
    }


def _timed(call: Callable[..., Any], made: list[tuple[int, float]]) -> Callable[..., Any]:
    """The call, that puts its thread and its seconds into a list."""

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments, **options)
        made.append((threading.get_ident(), time.perf_counter() - start))
        return result

    return timed


def _mean_of_threads(calls: Sequence[tuple[int, float]]) -> float:
    """Seconds of a step, some rows of which each of its calls has computed."""
    return sum(seconds for _, seconds in calls) / max(len({thread for thread, _ in calls}), 1)


@contextmanager
def _products() -> Iterator[list[tuple[float, int]]]:
    """The seconds and floating-point operations of each call of np.matmul within the block."""
    found: list[tuple[float, int]] = []
    original = np.matmul

    def matmul(a: Any, b: Any, **options: Any) -> Any:
        start = time.perf_counter()
        y = original(a, b, **options)
        found.append((time.perf_counter() - start, 2 * np.size(y) * np.shape(a)[-1]))
        return y

    np.matmul = matmul  # type: ignore[assignment]
    try:
        yield found
    finally:
        np.matmul = original


def sgemm_peak(count: int, size: int = 1024) -> float:
    """GFLOP/s of large float32 products on ``count`` threads here: the best of several."""
    generator = np.random.default_rng(0)
    x = generator.random((count * size, size), np.float32)
    weight, y = generator.random((size, size), np.float32), np.empty_like(x)

    def work(start: int, stop: int) -> None:
        np.matmul(x[start:stop], weight, out=y[start:stop])

    seconds = []
    with threads(count):
        for _ in range(10):
            start = time.perf_counter()
            spread(work, len(x), size)
            seconds.append(time.perf_counter() - start)
    return 2 * x.size * size / min(seconds) / 1e9
