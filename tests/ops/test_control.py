"""Branches and loops against the pseudo code of the specification."""

from __future__ import annotations

import time
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, Budget, OverBudgetError, if_, loop, scan, scan_8, spending
from tests.assertions import assert_equal
from tests.ops.bodies import Body, Declared
from tests.strategies import Shape, shapes

TRUE = np.array(True)


# -- If -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_if_runs_one_branch(shape: Shape) -> None:
    def never() -> tuple[Any, ...]:
        raise AssertionError("the other branch ran")

    one, two = Body(lambda: (np.array(1), [])), Body(never)
    found = if_(np.full(shape, True), then_branch=one, else_branch=two)
    assert (int(found[0]), found[1]) == (1, [])
    assert if_(np.full(shape, False), then_branch=two, else_branch=one)[1] == []


@given(st.booleans(), shapes())
def test_if_gives_what_the_branch_gives(cond: bool, shape: Shape) -> None:
    ones, zeros = np.ones(shape), np.zeros(shape)
    found = if_(
        np.array(cond), then_branch=Body(lambda: (ones,)), else_branch=Body(lambda: (zeros,))
    )
    assert found[0] is (ones if cond else zeros)


@pytest.mark.parametrize("cond", [np.array(1), np.array([True, True]), np.zeros(0, bool)])
def test_a_condition_is_one_bool(cond: Array) -> None:
    nothing = Body(lambda *_: ())
    with pytest.raises(TypeError, match="a condition is one bool"):
        if_(cond, then_branch=nothing, else_branch=nothing)
    with pytest.raises(TypeError, match="a condition is one bool"):
        loop(None, cond, body=nothing)
    with pytest.raises(TypeError, match="a condition is one bool"):
        loop(np.array(1), None, body=Body(lambda i, going: (cond,), None))


# -- Loop -----------------------------------------------------------------------------------------


def counting(limit: int, *declared: Declared | None) -> Body:
    """Carries x + 1, scans x and the turn, and goes on while x + 1 is below the limit."""
    return Body(lambda i, cond, x: (x + 1 < limit, x + 1, x, i), None, None, *declared)


@pytest.mark.parametrize("m", [None, 0, 1, 5])
@pytest.mark.parametrize("cond", [False, True])
@given(limit=st.integers(1, 8))
def test_loops_turn_while_both_limits_allow(m: int | None, cond: bool, limit: int) -> None:
    turns = min(limit if m is None else m, limit) if cond else 0
    body = counting(limit, (np.dtype(np.int64), ()), (np.dtype(np.int64), ()))
    trip = None if m is None else np.array(m)
    x, xs, counters = loop(trip, np.array(cond), np.array(0), body=body)
    assert int(x) == turns
    assert_equal(xs, np.arange(turns))
    assert_equal(counters, np.arange(turns))


def test_without_a_condition_that_of_the_body_is_ignored() -> None:
    x, *_ = loop(np.array(5), None, np.array(0), body=counting(1))
    assert int(x) == 5


def test_without_a_condition_the_body_runs_m_times() -> None:
    body = Body(lambda i, cond, x: (cond, x * 2), None, None)
    (x,) = loop(np.array(3), None, np.array(1), body=body)
    assert int(x) == 8


def test_a_loop_without_carried_values() -> None:
    (found,) = loop(np.array(3), None, body=Body(lambda i, cond: (cond, i * i), None, None))
    assert_equal(found, np.array([0, 1, 4]))


@given(shapes(), st.integers(1, 3))
def test_scan_outputs_are_stacked_on_a_new_axis(shape: Shape, count: int) -> None:
    body = Body(lambda i, cond: (cond, np.full(shape, i, np.float32)), None, None)
    (found,) = loop(np.array(count), None, body=body)
    steps = np.arange(count, dtype=np.float32).reshape(-1, *[1] * len(shape))
    assert_equal(found, np.broadcast_to(steps, (count, *shape)).copy())


