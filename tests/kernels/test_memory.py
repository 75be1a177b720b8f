"""Memory is used again when nothing refers to it, and never before."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import memory
from embedx.kernels.memory import fresh
from embedx.model.graph import Array
from embedx.run.engine import Engine
from tests.models import model
from tests.tiny import bert

SHAPE = (300, 100)


@pytest.fixture(autouse=True)
def pool_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_buffers", [])


def address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def test_a_buffer_is_used_again_when_its_array_and_all_views_are_gone() -> None:
    first = fresh(SHAPE, np.float32)
    place = address(first)
    view = first[3:].T[5:]
    del first
    assert address(fresh(SHAPE, np.float32)) != place
    del view
    assert place in {address(fresh((30_000,), np.float32)), address(fresh(SHAPE, np.int32))}


@given(st.lists(st.one_of(st.integers(1, 400_000), st.integers(0, 20)), max_size=40))
def test_live_arrays_never_overlap(steps: list[int]) -> None:
    held: list[tuple[Array, int]] = []
    for step in steps:
        if step <= 20:
            del held[step : step + 3]
            continue
        array = fresh((step,), np.uint8)
        array[:] = step % 251
        held.append((array, step % 251))
        assert all((a == value).all() for a, value in held)


def test_no_more_than_the_limit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MOST", 10**6)
    arrays = [fresh((200_000,), np.uint8) for _ in range(20)]
    del arrays
    fresh((100_000,), np.uint8)
    assert sum(map(len, memory._buffers)) <= 10**6


def test_results_stay_as_they_are_while_other_runs_use_the_memory() -> None:
    engine = Engine(bert())

    def outcome(seed: int) -> tuple[Array, Array]:
        feeds = engine.generate_random_inputs(40, 32, seed=seed)
        (found,) = engine.run(feeds)
        copy = found.copy()
        for other in range(3):
            engine.run(engine.generate_random_inputs(40, 32, seed=100 + other))
        return found, copy

    with ThreadPoolExecutor(4) as pool:
        for found, copy in pool.map(outcome, range(8)):
            np.testing.assert_array_equal(found, copy)
            assert found.flags.writeable


WIDTH = 256
TWO_LAYERS = (
    "g (float[N, 256] x) => (float[N, 256] y) { a = MatMul(x, v) b = Tanh(a) y = MatMul(b, w) }"
)


def weights() -> list[Array]:
    generator = np.random.default_rng(0)
    return [generator.normal(0, 1 / 16, (WIDTH, WIDTH)).astype(np.float32) for _ in range(2)]


def two_layers() -> Engine:
    proto = model(TWO_LAYERS)
    for name, weight in zip("vw", weights(), strict=True):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    return Engine(proto, num_cores=2)


def wrong_runs(engine: Engine, seed: int) -> int:
    """How many of some runs give something else than float64 arithmetic does."""
    x = np.random.default_rng(seed).normal(size=(512, WIDTH)).astype(np.float32)
    v, w = (weight.astype(np.float64) for weight in weights())
    # Not by BLAS: OpenBLAS may hang for ever in a product on several threads while another forks.
    right = np.einsum("nk,km->nm", np.tanh(np.einsum("nk,km->nm", x, v)), w)
    return sum(not np.allclose(engine.run([x])[0], right, rtol=0, atol=1e-4) for _ in range(40))


def child(engine: Engine | None, seed: int, together: Any, answers: Any) -> None:
    made = engine or two_layers()
    together.wait(60)
    answers.put(wrong_runs(made, seed))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    "method", sorted({"fork", "spawn"} & {*multiprocessing.get_all_start_methods()})
)
def test_children_at_work_at_once_share_nothing(method: str) -> None:
    """As behind a server that loads a model, uses it and then forks, even during a run."""
    context: Any = multiprocessing.get_context(method)
    engine = two_layers()
    assert wrong_runs(engine, 9) == 0
    together, answers = context.Barrier(3), context.Queue()
    ended = threading.Event()

    def parent() -> int:
        wrong = 0
        while not ended.is_set():
            wrong += wrong_runs(engine, 10)
        return wrong

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(parent)
        loaded = engine if method == "fork" else None
        children = [
            context.Process(target=child, args=(loaded, seed, together, answers), daemon=True)
            for seed in range(2)
        ]
        try:
            for process in children:
                process.start()
            together.wait(60)
            found = [answers.get(timeout=60) for _ in children]
        finally:
            ended.set()
            for process in children:
                process.join(10)
                process.kill()
    assert (found, running.result(60)) == ([0, 0], 0)


def overwrite(array: Array) -> None:
    array[:] = 1


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the system has no fork"
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_writes_into_a_result_leaves_its_parents_alone() -> None:
    held = fresh(SHAPE, np.float32)
    held[:] = 7
    process = multiprocessing.get_context("fork").Process(target=overwrite, args=(held,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert (held == 7).all()
