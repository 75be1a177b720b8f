"""One run, judged edge by edge, with no more values held than are needed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from embedx.oracle.candidates import Candidate
from embedx.oracle.judging import Job, judged_run
from embedx.oracle.steps import SAME
from embedx.run.engine import Engine
from tests.models import graph

TEXT = (
    "g (float[M, N] x) => (float[M, N] y) { a0 = Identity(x) "
    + " ".join(f"b{i} = Tanh(a{i})  a{i + 1} = Add(b{i}, a{i})" for i in range(12))
    + " y = Neg(a12) }"
)
FEEDS = {"x": np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)}


class Counting(Candidate):
    """Values that count how many of them are alive, and may change one of them."""

    def __init__(self, name: str, wrong: str = "") -> None:
        super().__init__(name, graph(TEXT))
        self.wrong = wrong
        self.alive: list[weakref.ref[Any]] = []
        self.most = 0

    def values(
        self, feeds: Mapping[str, Any], edges: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, Any]]:
        assert self.graph is not None
        offset = np.float32(0)
        for visit in Engine(self.graph, optimize=False).walk(feeds):
            (name,) = visit.step.node.outputs
            value = visit.outputs[0] + np.float32(0)
            if name == self.wrong:
                offset = np.float32(0.5)
            if name in edges:
                value = value + offset
                self.alive.append(weakref.ref(value))
                yield name, value
            del value
            gc.collect()
            self.most = max(self.most, sum(ref() is not None for ref in self.alive))


def job(candidate: Candidate) -> Job:
    it = graph(TEXT)
    pairs = {name: name for name in it.producers()}
    return Job(Engine(it, precision="exact"), candidate, pairs, True, 4, 0, SAME)


def test_only_values_that_are_still_read_are_held() -> None:
    candidate = Counting("counting")
    found = judged_run(job(candidate), FEEDS)
    assert list(found) == list(graph(TEXT).producers())
    assert all(f.verdict in ("identical", "rounding") for f in found.values())
    assert candidate.most <= 4


def test_what_was_wrong_before_is_not_held_against_a_node() -> None:
    found = judged_run(job(Counting("wrong", wrong="b5")), FEEDS)
    assert found["a5"].verdict == "rounding"
    local = {name: f.local.verdict for name, f in found.items() if f.local is not None}
    assert local["b5"] == "suspicious"
    assert local["b4"] in ("identical", "rounding")
    assert found["y"].verdict == "suspicious"
    assert found["y"].ratio is not None
    assert found["y"].ratio > 1e4


def test_padding_is_not_judged() -> None:
    text = """g (float[B, T, H] x, int64[B, T] attention_mask) => (float[B, T, H] y) {
        m = Cast<to = 1>(attention_mask)  y = Tanh(x) }"""
    it = graph(text)
    x = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    feeds = {"x": x, "attention_mask": np.array([[1, 1, 1], [1, 0, 0]])}

    class Wrong(Candidate):
        place = (1, 2)

        def values(self, feeds: Any, edges: Any, sizes: Any) -> Iterator[tuple[str, Any]]:
            value = np.tanh(feeds["x"])
            value[self.place] += 1
            yield "y", value

    candidate = Wrong("wrong", it)
    it_is = Job(Engine(it, precision="exact"), candidate, {"y": "y"}, True, 4, 0, SAME)
    assert judged_run(it_is, feeds)["y"].verdict == "rounding"
    candidate.place = (0, 2)
    assert judged_run(it_is, feeds)["y"].verdict == "suspicious"