def test_no_turn_gives_scan_outputs_of_the_declared_type() -> None:
    body = Body(lambda *_: (), None, None, (np.dtype(np.int8), (2, None)), None)
    x, typed, untyped = loop(np.array(0), None, np.array([5]), body=body)
    assert_equal(x, np.array([5]))
    assert_equal(typed, np.zeros((0, 2, 0), np.int8))
    assert_equal(untyped, np.zeros(0, np.float32))


INT64, BOOL = np.dtype(np.int64), np.dtype(bool)


@pytest.mark.parametrize("given", [(), (1,), (1, 1)])
@pytest.mark.parametrize(
    ("declared", "counter", "condition"),
    [
        ((), (), ()),
        ((None, None), (), ()),
        (((INT64, ()), (BOOL, ())), (), ()),
        (((INT64, (1,)), (BOOL, ())), (1,), ()),
        (((INT64, ()), (BOOL, (1,))), (), (1,)),
        (((INT64, (None,)), (BOOL, (1, 1))), (1,), (1, 1)),
    ],
)
def test_the_counter_and_the_condition_have_the_declared_shape(
    given: Shape, declared: Any, counter: Shape, condition: Shape
) -> None:
    seen: list[Array] = []

    def body(i: Array, cond: Array) -> tuple[Array, ...]:
        seen.extend([i, cond])
        return (np.full(given, True),)

    count, true = np.full(given, 2), np.full(given, True)
    assert loop(count, true, body=Body(body, None, inputs=declared)) == ()
    for array, expected in zip(seen, [0, True, 1, True], strict=True):
        assert_equal(array, np.full(condition if expected is True else counter, expected))


def test_loops_carry_sequences() -> None:
    body = Body(lambda i, cond, items: (cond, [*items, i]), None, None)
    (items,) = loop(np.array(2), None, [], body=body)
    assert [int(v) for v in items] == [0, 1]


# -- Scan -----------------------------------------------------------------------------------------

running = Body(lambda total, x: (total + x, total + x), None, None)


def test_scan_keeps_a_state_and_stacks_the_outputs() -> None:
    state, sums = scan(np.array([0]), np.array([[1], [2], [3]]), body=running, num_scan_inputs=1)
    assert_equal(state, np.array([6]))
    assert_equal(sums, np.array([[1], [3], [6]]))


def test_scan_without_states() -> None:
    (found,) = scan(np.arange(3), np.arange(3), body=Body(lambda a, b: (a * b,), None),
                    num_scan_inputs=2)  # fmt: skip
    assert_equal(found, np.array([0, 1, 4]))


@given(shapes(min_rank=1, min_side=1), st.data(), st.integers(0, 1), st.integers(0, 1))
def test_scan_axes_and_directions(
    shape: Shape, data: st.DataObject, backwards: int, output_backwards: int
) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    output_axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    (found,) = scan(
        x, body=Body(lambda s: (s + 1,), None), num_scan_inputs=1, scan_input_axes=(axis,),
        scan_input_directions=(backwards,), scan_output_axes=(output_axis,),
        scan_output_directions=(output_backwards,),
    )  # fmt: skip
    slices = [np.take(x, i, axis=axis) + 1 for i in range(x.shape[axis])]
    slices = slices[::-1] if backwards != output_backwards else slices
    assert_equal(found, np.stack(slices, axis=output_axis))


def test_scan_of_no_slices() -> None:
    body = Body(running, None, (np.dtype(np.int64), (1,)))
    state, sums = scan(np.array([7]), np.zeros((0, 1), int), body=body, num_scan_inputs=1)
    assert_equal(state, np.array([7]))
    assert_equal(sums, np.zeros((0, 1), np.int64))


