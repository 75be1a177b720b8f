"""What ``embedx bench`` measures, as one document that JSON can hold."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from embedx.bench.turns import Entry, interleaved, one_core_busy, summary
from embedx.difference import differences
from embedx.errors import ConfigError, DeploymentError
from embedx.machine import machine
from embedx.model.graph import Array, TensorType
from embedx.model.onnx_file import read_model
from embedx.observe.profile import profiled
from embedx.peers.known import TEXTS_ONLY, check_peers
from embedx.peers.process import Side, Times
from embedx.run.engine import Engine
from embedx.text.embedder import load
from embedx.text.locate import find_model

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
    models: Sequence[str | os.PathLike[str] | None] = (None,),
    *,
    peers: Sequence[str] = (),
    shapes: Sequence[tuple[int, int]] = (),
    texts: Sequence[str] = (),
    cold: bool = False,
    busy: bool = False,
    threads: Sequence[int] = (1,),
    iterations: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure models in embedx and in each of ``peers`` on the same input and thread counts.

    ``shapes`` are (batch size, tokens) of runs on made-up ids without padding, with ``busy`` once
    more while another process computes; ``texts`` are embedded end to end, tokenizer included;
    ``cold`` times processes from their start to their first embedding. Sides take turns, each in
    a process of its own. ``iterations`` is how often each is measured (default: for about five
    seconds); ``progress`` is told what comes next.

    Peers that leave batches of texts to their user are shown twice: ``sorted`` by length first, as
    those do who look for speed, and ``naive``, in the given order.

    The document has the models, the machine, and a list of measurements. Times are seconds on the
    clock (``wall``) and of computing, user and system (``cpu``), memory is bytes, ``embedx_speed``
    above 1 means that embedx is faster than that peer.

    Raises ConfigError for unknown or missing peers, or a peer that cannot run a model.
    """
    check_peers(peers, with_texts=bool(texts) or cold)
    found = {str(model or "default_model"): find_model(model) for model in models}
    # Absolute but not resolved: in a cache the files beside a link are not beside its target.
    paths = {name: path.absolute() for name, path in found.items()}
    sides = list(dict.fromkeys(("embedx", *peers)))
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="embedx-bench-") as name:
        folder = Path(name)
        text_jobs = {}
        if texts or cold:
            text_jobs = {name: _text_job(path, texts, sides) for name, path in paths.items()}
        for count in threads:
            setting = _Setting(paths, sides, count, iterations, folder)
            if shapes:
                engines = {name: Engine(path, num_cores=count) for name, path in paths.items()}
            for batch, length in shapes:
                progress(f"{batch}x{length}, threads: {count}")
                measured += _runs(setting, engines, batch, length, busy)
            if texts:
                progress(f"{len(texts)} texts, threads: {count}")
                measured.append(_throughput(setting, text_jobs, texts))
            if cold:
                progress(f"cold starts, threads: {count}")
                measured.append(_cold_starts(setting, text_jobs))
    return {
        "models": {name: str(path) for name, path in found.items()},
        "machine": machine(peers),
        "measurements": measured,
    }


@dataclass(frozen=True)
class _Setting:
    """What the measurements have in common."""

    models: Mapping[str, Path]
    sides: Sequence[str]
    threads: int
    iterations: int | None
    folder: Path
    """Where files for the sides' processes are put."""


@contextmanager
def _opened(
    setting: _Setting, jobs: Mapping[Entry, Mapping[str, Any]]
) -> Iterator[dict[Entry, Side]]:
    """The sides' processes with their models open, told what they need; embedx comes first."""
    with ExitStack() as stack:
        yield {
            entry: stack.enter_context(Side(entry.side, {**job, "threads": setting.threads}))
            for entry, job in jobs.items()
        }


def _runs(
    setting: _Setting, engines: Mapping[str, Engine], batch: int, length: int, busy: bool
) -> Iterator[dict[str, Any]]:
    """Runs on one shape, the same under load if asked for, and where their time goes."""
    shape = {"batch": batch, "sequence_length": length, "threads": setting.threads}
    feeds = {name: _feeds(engine, batch, length) for name, engine in engines.items()}
    jobs: dict[Entry, dict[str, Any]] = {}
    for place, (name, engine) in enumerate(engines.items()):
        file = setting.folder / f"feeds{place}.npz"
        np.savez(file, *(a.astype(str) if a.dtype == object else a for a in feeds[name]))
        job = {"model": str(setting.models[name]), "feeds": str(file), "names": engine.input_names}
        jobs |= {Entry(name, side): job for side in setting.sides if side != TEXTS_ONLY}
    with _opened(setting, jobs) as sides:
        rows = _compared(setting, sides)
        for row in rows:
            row["texts_per_second"] = batch / row["wall_seconds"]
        yield {
            "kind": "run",
            **shape,
            "inputs": {
                name: {
                    given: list(array.shape)
                    for given, array in zip(engine.input_names, feeds[name], strict=True)
                }
                for name, engine in engines.items()
            },
            "sides": rows,
        }
        if busy:
            with one_core_busy():
                loaded = summary(_in_turn(setting, sides))
            for row, alone in zip(loaded, rows, strict=True):
                row["slowdown"] = row["wall_seconds"] / alone["wall_seconds"]
            yield {"kind": "run beside a busy process", **shape, "sides": loaded}
    for name, engine in engines.items():
        found = profiled(engine, feeds[name], setting.threads, setting.iterations)
        yield {"kind": "operators", "model": name, **shape, **found}


