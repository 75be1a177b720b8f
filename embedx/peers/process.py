"""A runtime with an open model in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedx.errors import ConfigError
from embedx.model.graph import Array

if TYPE_CHECKING:
    from typing_extensions import Self

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class Times(NamedTuple):
    """Seconds: on the clock, and of computing, user and system, by all threads of the process."""

    wall: float
    cpu: float


def finding_embedx() -> dict[str, str]:
    """The environment of a process that imports embedx from where this one did."""
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class _Process:
    """A runtime with an open model, in a process of its own, that is asked and answers by lines.

    Raises ConfigError if it cannot run the model.
    """

    def __init__(self, name: str, job: Mapping[str, Any], *program: str) -> None:
        self._what = f"{name} cannot run {job['model']}"
        threads = str(job["threads"])
        environment = {
            **finding_embedx(),
            "RAYON_NUM_THREADS": threads,  # the tokenizers' threads
            "HF_HUB_OFFLINE": "1",
        }
        if name != "embedx":  # which pins BLAS itself
            environment.update(dict.fromkeys(_BLAS_THREADS, threads))
        self._process = subprocess.Popen(
            [
                sys.executable,
                *program,
                json.dumps({**job, "side": name}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        try:
            self._opened = self._answer()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

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


class Side(_Process):
    """One side of a measurement; ``job`` is what ``side.py`` takes."""

    peak_bytes: int | None = None
    """The most memory that the process has held until the last run's end."""
    cpu_seconds: float
    """What the process has computed from its start to the last run's end."""

    def __init__(self, name: str, job: Mapping[str, Any]) -> None:
        super().__init__(name, job, str(Path(__file__).with_name("side.py")))
        self.load_seconds = float(self._opened["load_seconds"])

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


class Runtime(_Process):
    """A runtime that gives values; ``job`` is what ``values.py`` takes."""

    def __init__(self, name: str, job: Mapping[str, Any]) -> None:
        super().__init__(name, job, "-m", "embedx.peers.values")

    def values(
        self, feeds: Mapping[str, Array], outputs: Sequence[str], folder: Path
    ) -> dict[str, Array]:
        """The outputs of these names, but for sequences and strings; they pass through files."""
        given, made = folder / "feeds.npz", folder / "values.npz"
        write_arrays(given, feeds)
        request = {"feeds": str(given), "outputs": list(outputs), "to": str(made)}
        self._ask(json.dumps(request))
        self._answer()
        with np.load(made) as file:
            return {outputs[int(place)]: value for place, value in file.items()}


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays into an ``.npz``, strings as NumPy's own, without anything pickled."""
    plain = {k: v.astype(str) if v.dtype == object else v for k, v in arrays.items()}
    with zipfile.ZipFile(path, "w") as file:  # np.savez would take a name for an option of its own
        for name, array in plain.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
