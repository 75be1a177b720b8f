"""What ``embedx bench`` measures, as one document that JSON can hold."""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import embedx
from embedx.bench.turns import interleaved, one_core_busy, summary
from embedx.difference import differences
from embedx.errors import ConfigError, DeploymentError
from embedx.model.graph import TensorType
from embedx.model.onnx_file import read_model
from embedx.observe.profile import profiled
from embedx.peers.process import Side
from embedx.run.engine import Engine
from embedx.text.embedder import load
from embedx.text.locate import find_model
from embedx.workers import available_cores

PEERS = {"onnxruntime": "onnxruntime", "onnx.reference": "onnx"}
"""Modules to compare with, and the packages that bring them."""
_FIRST_TEXT = "The quick brown fox jumps over the lazy dog."


def parsed_shapes(text: str) -> list[tuple[int, int]]:
    """Batch sizes and sequence lengths from a list. Raises ConfigError for another form.

    >>> parsed_shapes("1x16,8x128")
    [(1, 16), (8, 128)]
    """
    found = [
        re.fullmatch(r"([1-9]\d{0,8})x([1-9]\d{0,8})", part.strip()) for part in text.split(",")
    ]
    shapes = [(int(match[1]), int(match[2])) for match in found if match]
    if len(shapes) < len(found):
        raise ConfigError(f"shapes are BATCHxTOKENS with commas between, not {text!r}")
    return shapes


