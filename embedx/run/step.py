"""A plan: the calls that a run makes, in order, and where their values lie.

A plan numbers the graph's edges. A run keeps its values in a list of that length; slot 0 is the
value that an omitted input reads (``None``), slot 1 takes the outputs that nobody asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedx.kernels.memory import Buffer
from embedx.model.graph import Array, Node, Value

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
    rows: tuple[int, ...] = ()
    """Places of inputs of any rows of which ``call`` makes the same rows of its one output."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Steps one behind the other that work row by row, so that rows can go through all of them."""

    steps: tuple[Step, ...]
    rows: tuple[int, ...]
    """The slots of outer values that are read row by row."""
    whole: tuple[int, ...]
    """The slots of other outer values."""
    results: tuple[int, ...]
    """The slots that are read behind the stretch."""
    known: dict[Any, Any] = field(default_factory=dict)
    """What the results are for inputs of a kind; None where a step declines them."""


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
    stretches: Mapping[int, Stretch] = field(default_factory=dict)
    """By the place of their first step."""

    def walk(self) -> Iterator[Step]:
        """Every step, those of subgraphs included."""
        for step in self.steps:
            yield step
            for _, body, _ in step.bodies:
                yield from body.walk()


def spare(step: Step, arguments: Sequence[Any]) -> dict[str, Any]:
    """An input that nobody else refers to, into whose memory the step may write, as an option.

    Nobody else than one container of the run's values, and ``arguments``.
    """
    for place in step.overwrites:
        if _references(arguments, place) in _ALONE:
            return {"out": arguments[place]}
    return {}


def _references(arguments: Sequence[Any], place: int) -> tuple[int, int]:
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
