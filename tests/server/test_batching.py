"""The queue: by value, by length, never across endpoints, bounded, with deadlines, to the end."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from embedx import Engine, Pipeline
from embedx.server.batching import Batcher
from embedx.server.config import server_config
from embedx.server.errors import RefusedError
from embedx.server.metrics import Metrics
from embedx.server.service import Facts, Service, facts
from embedx.text.tokens import Tokens


class FakeView:
    """Gives each text its first id; notes what ran together, and waits for ``open`` to be set."""

    max_length = 512
    batch_size: int | None = None

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()

    def width(self, tokens: Tokens) -> int:
        return len(tokens.ids)

    def run(self, texts: Sequence[Tokens]) -> list[Any]:
        self.open.wait(10)
        self.batches.append([t.ids[0] for t in texts])
        return [np.array([t.ids[0]], np.float32) for t in texts]


def text(first: int, length: int = 3) -> Tokens:
    return Tokens([first] * length, [0] * length, length)


@contextmanager
def batcher_of(**options: Any) -> Iterator[Batcher]:
    defaults = {"workers": 1, "max_batch_tokens": 100, "max_queued_tokens": 1000, "wait": 0.05}
    made = Batcher(Metrics(), **{**defaults, **options})
    try:
        yield made
    finally:
        made.close()


async def ask(batcher: Batcher, view: Any, *texts: Tokens, seconds: float = 10) -> list[int]:
    deadline = asyncio.get_running_loop().time() + seconds
    return [int(r[0]) for r in await batcher.run(view, texts, deadline)]


def test_texts_of_one_length_run_together_whoever_sent_them() -> None:
    view = FakeView()

    async def main(batcher: Batcher) -> None:
        found = await asyncio.gather(
            ask(batcher, view, text(1), text(2, 5)), ask(batcher, view, text(3)),
            ask(batcher, view, text(4, 5), text(5), text(6, 7)),
        )  # fmt: skip
        assert [*found] == [[1, 2], [3], [4, 5, 6]]

    with batcher_of() as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
    assert sorted(map(sorted, view.batches)) == [[1, 3, 5], [2, 4], [6]]


@pytest.mark.parametrize("lengths", [[3] * 6, [3, 7, 4, 6, 5, 8], [3, 7, 3, 7, 3, 7]])
def test_who_came_first_is_served_first(lengths: list[int]) -> None:
    """Behind a batch that takes long, one by one, whatever the lengths."""
    view, busy = FakeView(), FakeView()
    view.batch_size = 1
    busy.open.clear()

    async def main(batcher: Batcher) -> None:
        blocking = asyncio.create_task(ask(batcher, busy, text(99)))
        await asyncio.sleep(0.02)
        waiting = []
        for i, length in enumerate(lengths):
            waiting.append(asyncio.create_task(ask(batcher, view, text(i, length))))
            await asyncio.sleep(0.005)
        busy.open.set()
        assert await asyncio.gather(blocking, *waiting) == [[99], *([i] for i in range(6))]

    with batcher_of(wait=0) as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
    assert view.batches == [[i] for i in range(6)]


def test_answers_are_arrays_of_their_own() -> None:
    """A view of the batch's result would keep all of it, and change with its neighbours."""
    made: list[Any] = []

    class OneArray(FakeView):
        def run(self, texts: Sequence[Tokens]) -> list[Any]:
            made.append(np.array([[t.ids[0]] * 4 for t in texts], np.float32))
            return list(made[-1])

    async def main(batcher: Batcher) -> None:
        deadline = asyncio.get_running_loop().time() + 10
        answers = [
            batcher.run(view, [text(i), text(i + 1)], deadline)  # type: ignore[arg-type]
            for i in (0, 10)
        ]
        first, second = await asyncio.gather(*answers)
        arrays = [*first, *second]
        for i, array in enumerate(arrays):
            others = [*made, *arrays[:i]]
            assert not any(np.shares_memory(array, other) for other in others)
            array[:] = -1
        assert [batch.tolist() for batch in made] == [[[i] * 4 for i in (0, 1, 10, 11)]]

    view = OneArray()
    with batcher_of() as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))


def test_workers_hold_blas_to_one_thread(folder: Path) -> None:
    """Whoever else runs a model meanwhile, and whoever ends last."""
    engine = Engine(folder / "model.onnx", num_cores=1)
    feeds = engine.generate_random_inputs(2, 8)
    seen: set[int] = set()

    def limits() -> set[int]:
        return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

    class Running(FakeView):
        def run(self, texts: Sequence[Tokens]) -> list[Any]:
            engine.run(feeds, observe=lambda *_: seen.update(limits()))
            return super().run(texts)

    async def main(batcher: Batcher) -> None:
        views = [Running() for _ in range(3)]
        asked = [asyncio.create_task(ask(batcher, view, text(1), text(2, 5))) for view in views]
        await asyncio.to_thread(engine.run, feeds)
        assert await asyncio.gather(*asked) == [[1, 2]] * 3

    engine.run(feeds)  # the libraries are loaded and known
    before = limits()
    with batcher_of(workers=2, wait=0) as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
    assert seen == {1}
    assert limits() == before


