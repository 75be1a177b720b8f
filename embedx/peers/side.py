"""One side of a comparison, alone in its process: ``python side.py JOB``.

It runs as a file and not as a module, so that a peer's process loads nothing of embedx. JOB is
JSON: the side's name, the model, the threads, and either feeds or texts. When the model is open
the process says so; then an empty line on stdin asks for a measurement, any other for the last
run's results in a file of that name. Each answer is a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np

BATCH_SIZE = 32
"""Texts that go into the model together."""

BURST = 0.1
"""Seconds for which short runs are repeated: one alone would meet caches that are not its own."""

Work = Callable[[], list[Any]]


def main(job: dict[str, Any]) -> None:
    """Open the model, then answer what stdin asks for until it ends."""
    work, load_seconds = prepared_texts(job) if "texts" in job else prepared_feeds(job)
    answer(load_seconds=load_seconds)
    results: list[Any] = []
    for line in sys.stdin:
        if path := line.rstrip("\n"):
            np.savez(path, *(a for a in results if isinstance(a, np.ndarray)))
            answer()
        else:
            seconds: list[float] = []
            while sum(seconds) < BURST:
                results = []  # a run must not pay for keeping what the one before made
                start = time.perf_counter()
                results = work()
                seconds.append(time.perf_counter() - start)
            answer(seconds=median(seconds), peak_bytes=peak_bytes())


def answer(**facts: Any) -> None:
    """Send one line to the process that asks."""
    print(json.dumps(facts), flush=True)


def prepared_feeds(job: dict[str, Any]) -> tuple[Work, float]:
    """A run on the arrays in a file, and the seconds that loading the model took."""
    with np.load(job["feeds"]) as file:
        feeds = dict(zip(job["names"], file.values(), strict=True))
    opened = opener(job["side"], job["threads"])
    start = time.perf_counter()
    session = opened(job["model"])
    return lambda: list(session.run(None, feeds)), time.perf_counter() - start


def prepared_texts(job: dict[str, Any]) -> tuple[Work, float]:
    """The texts' mean-pooled embeddings, and the seconds that loading took, imports included."""
    start = time.perf_counter()
    with open(job["texts"], encoding="utf-8") as file:
        texts = json.load(file)
    if job["side"] == "embedx":
        from embedx import load

        model = load(
            job["model"],
            pooling_mode="mean",
            max_seq_length=job["length"],
            num_cores=job["threads"],
        )
        return lambda: [model.encode(texts, batch_size=BATCH_SIZE)], time.perf_counter() - start
    session = opener(job["side"], job["threads"])(job["model"])
    tokenizer = import_module("tokenizers").Tokenizer.from_file(job["tokenizer"])
    tokenizer.enable_truncation(job["length"])
    tokenizer.enable_padding()
    return lambda: [embedded(session, tokenizer, texts, job)], time.perf_counter() - start


def opener(side: str, threads: int) -> Callable[[str], Any]:
    """How a side opens a model file; what it makes has ``run(output_names, feeds)``."""
    if side == "embedx":
        from embedx import Engine

        return lambda path: Engine(path, num_cores=threads)
    if side == "onnxruntime":
        runtime = import_module(side)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        providers = ["CPUExecutionProvider"]
        return lambda path: runtime.InferenceSession(path, options, providers=providers)
    evaluator: Callable[[str], Any] = import_module(side).ReferenceEvaluator
    return evaluator


def embedded(session: Any, tokenizer: Any, texts: Sequence[str], job: dict[str, Any]) -> Any:
    """Mean-pooled embeddings as a plain script makes them: batches padded to their longest text."""
    vectors = []
    for start in range(0, len(texts), BATCH_SIZE):
        tokens = tokenizer.encode_batch(texts[start : start + BATCH_SIZE])
        ids, mask = np.array([t.ids for t in tokens]), np.array([t.attention_mask for t in tokens])
        made = {
            "mask": mask,
            "type": np.array([t.type_ids for t in tokens]),
            "position": np.broadcast_to(np.arange(ids.shape[1]), ids.shape),
        }
        feeds = {
            name: next((array for word, array in made.items() if word in name), ids).astype(dtype)
            for name, dtype in job["inputs"].items()
        }
        (hidden,) = session.run([job["output"]], feeds)
        if hidden.ndim == 3:
            weights = mask[..., None].astype(np.float32)
            hidden = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        vectors.append(hidden)
    return np.concatenate(vectors)


def peak_bytes() -> int | None:
    """The most memory that this process has held so far; None where the system does not say."""
    # Linux lets a child begin with its parent's ru_maxrss, so the kernel's own mark goes first.
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        resource = import_module("resource")
    except ImportError:
        return None
    peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
