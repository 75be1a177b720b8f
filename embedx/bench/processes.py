"""Sides of a comparison in processes of their own, and measurements of them in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from embedx.errors import ConfigError
from embedx.graph import Array

_REST = 0.02
"""Seconds before a measurement: threads that wait in a loop for work have gone to sleep by then."""
_BUDGET, _FEWEST, _MOST = 5.0, 3, 50
"""Seconds that one side may take, and how many measurements it has at least and at most."""
_LONG = 20.0
"""Seconds of a run that is not repeated."""
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class Side:
    """A runtime with an open model, in a process of its own; ``job`` is what ``side.py`` takes.

    Raises ConfigError if it cannot run the model.
    """

    peak_bytes: int | None = None
    """The most memory that the process has held until the last run's end."""

    def __init__(self, name: str, job: Mapping[str, Any]) -> None:
        self.name = name
        root = str(Path(__file__).parents[2])
        threads = str(job["threads"])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
            "RAYON_NUM_THREADS": threads,  # the tokenizers' threads
        }
        if name != "embedx":  # which pins BLAS itself
            environment.update(dict.fromkeys(_BLAS_THREADS, threads))
        self._process = subprocess.Popen(
            [
                sys.executable,
                Path(__file__).with_name("side.py"),
                json.dumps({**job, "side": name}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        try:
            self.load_seconds = float(self._answer()["load_seconds"])
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self) -> float:
        """The seconds of a run: of one, or the median of some if it is short."""
        self._ask("")
        answer = self._answer()
        self.peak_bytes = answer["peak_bytes"]
        return float(answer["seconds"])

    def results(self, path: Path) -> list[Array]:
        """The arrays that the last run gave; ``path`` is a file to pass them through."""
        self._ask(str(path))
        self._answer()
        with np.load(path) as file:
            return list(file.values())

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise ConfigError(f"{self.name} cannot run this: its process ended with code {code}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ConfigError(f"{self.name} cannot run this: {answer['error']}")
        return answer


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


def differences(ours: list[Array], theirs: list[Array]) -> dict[str, float | None]:
    """The largest and the mean difference between numbers; None where the results do not compare.

    >>> differences([np.array([1.0, 2.0])], [np.array([1.0, 2.5])])
    {'max_abs_difference': 0.5, 'mean_abs_difference': 0.25}
    """
    found = [
        np.abs(a.astype(np.float64) - b.astype(np.float64)).ravel()
        for a, b in zip(ours, theirs, strict=False)
        if a.shape == b.shape and a.size and a.dtype.kind in "fiub" and b.dtype.kind in "fiub"
    ]
    gaps = np.concatenate(found) if found else np.array([np.nan])
    known = bool(np.isfinite(gaps).all())
    return {
        "max_abs_difference": float(gaps.max()) if known else None,
        "mean_abs_difference": float(gaps.mean()) if known else None,
    }


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
