"""A runtime with an open model in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embedx.errors import ConfigError
from embedx.model.graph import Array

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class Times(NamedTuple):
    """Seconds: on the clock, and of computing, user and system, by all threads of the process."""

    wall: float
    cpu: float


class Side:
    """A runtime with an open model, in a process of its own; ``job`` is what ``side.py`` takes.

    Raises ConfigError if it cannot run the model.
    """

    peak_bytes: int | None = None
    """The most memory that the process has held until the last run's end."""
    cpu_seconds: float
    """What the process has computed from its start to the last run's end."""

    def __init__(self, name: str, job: Mapping[str, Any]) -> None:
        self._what = f"{name} cannot run {job['model']}"
        root = str(Path(__file__).parents[2])
        threads = str(job["threads"])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
            "RAYON_NUM_THREADS": threads,  # the tokenizers' threads
            "HF_HUB_OFFLINE": "1",
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

    def run(self, *, once: bool = False) -> Times:
        """What a run takes: one, or the median of some if it is short and need not be ``once``."""
        self._ask("once" if once else "run")
        answer = self._answer()
        self.peak_bytes, self.cpu_seconds = answer["peak_bytes"], answer["cpu_seconds_so_far"]
        return Times(answer["seconds"], answer["cpu_seconds"])

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
            raise ConfigError(f"{self._what}: its process ended with code {code}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ConfigError(f"{self._what}: {answer['error']}")
        return answer
