"""Many clients at once: python -m tests.server.load MODEL [--seconds 120] [--clients 64]

Starts a server, asks it from another process with mixed requests of every protocol, compares each
answer with the pipeline's own, and prints what was measured as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from embedx import Pipeline
from embedx.model.graph import Array
from embedx.text.pooling import normalize
from tests.server.process import Connection, Server, serving

WORDS = (
    "the a cat dog sat on mat and ran far away from red blue big river under market paper light "
    "quick answer people water number sound great before through follow change machine between"
).split()


@dataclass
class Expected:
    """The texts, and what the pipeline makes of each."""

    texts: list[str]
    seed: Array
    sentence: Array


@dataclass
class Report:
    """What a run measured; throughputs in texts a second, times in milliseconds."""

    clients: int
    seconds: float = 0.0
    paused: float = 0.0
    """Seconds in which the whole machine stood still, taken off."""
    requests: int = 0
    texts: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    broken: int = 0
    latency_ms: dict[str, float] = field(default_factory=dict)
    live_ms: dict[str, float] = field(default_factory=dict)
    resident_mb: list[float] = field(default_factory=list)
    served: float = 0.0
    one_at_a_time: float = 0.0
    """One client that sends single texts, the next when the answer is there."""
    direct: float = 0.0
    """The pipeline called with a list of texts from the same mix."""
    texts_a_batch: float = 0.0
    cpu_ms_a_text: dict[str, float] = field(default_factory=dict)
    """Processor time, which other work on the machine does not stretch as it does seconds."""


def texts_of(count: int, seed: int = 0) -> list[str]:
    """Texts of 2 to 60 words, most as short as what people type into a search box."""
    choose = random.Random(seed)
    return [
        f"{i} " + " ".join(choose.choices(WORDS, k=min(60, 2 + int(choose.expovariate(1 / 6)))))
        for i in range(count)
    ]


def expected_of(model: Path, texts: list[str], longest: int) -> Expected:
    """By the pipeline; with a strategy set, the other protocols give its vectors, normalized."""
    pipeline = Pipeline.create(
        model_path=model,
        extraction_strategy="reduce_mean",
        sequence_length=longest,
        batch_size=32,
        return_numpy=True,
    )
    vectors = np.array(pipeline(texts).embeddings)
    return Expected(texts, vectors, normalize(vectors))


def direct(model: Path, texts: list[str], longest: int, seconds: float) -> tuple[float, float]:
    """Texts a second of the pipeline called with all of them, and its processor seconds a text."""
    pipeline = Pipeline.create(
        model_path=model,
        extraction_strategy="reduce_mean",
        sequence_length=longest,
        batch_size=64,
    )
    pipeline(texts[:8])
    with Pauses() as pauses:
        start, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds:
            done += len(pipeline(texts).embeddings)
        end = time.perf_counter()
    return done / (end - start - pauses.seconds(start, end)), (time.process_time() - cpu) / done


class Pauses:
    """Notes while this process itself was not running: when a machine stops, so does its clock.

    What was measured meanwhile says nothing about the server, which was stopped as well.
    """

    def __init__(self) -> None:
        self.gaps: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        last = time.perf_counter()
        while not self._ended.wait(0.05):
            now = time.perf_counter()
            if now - last > 1:
                self.gaps.append((last, now))
            last = now

    def __enter__(self) -> Pauses:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def seconds(self, start: float, end: float) -> float:
        """How much of a time was paused."""
        return sum(max(0.0, min(b, end) - max(a, start)) for a, b in self.gaps)


Check = Callable[[bytes], bool]


def request_of(
    expected: Expected, choose: random.Random, kind: str | None = None
) -> tuple[str, bytes, Check, int]:
    """A path, a body, how to check the answer, and the number of texts."""
    kind = kind or choose.choice(("seed", "seed", "many", "float", "base64", "embed", "oip"))
    count = 1 if kind == "seed" else choose.randint(1, 8)
    rows = [choose.randrange(len(expected.texts)) for _ in range(count)]
    texts = [expected.texts[row] for row in rows]

    def close(wanted: Array, found: Any) -> bool:
        return np.shape(found) == wanted.shape and bool(np.allclose(found, wanted, 0, 2e-4))

    seed, sentence = expected.seed[rows], expected.sentence[rows]
    if kind in ("seed", "many"):
        body: Any = {"inputs": texts[0] if kind == "seed" else texts}
        return "/predict", _json(body), lambda a: close(seed, json.loads(a)["embeddings"]), count
    if kind == "embed":
        return "/embed", _json({"inputs": texts}), lambda a: close(sentence, json.loads(a)), count
    if kind == "oip":
        tensor = {"name": "t", "shape": [count], "datatype": "BYTES", "data": texts}

        def check(answer: bytes) -> bool:
            (output,) = json.loads(answer)["outputs"]
            return close(seed, np.reshape(output["data"], output["shape"]))

        return "/v2/models/load/infer", _json({"inputs": [tensor]}), check, count

    def vectors(answer: bytes) -> bool:
        found = [item["embedding"] for item in json.loads(answer)["data"]]
        if kind == "base64":
            found = [np.frombuffer(base64.b64decode(f), "<f4") for f in found]
        return close(sentence, np.array(found))

    return "/v1/embeddings", _json({"input": texts, "encoding_format": kind}), vectors, count


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


async def _ask(
    port: int, expected: Expected, clients: int, seconds: float, kind: str | None
) -> tuple[Counter[str], list[float], int]:
    """Statuses (and 'wrong', 'broken'), seconds of each request, and how many texts came back."""
    found: Counter[str] = Counter()
    times: list[float] = []
    texts = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal texts
        choose = random.Random(number)
        connection = Connection(port)
        while time.perf_counter() < end:
            path, body, check, count = request_of(expected, choose, kind)
            start = time.perf_counter()
            try:
                status, answer = await connection.post(path, body)
            except (OSError, EOFError):
                found["broken"] += 1
                connection.close()
                continue
            times.append(time.perf_counter() - start)
            found[str(status)] += 1
            if status == 200:
                texts += count
                found["wrong"] += not check(answer)
        connection.close()

    await asyncio.gather(*(client(i) for i in range(clients)))
    return found, times, texts


def _client(results: Any, *arguments: Any) -> None:
    results.put(asyncio.run(_ask(*arguments)))


@dataclass
class Asked:
    """What came of a load."""

    found: Counter[str]
    times: list[float]
    texts: int
    seconds: float
    """Without the pauses of the machine."""
    live: list[float]
    resident: list[float]
    paused: float


def ask(
    server: Server, expected: Expected, clients: int, seconds: float, kind: str | None = None
) -> Asked:
    """The load from another process, and meanwhile what /v2/health/live takes, and the memory."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (results, server.port, expected, clients, seconds, kind)
    process = context.Process(target=_client, args=arguments, daemon=True)
    process.start()
    probes: list[tuple[float, float]] = []
    resident: list[float] = []
    with Pauses() as pauses:
        first = time.perf_counter()
        while process.is_alive() and results.empty():
            start = time.perf_counter()
            status, _ = server.get("/v2/health/live")
            probes.append((start, time.perf_counter()))
            assert status == 200
            resident.append(server.resident_bytes() / 2**20)
            time.sleep(0.1)
        found, times, texts = results.get(timeout=30)
        process.join(30)
        paused = pauses.seconds(first, time.perf_counter())
    live = [end - start for start, end in probes if not pauses.seconds(start, end)]
    return Asked(found, times, texts, max(1.0, seconds - paused), live, resident, paused)