def _feeds(engine: Engine, batch: int, length: int) -> list[Any]:
    """Made-up inputs of a shape that the model takes. Raises ConfigError if it takes another."""
    feeds = engine.generate_random_inputs(batch, length)
    ids = next(
        (feed.shape for feed in feeds if np.ndim(feed) == 2 and feed.dtype.kind in "iu"), None
    )
    if ids not in (None, (batch, length)):
        raise ConfigError(f"the model takes {ids[0]}x{ids[1]} tokens only, not {batch}x{length}")
    engine.run(feeds)  # what is wrong with the model is told in its own words
    return feeds


def _in_turn(setting: _Setting, sides: Mapping[Entry, Side]) -> dict[Entry, list[Times]]:
    return interleaved({entry: side.run for entry, side in sides.items()}, setting.iterations)


def _compared(setting: _Setting, sides: Mapping[Entry, Side]) -> list[dict[str, Any]]:
    """A row for each side: times, memory, and how far a peer's results are from ours."""
    rows = summary(_in_turn(setting, sides))
    ours: list[Array] = []
    for row, (entry, side) in zip(rows, sides.items(), strict=True):
        row |= {"load_seconds": side.load_seconds, "peak_bytes": side.peak_bytes}
        results = side.results(setting.folder / "results.npz")
        if entry.side == "embedx":
            ours = results
        else:
            row |= differences(ours, results)
    return rows


def _text_job(path: Path, texts: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """What a side must know to embed texts as embedx does, and how many tokens they have."""
    model = load(path, pooling_mode="mean")
    graph = read_model(path)
    folder = model.text_model.deployment.folder
    needs = {"tokenizer.json": bool(names[1:]), "config.json": TEXTS_ONLY in names}
    for file, needed in needs.items():
        if needed and not (folder / file).is_file():
            raise DeploymentError(f"{folder} has no {file}, which other runtimes' texts need")
    outputs = [v.name for v in graph.outputs]
    edge = model.text_model.edge
    return {
        "model": str(path),
        "folder": str(folder.absolute()),
        "tokenizer": str((folder / "tokenizer.json").absolute()),
        "length": model.max_seq_length,
        "inputs": {
            v.name: v.type.dtype.name for v in graph.feeds if isinstance(v.type, TensorType)
        },
        "output": edge if edge in outputs else outputs[0],
        "comparable": edge in outputs,
        "tokens": sum(len(text.ids) for text in model.tokenize(texts)),
    }


def _throughput(
    setting: _Setting, text_jobs: Mapping[str, Mapping[str, Any]], texts: Sequence[str]
) -> dict[str, Any]:
    file = _text_file(texts, setting.folder)
    jobs = {
        Entry(name, side, batches): {**job, "texts": file, "batches": batches}
        for name, job in text_jobs.items()
        for side in setting.sides
        for batches in ((None,) if side in ("embedx", TEXTS_ONLY) else ("sorted", "naive"))
    }
    with _opened(setting, jobs) as sides:
        rows = _compared(setting, sides)
    for row in rows:
        row["texts_per_second"] = len(texts) / row["wall_seconds"]
        if row["side"] != "embedx" and not text_jobs[row["model"]]["comparable"]:
            row |= {"max_abs_difference": None, "mean_abs_difference": None}
    return {
        "kind": "texts",
        "texts": len(texts),
        "tokens": {name: job["tokens"] for name, job in text_jobs.items()},
        "threads": setting.threads,
        "sides": rows,
    }


def _cold_starts(setting: _Setting, text_jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    file = _text_file([_FIRST_TEXT], setting.folder)

    def start(entry: Entry) -> Times:
        job = {**text_jobs[entry.model], "texts": file, "batches": "naive"}
        begin = time.perf_counter()
        with _opened(setting, {entry: job}) as sides:
            sides[entry].run(once=True)
            return Times(time.perf_counter() - begin, sides[entry].cpu_seconds)

    entries = [Entry(name, side) for name in text_jobs for side in setting.sides]
    times = interleaved({entry: partial(start, entry) for entry in entries}, setting.iterations)
    return {"kind": "cold start", "threads": setting.threads, "sides": summary(times)}


def _text_file(texts: Sequence[str], folder: Path) -> str:
    path = folder / "texts.json"
    path.write_text(json.dumps(list(texts)), "utf-8")
    return str(path)
