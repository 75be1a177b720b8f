"""Memory that a step may write its result into."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedx.kernels.memory import fresh
from embedx.model.graph import Node
from embedx.run.execute import execute
from embedx.run.step import Step, spare
from tests.run.plans import plan_of


def test_only_what_nobody_else_refers_to_is_spare() -> None:
    step = Step(Node("Add", ("a", "b"), ("y",)), np.add, (0, 1), (2,), (0,), overwrites=(0,))
    for make in (
        lambda: np.ones(4),
        lambda: np.ones((2, 2)).reshape(4),
        lambda: fresh((20_000,), np.float32),
    ):
        values: list[Any] = [make(), np.ones(4)]
        arguments = list(values)
        assert spare(step, arguments)["out"] is values[0]
        kept = values[0][:2]
        assert not spare(step, arguments)
        del kept
        assert spare(step, arguments)
    frozen = np.ones(4)
    frozen.flags.writeable = False
    assert not spare(step, [frozen, 1])


def test_a_step_writes_over_what_the_step_before_it_made() -> None:
    text = "g (float[N] x) => (float[N] y) { a = Neg(x) b = Gelu(a) c = Gelu(b) y = Gelu(c) }"
    plan = plan_of(text, kernels=True, opset=20)
    places = []

    def wrapped(step: Step) -> Step:
        def call(x: Any, **options: Any) -> Any:
            places.append("out" in options)
            return step.call(x, **options)

        return Step(**{**vars(step), "call": call})

    steps = tuple(map(wrapped, plan.steps))
    execute(type(plan)(**{**vars(plan), "steps": steps, "stretches": {}}), [np.ones(9, "f")])
    assert places == [False, True, True, True]
