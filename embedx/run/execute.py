"""Running a plan: a loop over its steps that knows no operator by name.

A plan numbers the graph's edges. A run keeps its values in a list of that length; slot 0 is the
value that an omitted input reads (``None``), slot 1 takes the outputs that nobody asked for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from embedx.errors import BudgetError, EmbedxError, NodeError
from embedx.kernels.memory import Buffer
from embedx.model.graph import Array, Node, TensorType, Value
from embedx.ops import Budget, OverBudgetError

ABSENT, UNWANTED = 0, 1


@dataclass(frozen=True, eq=False)
class Step:
    """One call: the slots it reads and writes, and those whose value dies with it."""

    node: Node
    call: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dead: tuple[int, ...]
    bodies: tuple[tuple[str, Plan, tuple[int, ...]], ...] = ()
    """Subgraphs: the attribute's name, the plan, and the slots of the outer values it captures."""
    overwrites: tuple[int, ...] = ()
    """Places of inputs that die here and in whose memory the result may be written."""
    literal: Callable[..., Any] | None = None
    """What computes the node as it is written, for inputs that ``call`` does not take on."""
    matrix: str = ""
    """The constant that the step carries in a form of its own."""
    note: str = ""
    """In which form, and why."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of a graph, and where its values lie."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    input_slots: tuple[int, ...]
    output_slots: tuple[int, ...]
    captured: tuple[str, ...]
    capture_slots: tuple[int, ...]
    template: tuple[Array | None, ...]
    """The values before the first step: the constants in their slots."""
    steps: tuple[Step, ...]

    def walk(self) -> Iterator[Step]:
        """Every step, those of subgraphs included."""
        for step in self.steps:
            yield step
            for _, body, _ in step.bodies:
                yield from body.walk()


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
    values: list[Any] = list(plan.template)
    for slot, value in zip(plan.input_slots, inputs, strict=True):
        if value is not None:
            values[slot] = value
    for slot, value in zip(plan.capture_slots, captured, strict=True):
        values[slot] = value
    budget = Budget() if budget is None else budget
    budget.holders.append(values)
    limit = math.inf if budget.max_bytes is None else budget.max_bytes
    for step in plan.steps:
        arguments = [values[slot] for slot in step.inputs]
        try:
            if budget.deadline is not None:
                budget.check_time()
            options: dict[str, Any] = {}
            if step.bodies:
                options = _bodies(step, values, budget, observe)
            elif step.overwrites and observe is None:
                options = _spare(step, arguments)
            if observe is None:
                results = _computed(step, arguments, options)
            else:
                results = observe(step, arguments, partial(_wanted, step, arguments, options))
            if len(results) < len(step.outputs):
                raise ValueError(f"{len(results)} outputs are made of {len(step.outputs)}")
            for slot, value in zip(step.outputs, results, strict=False):
                values[slot] = value
                if type(value) is np.ndarray:
                    budget.used += value.nbytes
            if budget.used > limit:
                budget.recount()
        except EmbedxError:
            raise
        except (OverBudgetError, MemoryError) as error:
            raise BudgetError(
                f"{_described(step, arguments)}: {error or 'out of memory'}"
            ) from error
        except Exception as error:
            raise NodeError(f"{_described(step, arguments)}: {error}") from error
        for slot in step.dead:
            values[slot] = None
    budget.holders.pop()
    return [values[slot] for slot in plan.output_slots]


def _computed(step: Step, arguments: list[Any], options: dict[str, Any]) -> Sequence[Any]:
    result = step.call(*arguments, **options)
    if result is NotImplemented and step.literal is not None:
        result = step.literal(*arguments)
    return result if isinstance(result, tuple) else (result,)


def _wanted(step: Step, arguments: list[Any], options: dict[str, Any]) -> Sequence[Any]:
    return _computed(step, arguments, options)[: len(step.outputs)]


def _bodies(
    step: Step, values: list[Any], budget: Budget, observe: Observer | None
) -> dict[str, Any]:
    """The step's subgraphs as functions."""
    return {
        name: _Body(body, [values[slot] for slot in slots], budget, observe)
        for name, body, slots in step.bodies
    }


def _spare(step: Step, arguments: list[Any]) -> dict[str, Any]:
    """An input that nobody else refers to, into whose memory the step may write."""
    for place in step.overwrites:
        if _references(arguments, place) in _ALONE:
            return {"out": arguments[place]}
    return {}


def _references(arguments: list[Any], place: int) -> tuple[int, int]:
    """How often the array is referred to, and the array whose memory it shows."""
    array = arguments[place]
    if not isinstance(array, np.ndarray) or not array.flags.writeable:
        return 0, 0
    if array.base is None or isinstance(array.base, Buffer):
        return sys.getrefcount(array), 0
    return sys.getrefcount(array), sys.getrefcount(array.base)


def _counts_when_alone() -> set[tuple[int, int]]:
    """The counts of arrays, and of views of arrays, to which only a run's own lists refer."""
    found = set()
    for values in ([np.empty(1)], [np.empty((1, 1)).reshape(1)]):
        arguments = [values[0]]
        found.add(_references(arguments, 0))
    return found


# Counted here and not known, as interpreters differ in which references they count.
_ALONE = _counts_when_alone()


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
    shown = ", ".join(_kind(value) for value in arguments)
    return f"{step.node} on ({shown})"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return str(TensorType(value.dtype, value.shape))
    if isinstance(value, dict):
        return f"map of {len(value)}"
    return "nothing" if value is None else f"sequence of {len(value)}"
