"""BLAS runs on one thread inside every run, and as before after the last; children start well."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from embedx import workers
from embedx.run.engine import Engine
from embedx.workers import has_company, once, pieces_of, spread, threads
from tests.models import model

ROOT = Path(__file__).parents[1]
MATMUL = "g (float[N, 64] x) => (float[N, 64] y) { h = MatMul(x, w) y = Relu(h) }"


def blas_limits() -> set[int]:
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """As on a machine with two processors, whatever the machine."""
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [library.get_num_threads() for library in libraries]
    set_all = [workers._setter(library) for library in libraries]
    for set_one in set_all:
        set_one(2)
    if blas_limits() != {2}:
        pytest.skip("threadpoolctl cannot control this BLAS")
    yield
    found = blas_limits()
    for set_one, number in zip(set_all, before, strict=True):
        set_one(number)
    assert found == {2}


@pytest.fixture
def engine() -> Engine:
    proto = model(MATMUL)
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return Engine(proto, num_cores=1)


def limits_seen_in(engine: Engine) -> set[int]:
    seen: set[int] = set()
    x = np.ones((9, 64), np.float32)
    engine.run([x], observe=lambda *_: seen.update(blas_limits()))
    return seen


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_every_thread_holds_blas_to_one(engine: Engine) -> None:
    assert limits_seen_in(engine) == {1}
    assert blas_limits() == {2}
    assert in_thread(lambda: (limits_seen_in(engine), blas_limits())) == ({1}, {2})
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(limits_seen_in, [engine] * 20)] == [{1}] * 20
    assert blas_limits() == {2}


def test_pieces_in_the_pool_see_one_thread() -> None:
    seen: list[set[int]] = []
    with threads(2):
        spread(lambda *_: seen.append(blas_limits()), 2, 1)
    assert seen == [{1}, {1}]


def test_pieces_are_not_cut_again_in_any_thread() -> None:
    seen = []

    def piece(start: int, stop: int) -> None:
        seen.append((pieces_of(100, 1), has_company()))

    with threads(3):
        spread(piece, 3, 1)
        assert (pieces_of(100, 1), has_company()) == (3, False)
    assert seen == [(1, True)] * 3


def test_what_is_made_once_is_made_by_the_first_thread_that_asks() -> None:
    made: list[int] = []
    start = threading.Barrier(4)

    def make() -> int:
        time.sleep(0.01)
        made.append(1)
        return len(made)

    get = once(make)

    def ask() -> None:
        start.wait()
        assert get() == 1

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert made == [1]


def test_a_controlling_thread_of_threadpoolctl_is_no_obstacle(engine: Engine) -> None:
    """Version 3.8 ignores every thread but the first that has set a limit and still lives."""
    threadpool_limits(limits=2, user_api="blas")
    assert in_thread(lambda: limits_seen_in(engine)) == {1}
    assert blas_limits() == {2}
    with threadpool_limits(limits=1, user_api="blas"):
        assert in_thread(lambda: limits_seen_in(engine)) == {1}
        assert blas_limits() == {1}
    assert blas_limits() == {2}


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12))
def test_blocks_overlap_in_any_order(steps: list[tuple[int, bool]]) -> None:
    """Four threads enter and leave blocks, also nested ones, one step after the other."""
    pools = [ThreadPoolExecutor(1) for _ in range(4)]
    open_blocks: list[list[Any]] = [[] for _ in pools]

    def enter(blocks: list[Any]) -> None:
        blocks.append(threads(1))
        blocks[-1].__enter__()

    def leave(blocks: list[Any]) -> None:
        blocks.pop().__exit__(None, None, None)

    def step(i: int, entering: bool) -> None:
        if entering or open_blocks[i]:
            pools[i].submit(enter if entering else leave, open_blocks[i]).result()
        assert blas_limits() == ({1} if any(open_blocks) else {2})

    for i, entering in steps:
        step(i, entering)
    for i, blocks in enumerate(open_blocks):
        for _ in range(len(blocks)):
            step(i, False)
    for pool in pools:
        pool.shutdown()


def test_a_limit_that_somebody_puts_back_during_a_run_is_held_by_the_next() -> None:
    foreign = threadpool_limits(limits=1, user_api="blas")
    with threads(1):
        foreign.restore_original_limits()
        with threads(1):
            assert blas_limits() == {1}
    assert blas_limits() == {2}


def test_a_limit_that_somebody_sets_during_a_run_stays() -> None:
    with threads(1):
        threadpool_limits(limits=3, user_api="blas")
    assert blas_limits() == {3}
    threadpool_limits(limits=2, user_api="blas")


class PerThread:
    """A BLAS library whose limit each thread has for itself, as those over OpenMP and MKL do."""

    internal_api, user_api, filepath = "mkl", "blas", "/a/libmkl_rt.so"

    def __init__(self) -> None:
        self._local = threading.local()

    def get_num_threads(self) -> int:
        return getattr(self._local, "limit", 5)

    def set_num_threads(self, number: int) -> None:
        self._local.limit = number


def test_a_limit_of_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    library = PerThread()
    found = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=[library]))
    monkeypatch.setattr("threadpoolctl.ThreadpoolController", lambda: found)
    monkeypatch.setattr(workers, "_libraries", ())
    monkeypatch.setattr(workers, "_modules", 0)
    monkeypatch.setattr(workers, "_pool", None)

    def inside() -> int:
        with threads(1), threads(1):
            return library.get_num_threads()

    with threads(2):
        assert library.get_num_threads() == 1
        assert in_thread(lambda: (inside(), library.get_num_threads())) == (1, 5)
        pieces: list[int] = []
        spread(lambda *_: pieces.append(library.get_num_threads()), 2, 1)
        assert pieces == [1, 1]
    assert library.get_num_threads() == 5


def test_libraries_that_come_later_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with threads(1):
        pass
    later = workers._libraries
    monkeypatch.setattr(workers, "_libraries", later[:0])
    monkeypatch.setitem(sys.modules, "a_module_that_comes_later", SimpleNamespace())
    with threads(1):
        assert {library.path for library in workers._libraries} == {x.path for x in later}
        assert blas_limits() == {1}


def test_pieces_cover_the_range_once_and_raise_after_all_have_ended() -> None:
    done: list[tuple[int, int]] = []

    def work(start: int, stop: int) -> None:
        done.append((start, stop))
        if stop == 10:
            raise ValueError("the last piece")

    with threads(3), pytest.raises(ValueError, match="the last piece"):
        spread(work, 10, 2)
    assert sorted(done) == [(0, 3), (3, 6), (6, 10)]
    assert blas_limits() == {2}


def script(code: str) -> str:
    """What a process prints that runs the code, which must end well and say nothing else."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True, text=True, timeout=120, cwd=ROOT,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_threads_that_outlive_the_main_thread_go_on_alone() -> None:
    code = """
import threading, time
from embedx.workers import spread, threads

def work():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    time.sleep(0.1)
    with threads(4):
        spread(lambda start, stop: print(start, stop), 8, 1)

threading.Thread(target=work).start()
"""
    assert script(code) == "0 8\n"


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the system has no fork"
)

