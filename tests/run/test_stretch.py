"""Rows that go through several steps together: the same results, errors and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedx.errors import BudgetError, NodeError
from embedx.model.graph import Array
from embedx.ops import Budget, spending
from embedx.run import stretch
from embedx.run.execute import execute
from embedx.run.step import Plan, Step
from embedx.workers import threads
from tests.run.plans import plan_of

WEIGHTS = """<float[3, 5] a = {1, -2, 3, 0.5, 2, 1, 1, -1, 0.25, 3, -1, 2, 1, 4, -0.5},
    float[5, 3] c = {1, 2, 3, -1, 0.5, 1, 2, -2, 1, 0, 1, 0, 3, 1, -1},
    float[5] b = {1, 2, 3, 4, 5}, float[3] g = {1, -1, 2}>"""
MLP = f"""g (float[B, 3] x, float[B, 3] r) => (float[B, 3] y, float[B, 5] h) {WEIGHTS} {{
    p = MatMul(x, a)  q = Add(p, b)  h = Tanh(q)  s = Add(q, b)  t = Gelu(s)  u = MatMul(t, c)
    v = Add(u, r)  y = LayerNormalization(v, g) }}"""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "height_of_blocks", lambda: 3)
    monkeypatch.setattr(stretch, "FEWEST_ROWS", 2)


def spans(plan: Plan) -> list[list[str]]:
    return [[step.node.op_type for step in s.steps] for s in plan.stretches.values()]


def both_ways(plan: Plan, inputs: Sequence[Any]) -> tuple[list[Array], list[Array]]:
    plain = execute(plan, inputs, observe=lambda step, given, compute: compute())
    return execute(plan, inputs), plain


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.sampled_from([1, 2, 5]),
    st.integers(0, 99),
)  # fmt: skip
def test_results_are_those_of_the_steps_one_by_one(lead: list[int], cores: int, seed: int) -> None:
    plan = plan_of(MLP, kernels=True, opset=20)
    random = np.random.default_rng(seed)
    x, r = (random.standard_normal((*lead, 3)).astype(np.float32) for _ in range(2))
    with threads(cores):
        found, plain = both_ways(plan, [x, r])
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_stretch_goes_as_far_as_steps_work_row_by_row() -> None:
    plan = plan_of(MLP, kernels=True, opset=20)
    assert spans(plan) == [
        ["MatMul", "Add", "Tanh", "BiasGelu", "MatMul", "SkipLayerNormalization"]
    ]
    # Views of what a stretch gives need not be part of it, and Transpose mixes rows.
    text = """g (float[B, 3] x) => (float[B, 3] y, float[3, B] z) {
        a = Relu(x)  b = Tanh(a)  c, d = Split<axis = -1, num_outputs = 2>(b)
        y = Concat<axis = 1>(d, c)
        z = Transpose(y) }"""
    assert spans(plan_of(text, kernels=True, opset=20)) == [["Relu", "Tanh"]]


def test_rows_that_are_not_the_same_go_step_by_step() -> None:
    text = f"g (float[B, N, 3] x, float[B, N, 5] r) => (float[B, N, 3] y) {WEIGHTS} {{"
    plan = plan_of(text + "p = MatMul(x, a) q = Add(p, r) y = MatMul(q, c) }", kernels=True)
    assert spans(plan) == [["MatMul", "Add", "MatMul"]]
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    for shape in ((2, 4, 5), (1, 4, 5), (2, 1, 5), (4, 5), (5,), (2, 4, 1), (1, 1, 5), ()):
        r = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        (found,), (plain,) = both_ways(plan, [x, r])
        np.testing.assert_allclose(found, plain, rtol=1e-6)
    # What is known of one kind of inputs is not taken for another.
    wide = np.ones((2, 4, 5), np.float64)
    with pytest.raises(NodeError, match="Add"):
        execute(plan, [x, wide])
    (found,), (plain,) = both_ways(plan, [x, wide.astype(np.float32)])
    np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_what_is_read_by_row_and_as_a_whole_goes_step_by_step() -> None:
    text = """g (float[N, N] x) => (float[N, N] y) {
        p = Gelu(x)  q = Add(p, x)  m = MatMul(x, x)  y = Add(q, m) }"""
    plan = plan_of(text, kernels=True, opset=20)
    x = np.random.default_rng(0).standard_normal((7, 7)).astype(np.float32)
    (found,), (plain,) = both_ways(plan, [x])
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_an_error_names_its_node() -> None:
    plan = plan_of(MLP, kernels=True, opset=20)
    x, r = np.ones((8, 4), np.float32), np.ones((8, 3), np.float32)
    with pytest.raises(NodeError, match=r"MatMul .*shapes \(8, 4\) and \(3, 5\)"):
        execute(plan, [x, r])
    with pytest.raises(NodeError, match=r"SkipLayerNormalization|Add"):
        execute(plan, [x[:, :3], np.ones((7, 3), np.float32)])


def test_an_observer_sees_whole_tensors() -> None:
    seen: list[tuple[int, ...]] = []

    def look(step: Step, inputs: Sequence[Any], compute: Callable[[], Any]) -> Any:
        outputs = compute()
        seen.append(outputs[0].shape)
        return outputs

    x = np.ones((2, 10, 3), np.float32)
    execute(plan_of(MLP, kernels=True, opset=20), [x, x], observe=look)
    assert {shape[:2] for shape in seen} == {(2, 10)}


def test_limits_hold_inside() -> None:
    plan = plan_of(MLP, kernels=True, opset=20)
    x = np.ones((10_000, 3), np.float32)
    for budget in (Budget(max_bytes=300_000), Budget(deadline=0.0)):
        with pytest.raises(BudgetError), spending(budget):
            execute(plan, [x, x], budget=budget)


def test_what_lies_between_never_exists_as_a_whole() -> None:
    text = f"g (float[B, 3] x) => (float[B, 3] y) {WEIGHTS} {{"
    plan = plan_of(text + "p = MatMul(x, a) q = Gelu(p) y = MatMul(q, c) }", kernels=True, opset=20)
    x = np.ones((10_000, 3), np.float32)
    budget = Budget(max_bytes=2 * x.nbytes + 1000)
    with spending(budget):
        execute(plan, [x], budget=budget)


def test_one_row_that_is_declined_declines_no_others() -> None:
    """A kernel may look at numbers, too: then these rows go another way, this time."""
    plan = plan_of(MLP, kernels=True, opset=20)
    (found,) = plan.stretches.values()
    calls = []

    def wary(x: Array, *others: Any, out: Array | None = None) -> Any:
        calls.append(len(x))
        return NotImplemented if np.isnan(x).any() else step.call(x, *others, out=out)

    step = found.steps[2]
    steps = tuple(
        Step(**{**vars(s), "call": wary, "literal": step.call}) if s is step else s
        for s in plan.steps
    )
    changed = replace(plan, steps=steps, stretches={0: replace(found, steps=steps, known={})})
    x = np.ones((8, 3), np.float32)
    broken = x.copy()
    broken[0, 0] = np.nan
    for rows, times in ((broken, 3), (x, 3), (x, 3)):
        calls.clear()
        y, _ = execute(changed, [rows, x])
        np.testing.assert_array_equal(np.isnan(y).any(axis=1), np.isnan(rows).any(axis=1))
        assert len(calls) == times, calls


WITHOUT_ROWS = {
    "attention to one token": f"""g (float[B, T, 3] x, float[1, 1, 3] m)
        => (float[B, T, 5] q, float[1, 1, 5] k) {WEIGHTS} {{
        q = MatMul(x, a)  k = MatMul(m, a) }}""",
    "a vector": """g (float[B, T, 3] x, float[3] v) => (float[B, T, 3] y, float[3] g) {
        a = Gelu(x)  g = Gelu(v)  y = Add(a, g) }""",
    "a vector first": """g (float[B, T, 3] x, float[3] v) => (float[B, T, 3] y) {
        g = Gelu(v)  h = Relu(g)  y = Add(x, h) }""",
}


@pytest.mark.parametrize("text", WITHOUT_ROWS.values(), ids=WITHOUT_ROWS)
@pytest.mark.parametrize("cores", [1, 2])
def test_what_comes_of_no_rows_stays_as_it_is(text: str, cores: int) -> None:
    plan = plan_of(text, kernels=True, opset=20)
    random = np.random.default_rng(0)
    other = random.standard_normal((1, 1, 3) if "1, 1" in text else 3).astype(np.float32)
    for lead in ((2, 9), (1, 30), (1, 1)):
        x = random.standard_normal((*lead, 3)).astype(np.float32)
        with threads(cores):
            found, plain = both_ways(plan, [x, other])
        for one, right in zip(found, plain, strict=True):
            assert one.shape == right.shape
            np.testing.assert_allclose(one, right, rtol=1e-6)