def bench(
    model: str | os.PathLike[str] | None = None,
    *,
    peers: Sequence[str] = (),
    shapes: Sequence[tuple[int, int]] = (),
    texts: Sequence[str] = (),
    cold: bool = False,
    busy: bool = False,
    threads: int = 1,
    iterations: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure a model in embedx and in each of ``peers`` on the same input and thread count.

    ``shapes`` are (batch size, tokens) of runs on made-up ids without padding, with ``busy`` once
    more while another process computes; ``texts`` are embedded end to end, tokenizer included;
    ``cold`` times processes from their start to their first embedding. Sides take turns, each in
    a process of its own. ``iterations`` is how often each is measured (default: for about five
    seconds); ``progress`` is told what comes next.

    The document has the machine, and a list of measurements. Times are seconds, memory is bytes,
    ``embedx_speed`` above 1 means that embedx is faster than that peer.

    Raises ConfigError for unknown or missing peers, or a peer that cannot run the model.
    """
    for name in peers:
        if name not in PEERS:
            raise ConfigError(f"no runtime {name!r} to compare with; known: {', '.join(PEERS)}")
        if find_spec(name.partition(".")[0]) is None:
            raise ConfigError(f"{name} is not installed; try: pip install {PEERS[name]}")
    for option, number in (("threads", threads), ("iterations", iterations)):
        if number is not None and number < 1:
            raise ConfigError(f"{option} must be at least 1, not {number}")
    path = find_model(model)
    # Absolute but not resolved: in a cache the files beside a link are not beside its target.
    job: dict[str, Any] = {"model": str(path.absolute()), "threads": threads}
    sides = list(dict.fromkeys(("embedx", *peers)))
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="embedx-bench-") as name:
        folder = Path(name)
        if shapes:
            engine = Engine(path, num_cores=threads)
            for batch, length in shapes:
                progress(f"{batch}x{length}")
                measured += _runs(engine, batch, length, sides, job, folder, iterations, busy)
        if texts or cold:
            job |= _text_job(path, sides)
        if texts:
            progress(f"{len(texts)} texts")
            measured.append(_throughput(texts, sides, job, folder, iterations))
        if cold:
            progress("cold starts")
            measured.append(_cold_starts(sides, job, folder, iterations))
    return {"model": str(path), "machine": machine(threads), "measurements": measured}


def _runs(
    engine: Engine,
    batch: int,
    length: int,
    names: Sequence[str],
    job: Mapping[str, Any],
    folder: Path,
    iterations: int | None,
    busy: bool,
) -> Iterator[dict[str, Any]]:
    """Runs on one shape, the same under load if asked for, and where their time goes."""
    feeds = engine.generate_random_inputs(batch, length)
    ids = next(
        (feed.shape for feed in feeds if np.ndim(feed) == 2 and feed.dtype.kind in "iu"), None
    )
    if ids not in (None, (batch, length)):
        raise ConfigError(f"the model takes {ids[0]}x{ids[1]} tokens only, not {batch}x{length}")
    engine.run(feeds)  # what is wrong with the model is told in its own words
    file = folder / "feeds.npz"
    np.savez(file, *(array.astype(str) if array.dtype == object else array for array in feeds))
    shape = {"batch": batch, "sequence_length": length, "threads": job["threads"]}
    with ExitStack() as stack:
        job = {**job, "feeds": str(file), "names": engine.input_names}
        sides = [stack.enter_context(Side(name, job)) for name in names]
        rows = _compared(sides, folder, iterations)
        for row in rows:
            row["texts_per_second"] = batch / row["median_seconds"]
        yield {
            "kind": "run",
            **shape,
            "inputs": {
                name: list(array.shape)
                for name, array in zip(engine.input_names, feeds, strict=True)
            },
            "sides": rows,
        }
        if busy:
            with one_core_busy():
                loaded = summary(interleaved({s.name: s.run for s in sides}, iterations))
            for row, alone in zip(loaded, rows, strict=True):
                row["slowdown"] = row["median_seconds"] / alone["median_seconds"]
            yield {"kind": "run beside a busy process", **shape, "sides": loaded}
    yield {"kind": "operators", **shape, **profiled(engine, feeds, job["threads"], iterations)}


def _compared(sides: Sequence[Side], folder: Path, iterations: int | None) -> list[dict[str, Any]]:
    """A row for each side: times, memory, and how far a peer's results are from ours."""
    rows = summary(interleaved({side.name: side.run for side in sides}, iterations))
    ours = sides[0].results(folder / "results.npz")
    for row, side in zip(rows, sides, strict=True):
        row |= {"load_seconds": side.load_seconds, "peak_bytes": side.peak_bytes}
        if side is not sides[0]:
            row |= differences(ours, side.results(folder / "results.npz"))
    return rows


def _text_job(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """What a side must know to embed texts as embedx does."""
    model = load(path, pooling_mode="mean")
    graph = read_model(path)
    folder = model.text_model.deployment.folder
    if names[1:] and not (folder / "tokenizer.json").is_file():
        raise DeploymentError(f"{folder} has no tokenizer.json, which other runtimes' texts need")
    outputs = [v.name for v in graph.outputs]
    edge = model.text_model.edge
    return {
        "tokenizer": str((folder / "tokenizer.json").absolute()),
        "length": model.max_seq_length,
        "inputs": {
            v.name: v.type.dtype.name for v in graph.feeds if isinstance(v.type, TensorType)
        },
        "output": edge if edge in outputs else outputs[0],
        "comparable": edge in outputs,
    }


def _throughput(
    texts: Sequence[str],
    names: Sequence[str],
    job: Mapping[str, Any],
    folder: Path,
    iterations: int | None,
) -> dict[str, Any]:
    job = {**job, "texts": _text_file(texts, folder)}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(name, job)) for name in names]
        rows = _compared(sides, folder, iterations)
    for row in rows:
        row["texts_per_second"] = len(texts) / row["median_seconds"]
        if row["side"] != "embedx" and not job["comparable"]:
            row |= {"max_abs_difference": None, "mean_abs_difference": None}
    return {"kind": "texts", "texts": len(texts), "threads": job["threads"], "sides": rows}


def _cold_starts(
    names: Sequence[str], job: Mapping[str, Any], folder: Path, iterations: int | None
) -> dict[str, Any]:
    job = {**job, "texts": _text_file([_FIRST_TEXT], folder)}

    def start(name: str) -> float:
        begin = time.perf_counter()
        with Side(name, job) as side:
            side.run()
            return time.perf_counter() - begin

    times = interleaved({name: partial(start, name) for name in names}, iterations)
    return {"kind": "cold start", "threads": job["threads"], "sides": summary(times)}


def _text_file(texts: Sequence[str], folder: Path) -> str:
    path = folder / "texts.json"
    path.write_text(json.dumps(list(texts)), "utf-8")
    return str(path)


def machine(threads: int) -> dict[str, Any]:
    """What the measurements ran on."""
    from threadpoolctl import threadpool_info

    packages = ("embedx", "numpy", "scipy", "onnx", "onnxruntime", "tokenizers")
    blas = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "threads": threads,
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{name: version for name in packages if (version := _version(name))},
            **{i["internal_api"]: f"{i['version']} ({i.get('architecture')})" for i in blas},
        },
    }


def _version(package: str) -> str | None:
    try:
        return embedx.__version__ if package == "embedx" else metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return names[0] if names else platform.machine()