FORKING = """
import os, threading
import numpy
from threadpoolctl import ThreadpoolController
from embedx import workers

libraries = ThreadpoolController().select(user_api="blas").lib_controllers
for library in libraries:
    workers._setter(library)(2)
limits = lambda: {library.get_num_threads() for library in libraries}
spread = lambda: workers.spread(lambda *_: None, 2, 1)
with workers.threads(2):
    spread()

def child(check):
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@needs_fork
@pytest.mark.parametrize(
    "code",
    [
        # A run of another thread, which is not there in the child, and one of the child itself.
        """
inside, leave = threading.Event(), threading.Event()
def run():
    with workers.threads(2):
        inside.set()
        leave.wait()
other = threading.Thread(target=run)
other.start()
inside.wait()
def check():
    before = limits()
    with workers.threads(2):
        spread()
        return before == {2} and limits() == {1}
child(lambda: check() and limits() == {2})
leave.set()
other.join()
assert limits() == {2}
""",
        # The run that forks goes on in the child as well.
        """
block = workers.threads(2)
block.__enter__()
def check():
    spread()
    before = limits()
    block.__exit__(None, None, None)
    return before == {1} and limits() == {2}
child(check)
assert limits() == {1}
block.__exit__(None, None, None)
assert limits() == {2}
""",
        # Somebody is changing a limit at that moment.
        """
with workers._lock:
    started = threading.Event()
    def fork():
        started.set()
        child(lambda: workers._lock.acquire(timeout=9) and not workers._runs)
    other = threading.Thread(target=fork)
    other.start()
    started.wait()
other.join()
""",
    ],
)  # fmt: skip
def test_a_forked_child_knows_its_own_runs_only(code: str) -> None:
    assert script(FORKING + code) == "0\n"