def run(model: Path, seconds: float, clients: int, texts: int = 512, longest: int = 96) -> Report:
    """A server under load, and the same work without it."""
    report = Report(clients)
    expected = expected_of(model, texts_of(texts), longest)
    share = min(seconds, 15.0)
    arguments = (
        "--task", "embedding_extraction", "--name", "load", "--model_path", str(model),
        "--extraction_strategy", "reduce_mean", "--sequence_length", str(longest),
    )  # fmt: skip
    before = direct(model, expected.texts, longest, share)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), *arguments, EMBEDX_TIMEOUT="60") as server,
    ):
        alone = ask(server, expected, 1, share, "seed")
        first, cpu = _metrics(server), server.cpu_seconds()
        asked = ask(server, expected, clients, seconds)
        last, cpu = _metrics(server), server.cpu_seconds() - cpu
    after = direct(model, expected.texts, longest, share)
    report.direct = (before[0] + after[0]) / 2
    report.one_at_a_time = alone.texts / alone.seconds
    report.seconds, report.paused, report.texts = asked.seconds, asked.paused, asked.texts
    report.served = asked.texts / asked.seconds
    report.cpu_ms_a_text = {
        "direct": 500 * (before[1] + after[1]),
        "served": 1000 * cpu / max(1, asked.texts),
    }
    report.statuses = {k: v for k, v in asked.found.items() if k.isdigit()}
    report.requests = sum(report.statuses.values())
    report.wrong, report.broken = asked.found["wrong"], asked.found["broken"]
    report.latency_ms, report.live_ms = _spread(asked.times), _spread(asked.live)
    tenth = max(1, len(asked.resident) // 10)
    report.resident_mb = [
        round(float(np.mean(part)), 1)
        for part in (asked.resident[tenth : 2 * tenth], asked.resident[-2 * tenth : -tenth])
    ]
    run_texts, batches = (
        last[f"embedx_batch_texts_{k}"] - first[f"embedx_batch_texts_{k}"] for k in ("sum", "count")
    )
    report.texts_a_batch = run_texts / batches
    return report


def _metrics(server: Server) -> dict[str, float]:
    lines = server.get("/metrics")[1].decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def _spread(times: list[float]) -> dict[str, float]:
    names = {"median": 50, "p99": 99, "most": 100}
    return {k: round(1000 * float(np.percentile(times, p)), 1) for k, p in names.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    report = run(options.model, options.seconds, options.clients)
    print(json.dumps(asdict(report), indent=1))


if __name__ == "__main__":
    main()
