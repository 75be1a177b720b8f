"""Memory is used again when nothing refers to it, and never before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.engine import Engine
from embedx.graph import Array
from embedx.kernels import memory
from embedx.kernels.memory import fresh
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
