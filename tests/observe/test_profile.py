"""The time of each operator."""

from __future__ import annotations

import numpy as np
import pytest

from embedx import Engine
from embedx.observe.profile import profiled, sgemm_peak
from embedx.run import stretch
from tests.tiny import bert


def test_profile_counts_steps_and_leaves_no_trace() -> None:
    engine, original = Engine(bert()), np.matmul
    plan = engine.plan
    found = profiled(engine, engine.generate_random_inputs(2, 8), 1, 2)
    assert engine.plan is plan
    assert np.matmul is original
    *operators, between = found["operators"]
    assert sum(o["count"] for o in operators) == between["count"] == len(plan.steps)
    assert found["products"]["gflops"] > 0
    assert found["products"]["share"] > 0


def test_steps_that_run_together_are_timed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "height_of_blocks", lambda: 4)
    engine = Engine(bert())
    assert engine.plan.stretches
    found = profiled(engine, engine.generate_random_inputs(2, 8), 1, 2)
    assert all(o["seconds"] > 0 for o in found["operators"])


def test_peak_of_two_threads() -> None:
    assert sgemm_peak(2, size=64) > 0
