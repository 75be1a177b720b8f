"""One side of a comparison, alone in its process: ``python side.py JOB``.

It runs as a file and not as a module, so that a peer's process loads nothing of embedx. JOB is
JSON: the side's name, the model, the threads, and either feeds or texts. When the model is open
the process says so; then a line on stdin asks: ``run`` for a measurement of a run, ``once`` for
that of a single one, anything else for the last run's results in a file of that name. Each answer
is a line of JSON.
"""

from __future__ import annotations

import json
import os
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

asker = sys.stdout
"""What the process that asks reads, and nothing but answers."""

Work = Callable[[], list[Any]]


def main(job: dict[str, Any]) -> None:
    """Open the model, then answer what stdin asks for until it ends."""
    work, load_seconds = prepared_texts(job) if "texts" in job else prepared_feeds(job)
    answer(load_seconds=load_seconds)
    results: list[Any] = []
    for line in sys.stdin:
        asked = line.rstrip("\n")
        if asked in ("run", "once"):
            walls: list[float] = []
            cpus: list[float] = []
            while not walls or (asked == "run" and sum(walls) < BURST):
                results = []  # a run must not pay for keeping what the one before made
                start, cpu_start = time.perf_counter(), time.process_time()
                results = work()
                walls.append(time.perf_counter() - start)
                cpus.append(time.process_time() - cpu_start)
            answer(
                seconds=median(walls),
                cpu_seconds=median(cpus),
                cpu_seconds_so_far=time.process_time(),
                peak_bytes=peak_bytes(),
            )
        else:
            np.savez(asked, *(a for a in results if isinstance(a, np.ndarray)))
            answer()


def answer(**facts: Any) -> None:
    """Send one line to the process that asks."""
    print(json.dumps(facts), flush=True, file=asker)


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
    encode = {"embedx": embedder, "sentence-transformers": sentence_transformer}.get(
        job["side"], plain_script
    )(job)
    return lambda: [encode(texts)], time.perf_counter() - start


def opener(side: str, threads: int, **options: Any) -> Callable[[str], Any]:
    """How a side opens a model file; what it makes has ``run(output_names, feeds)``.

    ``options`` are those of ``onnxruntime_session``.
    """
    if side == "embedx":
        from embedx import Engine

        return lambda path: Engine(path, num_cores=threads)
    runtime = import_module(side)
    if side == "onnxruntime":
        return lambda path: onnxruntime_session(path, threads, **options)
    if side == "openvino":
        return lambda path: OpenVINO(runtime, path, threads)
    evaluator: Callable[[str], Any] = runtime.ReferenceEvaluator
    return evaluator


CPU = "CPUExecutionProvider"
"""What onnxruntime calls the processor."""


LEVELS = {"off": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED"}
"""What onnxruntime calls its levels of optimization below all of them."""


def onnxruntime_session(
    path: str, threads: int, *, level: str = "all", disabled: Sequence[str] = (), saved: str = ""
) -> Any:
    """A session with optimizations up to a level, without the ``disabled`` optimizers.

    The model that they make is ``saved``, if that is the name of a file.
    """
    runtime = import_module("onnxruntime")
    options = session_options(threads)
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = getattr(levels, f"ORT_{LEVELS.get(level, 'ENABLE_ALL')}")
    if saved:
        options.optimized_model_filepath = saved
        # What lies beside the original would be looked for beside this file.
        entry = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(entry, f"{os.path.basename(saved)}.data")
    return runtime.InferenceSession(
        path, options, providers=[CPU], disabled_optimizers=list(disabled)
    )


def session_options(threads: int) -> Any:
    """How onnxruntime keeps to a number of threads."""
    options = import_module("onnxruntime").SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return options


class OpenVINO:
    """A model in OpenVINO that is run as onnxruntime's are."""

    def __init__(self, runtime: Any, path: str, threads: int) -> None:
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",  # one run at a time, on all threads
            "INFERENCE_PRECISION_HINT": "f32",  # where a processor has bfloat16, it takes that
        }
        self.compiled = runtime.Core().compile_model(path, "CPU", options)

    def run(self, names: Sequence[str] | None, feeds: dict[str, Any]) -> list[Any]:
        """The outputs of these names, or all."""
        results = self.compiled(feeds)
        return [results[name] for name in names] if names else list(results.values())


Encode = Callable[[Sequence[str]], Any]


def embedder(job: dict[str, Any]) -> Encode:
    """How embedx embeds texts."""
    from embedx import load

    model = load(
        job["model"],
        pooling_mode="mean",
        max_seq_length=job["length"],
        num_cores=job["threads"],
    )
    return lambda texts: model.encode(texts, batch_size=BATCH_SIZE)


def sentence_transformer(job: dict[str, Any]) -> Encode:
    """How sentence-transformers does, in its ONNX backend: the model file is the same."""
    import_module("torch").set_num_threads(job["threads"])
    package = import_module("sentence_transformers")
    folder, options = job["folder"], {"device": "cpu", "local_files_only": True}
    loaded = package.SentenceTransformer(
        folder,
        backend="onnx",
        model_kwargs={
            "file_name": os.path.relpath(job["model"], folder),
            "provider": CPU,
            "session_options": session_options(job["threads"]),
        },
        **options,
    )
    # What the folder's other modules do, such as dividing by the norm, no side does.
    mean = import_module("sentence_transformers.models").Pooling(
        loaded[0].get_word_embedding_dimension(), "mean"
    )
    model = package.SentenceTransformer(modules=[loaded[0], mean], **options)
    model.max_seq_length = job["length"]
    return lambda texts: model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False)


def plain_script(job: dict[str, Any]) -> Encode:
    """How a script does with a runtime and a tokenizer: batches padded to their longest text.

    With the batches ``sorted`` texts of like length go together, as those who look for speed do
    it; ``naive`` ones are in the given order.
    """
    session = opener(job["side"], job["threads"])(job["model"])
    tokenizer = import_module("tokenizers").Tokenizer.from_file(job["tokenizer"])
    tokenizer.enable_truncation(job["length"])
    tokenizer.no_padding()

    def encode(texts: Sequence[str]) -> Any:
        tokens = tokenizer.encode_batch(texts)
        order = list(range(len(tokens)))
        if job["batches"] == "sorted":
            order.sort(key=lambda place: len(tokens[place]))
        vectors: list[Any] = [None] * len(tokens)
        for start in range(0, len(order), BATCH_SIZE):
            places = order[start : start + BATCH_SIZE]
            batch = [tokens[place] for place in places]
            for place, vector in zip(places, embedded(session, batch, job), strict=True):
                vectors[place] = vector
        return np.stack(vectors)

    return encode


def embedded(session: Any, tokens: Sequence[Any], job: dict[str, Any]) -> Any:
    """The mean-pooled embeddings of a batch, padded to its longest text."""
    longest = max(map(len, tokens))
    for text in tokens:
        text.pad(longest)
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
    return hidden


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
    asker = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print something must not be heard as answers
    try:
        main(json.loads(sys.argv[1]))
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
