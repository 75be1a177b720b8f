"""Running a plan: a loop over its steps that knows no operator by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from embedx.errors import BudgetError, EmbedxError, NodeError
from embedx.model.graph import TensorType, Value
from embedx.ops import Budget, OverBudgetError
from embedx.run.step import Plan, Step, spare
from embedx.run.stretch import run_stretch

Compute: TypeAlias = "Callable[[], Sequence[Any]]"
Observer: TypeAlias = "Callable[[Step, Sequence[Any], Compute], Sequence[Any]]"
"""Stands around each step, those of subgraphs included: it is given the step, its inputs and a
function that computes its outputs, and gives the outputs, be it others."""


def execute(
    plan: Plan,
    inputs: Sequence[Any],
    captured: Sequence[Any] = (),
    budget: Budget | None = None,
    observe: Observer | None = None,
) -> list[Any]:
    """The plan's outputs for its inputs, in order; ``None`` keeps an input's default.

    Raises NodeError naming the node that failed, BudgetError if the run spends too much.
    """
    budget = Budget() if budget is None else budget
    values = started(plan, inputs, captured)
    budget.holders.append(values)
    place = 0
    while place < len(plan.steps):
        place += advance(plan, place, values, budget, observe)
    budget.holders.pop()
    return [values[slot] for slot in plan.output_slots]


def started(plan: Plan, inputs: Sequence[Any], captured: Sequence[Any] = ()) -> list[Any]:
    """The values of a run before its first step."""
    values: list[Any] = list(plan.template)
    for slot, value in zip(plan.input_slots, inputs, strict=True):
        if value is not None:
            values[slot] = value
    for slot, value in zip(plan.capture_slots, captured, strict=True):
        values[slot] = value
    return values


def advance(
    plan: Plan, place: int, values: list[Any], budget: Budget, observe: Observer | None
) -> int:
    """Run the step at a place, or the stretch that begins there; how many steps that were."""
    step = plan.steps[place]
    arguments = [values[slot] for slot in step.inputs]
    done: Sequence[Step] = (step,)
    try:
        if budget.deadline is not None:
            budget.check_time()
        stretch = plan.stretches.get(place) if observe is None else None
        if stretch is not None and run_stretch(stretch, values, budget):
            done = stretch.steps
        else:
            budget.used += _kept(step, _results(step, arguments, values, budget, observe), values)
        if budget.max_bytes is not None and budget.used > budget.max_bytes:
            budget.recount()
    except EmbedxError:
        raise
    except (OverBudgetError, MemoryError) as error:
        raise BudgetError(f"{_described(step, arguments)}: {error or 'out of memory'}") from error
    except Exception as error:
        raise NodeError(f"{_described(step, arguments)}: {error}") from error
    for one in done:
        for slot in one.dead:
            values[slot] = None
    return len(done)


def _results(
    step: Step, arguments: list[Any], values: list[Any], budget: Budget, observe: Observer | None
) -> Sequence[Any]:
    options: dict[str, Any] = {}
    if step.bodies:
        options = _bodies(step, values, budget, observe)
    elif step.overwrites and observe is None:
        options = spare(step, arguments)
    if observe is None:
        results = computed(step, arguments, options)
    else:
        results = observe(step, arguments, partial(_wanted, step, arguments, options))
    if len(results) < len(step.outputs):
        raise ValueError(f"{len(results)} outputs are made of {len(step.outputs)}")
    return results


def computed(
    step: Step, arguments: Sequence[Any], options: Mapping[str, Any] = MappingProxyType({})
) -> Sequence[Any]:
    """A step's results for its arguments, whatever it is that computes them."""
    result = step.call(*arguments, **options)
    if result is NotImplemented and step.literal is not None:
        result = step.literal(*arguments)
    return result if isinstance(result, tuple) else (result,)


def _kept(step: Step, results: Sequence[Any], values: list[Any]) -> int:
    """Put a step's results into their slots; the bytes that they may take."""
    size = 0
    for slot, value in zip(step.outputs, results, strict=False):
        values[slot] = value
        if type(value) is np.ndarray:
            size += value.nbytes
    return size


def _wanted(step: Step, arguments: list[Any], options: dict[str, Any]) -> Sequence[Any]:
    return computed(step, arguments, options)[: len(step.outputs)]


def _bodies(
    step: Step, values: list[Any], budget: Budget, observe: Observer | None
) -> dict[str, Any]:
    """The step's subgraphs as functions."""
    return {
        name: _Body(body, [values[slot] for slot in slots], budget, observe)
        for name, body, slots in step.bodies
    }


class _Body:
    """A subgraph as a function, with the outer values that it captures."""

    def __init__(
        self, plan: Plan, captured: list[Any], budget: Budget, observe: Observer | None
    ) -> None:
        self._plan, self._captured = plan, captured
        self._budget, self._observe = budget, observe
        self.inputs, self.outputs = (
            [_declared(v) for v in values] for values in (plan.inputs, plan.outputs)
        )

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        if len(inputs) != len(self._plan.inputs):
            raise ValueError(
                f"the subgraph takes {len(self._plan.inputs)} inputs, got {len(inputs)}"
            )
        return tuple(execute(self._plan, inputs, self._captured, self._budget, self._observe))


def _declared(value: Value) -> tuple[np.dtype[Any], tuple[int | None, ...]] | None:
    """A value's dtype and sizes, as far as they are numbers; None for what is no tensor."""
    if not isinstance(value.type, TensorType):
        return None
    dims = value.type.shape or ()
    return value.type.dtype, tuple(d if isinstance(d, int) else None for d in dims)


def _described(step: Step, arguments: Sequence[Any]) -> str:
    given = list(arguments)
    while given and given[-1] is None:  # omitted, or constants that the step carries itself
        given.pop()
    return f"{step.node} on ({', '.join(map(_kind, given))})"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return str(TensorType(value.dtype, value.shape))
    if isinstance(value, dict):
        return f"map of {len(value)}"
    return "nothing" if value is None else f"sequence of {len(value)}"