def test_scan_refuses() -> None:
    two = Body(lambda a, b: (a + b,), None)
    with pytest.raises(ValueError, match=r"lengths \[2, 3\]"):
        scan(np.arange(2), np.arange(3), body=two, num_scan_inputs=2)
    with pytest.raises(ValueError, match="axis 1 does not exist"):
        scan(np.array([0]), np.arange(2), body=running, num_scan_inputs=1, scan_input_axes=(1,))
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        scan(np.array([0]), np.arange(2), body=running, num_scan_inputs=1, scan_output_axes=(2,))
    for count in (0, -1, 3, 2**31):
        for operator in (scan, scan_8):
            inputs = [None] * (operator is scan_8) + [np.zeros((1, 2)), np.zeros((1, 2))]
            with pytest.raises(ValueError, match=f"{count} scan inputs among 2 inputs"):
                operator(*inputs, body=running, num_scan_inputs=count)  # type: ignore[arg-type]


@given(st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=3), min_size=1, max_size=3),
       st.integers(0, 1))  # fmt: skip
def test_scan_8_adds_up_rows_of_any_length(rows: list[list[int]], backwards: int) -> None:
    longest = max(map(len, rows))
    x = np.array([row + [99] * (longest - len(row)) for row in rows])[..., None]
    lengths, start = np.array([len(row) for row in rows]), np.zeros((len(rows), 1), int)
    state, sums = scan_8(
        lengths, start, x, body=running, num_scan_inputs=1, directions=(backwards,)
    )
    for row, total, part in zip(rows, state, sums, strict=True):
        walked = [*accumulate(row[::-1] if backwards else row)]
        assert total.tolist() == walked[-1:]
        assert part.ravel().tolist() == walked + [0] * (longest - len(row))


def test_scan_8_runs_each_entry_of_a_batch() -> None:
    start, x = np.array([[0], [10]]), np.array([[[1], [2], [3]], [[4], [5], [6]]])
    state, sums = scan_8(None, start, x, body=running, num_scan_inputs=1)
    assert_equal(state, np.array([[6], [25]]))
    assert_equal(sums, np.array([[[1], [3], [6]], [[14], [19], [25]]]))


def test_scan_8_stops_at_the_length_of_each_entry() -> None:
    start, x = np.array([[0], [10]]), np.array([[[1], [2], [3]], [[4], [5], [6]]])
    state, sums = scan_8(np.array([3, 1]), start, x, body=running, num_scan_inputs=1)
    assert_equal(state, np.array([[6], [14]]))
    assert_equal(sums, np.array([[[1], [3], [6]], [[14], [0], [0]]]))


def test_scan_8_backwards() -> None:
    _, sums = scan_8(None, np.array([[0]]), np.array([[[1], [2], [3]]]), body=running,
                     num_scan_inputs=1, directions=(1,))  # fmt: skip
    assert_equal(sums, np.array([[[3], [5], [6]]]))


# -- budgets --------------------------------------------------------------------------------------

endless = Body(lambda i, cond: (TRUE,), None)


def test_an_endless_loop_is_over_its_turns() -> None:
    with spending(Budget(max_iterations=10)) as budget:
        loop(np.array(10), None, body=endless)
        assert budget.max_iterations == 0
        with pytest.raises(OverBudgetError, match="as often as allowed"):
            loop(None, TRUE, body=endless)
        with pytest.raises(OverBudgetError, match="as often as allowed"):
            scan(np.array([0]), np.arange(2), body=running, num_scan_inputs=1)


def test_nested_loops_spend_from_one_budget() -> None:
    inner = Body(lambda i, cond: (cond, *loop(np.array(3), None, body=endless)), None)
    with spending(Budget(max_iterations=8)):
        loop(np.array(2), None, body=inner)
    with spending(Budget(max_iterations=7)), pytest.raises(OverBudgetError):
        loop(np.array(2), None, body=inner)


def test_an_endless_loop_is_over_its_time() -> None:
    with (
        spending(Budget(deadline=time.monotonic() + 0.02)),
        pytest.raises(OverBudgetError, match="time limit"),
    ):
        loop(np.array(2**63 - 1), TRUE, body=endless)