def served(batcher: Batcher, answers: Any) -> None:
    answers.put(asyncio.run(asyncio.wait_for(ask(batcher, FakeView(), text(5), text(6)), 30)))
    batcher.close()


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the system has no fork"
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_may_fork_before_it_serves() -> None:
    """As behind servers that load the application once and fork their workers."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with batcher_of() as batcher:
        children = [
            context.Process(target=served, args=(batcher, answers), daemon=True) for _ in range(2)
        ]
        for child in children:
            child.start()
        assert [answers.get(timeout=30) for _ in children] == [[5, 6], [5, 6]]
        for child in children:
            child.join(30)
            assert child.exitcode == 0


def test_endpoints_never_share_a_batch() -> None:
    views = [FakeView(), FakeView()]

    async def main(batcher: Batcher) -> None:
        await asyncio.gather(*(ask(batcher, views[i % 2], text(i)) for i in range(6)))

    with batcher_of() as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
    assert [sorted(i for b in v.batches for i in b) for v in views] == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize(("limit", "tokens", "most"), [(2, 100, 2), (None, 12, 4), (None, 1, 1)])
def test_batches_are_bounded(limit: int | None, tokens: int, most: int) -> None:
    view = FakeView()
    view.batch_size = limit

    async def main(batcher: Batcher) -> None:
        assert await ask(batcher, view, *map(text, range(9))) == list(range(9))

    with batcher_of(max_batch_tokens=tokens) as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
    assert max(map(len, view.batches)) == most


def test_a_full_queue_refuses_and_forgets_nothing() -> None:
    view = FakeView()
    view.open.clear()

    async def main(batcher: Batcher) -> None:
        accepted = asyncio.create_task(ask(batcher, view, *map(text, range(4))))
        await asyncio.sleep(0.02)
        with pytest.raises(RefusedError, match="queue is full") as refused:
            await ask(batcher, view, text(9))
        assert refused.value.status == 429
        view.open.set()
        assert await accepted == [0, 1, 2, 3]
        assert await ask(batcher, view, text(9)) == [9]

    with batcher_of(max_queued_tokens=12) as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
        assert (batcher.queued_tokens, batcher.queued_texts) == (0, 0)


def test_past_the_deadline_and_after_cancelling_nothing_runs() -> None:
    view, other = FakeView(), FakeView()
    view.open.clear()

    async def main(batcher: Batcher) -> None:
        running = asyncio.create_task(ask(batcher, view, text(1)))
        await asyncio.sleep(0.1)
        late = asyncio.create_task(ask(batcher, other, text(2), seconds=0.05))
        gone = asyncio.create_task(ask(batcher, other, text(3)))
        with pytest.raises(RefusedError, match="too busy") as refused:
            await late
        assert refused.value.status == 503
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        view.open.set()
        assert await running == [1]

    with batcher_of() as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))
    assert other.batches == []


def test_closing_runs_what_waits_and_refuses_what_comes() -> None:
    view = FakeView()

    async def main(batcher: Batcher) -> None:
        waiting = asyncio.create_task(ask(batcher, view, text(1), text(2, 5)))
        await asyncio.sleep(0.02)
        await asyncio.to_thread(batcher.close)
        assert await waiting == [1, 2]
        with pytest.raises(RefusedError, match="shutting down") as refused:
            await ask(batcher, view, text(3))
        assert refused.value.status == 503

    with batcher_of(wait=60) as batcher:
        asyncio.run(asyncio.wait_for(main(batcher), 60))


def test_many_requests_at_once_get_the_pipelines_values(folder: Path) -> None:
    words = "the a cat dog sat on mat and ran far away".split()
    texts = [" ".join(words[i % 7 : i % 7 + 1 + i % 5]) for i in range(60)]
    kwargs = {"sequence_length": 32}
    strategy: dict[str, Any] = {**kwargs, "extraction_strategy": "reduce_max"}
    endpoint: dict[str, Any] = {"model": str(folder), "kwargs": kwargs}
    config = server_config(
        {"endpoints": [endpoint, {**endpoint, "name": "b", "kwargs": strategy}], "num_workers": 2}
    )
    service = Service(config, Metrics())
    wanted = [
        Pipeline.create(model_path=folder, return_numpy=True, sequence_length=32)(texts).embeddings,
        Pipeline.create(model_path=folder, return_numpy=True, **strategy)(texts).embeddings,
    ]

    async def one(row: int, which: int) -> None:
        facts.set(Facts(asyncio.get_running_loop().time() + 30))
        rows = [row, (row + 7) % 60]
        view = service.endpoints[which].predict
        answer = await service.embed(view, [texts[r] for r in rows])
        for found, r in zip(answer.arrays, rows, strict=True):
            np.testing.assert_allclose(found, wanted[which][r], rtol=0, atol=1e-5)

    async def main() -> None:
        await asyncio.gather(*(one(row, row % 2) for row in range(60)))

    asyncio.run(asyncio.wait_for(main(), 60))
    service.close()
    sizes = service.metrics.batch_texts
    assert "embedx_batch_texts_count" in "".join(sizes.lines())
