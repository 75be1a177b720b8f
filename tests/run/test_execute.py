"""The loop: what it hands to steps, observers and callers, and when it stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from embedx.errors import BudgetError, NodeError
from embedx.ops import Budget, spending
from embedx.run.execute import execute
from embedx.run.step import Step
from tests.run.plans import plan_of

ONES = np.ones(3, np.float32)


Compute = Callable[[], Sequence[Any]]


LOOP = """g (int64 n, float[N] x) => (float[N] y) {
    a = Neg(x)
    y = Loop(n, "", a) <body = b (int64 i, bool go, float[N] v) => (bool on, float[N] w) {
        on = Identity(go)  w = Add(v, a) }> }"""


def test_an_observer_stands_around_every_step_and_may_replace_what_it_gives() -> None:
    seen: list[str] = []

    def doubled(step: Step, inputs: Sequence[Any], compute: Compute) -> Sequence[Any]:
        seen.append(step.node.op_type)
        outputs = compute()
        return [2 * outputs[0]] if step.node.op_type == "Neg" else outputs

    plan = plan_of(LOOP)
    (y,) = execute(plan, [np.array(2), ONES], observe=doubled)
    assert seen == ["Neg", "Loop", "Identity", "Add", "Identity", "Add"]
    np.testing.assert_array_equal(y, -6 * ONES)


def test_an_observer_that_never_computes_decides_alone() -> None:
    plan = plan_of("g (float[N] x) => (float[N] y) { y = Neg(x) }")
    (y,) = execute(plan, [ONES], observe=lambda step, inputs, compute: [inputs[0] + 5])
    np.testing.assert_array_equal(y, 6 * ONES)
    with pytest.raises(NodeError, match="0 outputs are made of 1"):
        execute(plan, [ONES], observe=lambda step, inputs, compute: [])


def test_inputs_that_a_kernel_declines_take_the_way_that_is_written() -> None:
    text = """g (float[B, N] x) => (float[B, M] y)
    <float[3] w = {1, 2, 3}, float[3] b = {4, 5, 6}, float two = {2}, float eps = {0.00001}> {
    m = ReduceMean<axes = [-1]>(x)  c = Sub(x, m)  q = Pow(c, two)  v = ReduceMean<axes = [-1]>(q)
    e = Add(v, eps)  r = Sqrt(e)  z = Div(c, r)  s = Mul(z, w)  y = Add(s, b) }"""
    plan = plan_of(text, kernels=True)
    assert [step.node.op_type for step in plan.steps] == ["LayerNormalization"]
    (y,) = execute(plan, [np.array([[7], [9]], np.float32)])
    np.testing.assert_array_equal(y, [[4, 5, 6], [4, 5, 6]])
    # Errors name the node that the author knows.
    with pytest.raises(NodeError, match=r"Mul .node 7."):
        execute(plan, [np.ones((2, 2), np.float32)])


SUMS = "\n".join(f"t{i + 1} = Add(t{i}, x)" for i in range(8))


ALL = ", ".join(f"t{i}" for i in range(9))


KEPT = f"g (float[N] x) => (float[N] y) {{ t0 = Neg(x) {SUMS} y = Sum({ALL}) }}"


FREED = f"g (float[N] x) => (float[N] y) {{ t0 = Neg(x) {SUMS} y = Neg(t8) }}"


@pytest.mark.parametrize(("text", "live"), [(KEPT, 11), (FREED, 3)])
@pytest.mark.parametrize("kernels", [True, False])
def test_the_budget_is_for_the_values_that_are_alive_together(
    text: str, live: int, kernels: bool
) -> None:
    plan, x = plan_of(text, kernels=kernels), np.ones(100_000, np.float32)

    def run(limit: int) -> None:
        budget = Budget(max_bytes=limit)
        with spending(budget):
            execute(plan, [x], budget=budget)

    run(live * x.nbytes)
    with pytest.raises(BudgetError, match="are allowed"):
        run((live - 2) * x.nbytes)


def test_views_are_counted_once_and_broadcasts_not_at_all() -> None:
    text = """g (float[N, 1] x, int64[2] s) => (float[M] z) {
    y = Reshape(x, s)  w = Expand(y, b)  v = Transpose(w)  m = ReduceMax<keepdims = 0>(v)
    z = Neg(m) } """
    plan = plan_of(text.replace("=> (float[M] z)", "=> (float[M] z) <int64[2] b = {1000000, 1}>"))
    x = np.ones((1, 1000), np.float32)
    budget = Budget(max_bytes=10_000)
    execute(plan, [x, np.array([1, 1000])], budget=budget)


def test_bodies_spend_from_the_same_budget() -> None:
    budget = Budget(max_bytes=3 * ONES.nbytes)
    with pytest.raises(BudgetError), spending(budget):
        execute(plan_of(LOOP), [np.array(2), ONES], budget=budget)


def test_the_time_is_looked_at_between_nodes() -> None:
    plan = plan_of(FREED)
    with pytest.raises(BudgetError, match="time limit"):
        execute(plan, [ONES], budget=Budget(deadline=0.0))
