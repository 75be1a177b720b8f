"""What a run does, decided once: which functions, on which slots, and when a value has died.

A plan numbers the graph's edges. A run keeps its values in a list of that length; slot 0 is the
value that an omitted input reads (``None``), slot 1 takes the outputs that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from embedx.binding import Precision, bind, check_operators
from embedx.graph import Array, Graph, Node, SparseTensor, Value, captures, reads
from embedx.rewrite import fold_constants

ABSENT, UNWANTED = 0, 1


@dataclass(frozen=True, eq=False)
class Step:
    """One call: the slots it reads and writes, and those whose value dies with it."""

    node: Node
    call: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    dead: tuple[int, ...]
    bodies: tuple[tuple[str, Plan, tuple[int, ...]], ...]
    """Subgraphs: the attribute's name, the plan, and the slots of the outer values it captures."""


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


def make_plan(graph: Graph, precision: Precision = "native") -> Plan:
    """The plan of a sorted graph without local functions.

    Raises UnsupportedOpError with all operators that are missing, ModelError for a node that does
    not fit its operator.
    """
    check_operators(graph.walk())
    return _planned(graph, precision)


def _planned(graph: Graph, precision: Precision) -> Plan:
    graph = fold_constants(graph, precision)
    captured = tuple(captures(graph))
    slots = {"": ABSENT}

    def slot(name: str) -> int:
        return slots.setdefault(name, len(slots) + 1)  # the 1 leaves room for UNWANTED

    input_slots = tuple(slot(v.name) for v in graph.inputs)
    capture_slots = tuple(slot(name) for name in captured)
    constants = {slot(name): _dense(v) for name, v in graph.initializers.items()}
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in reads(node)}
    kept = {*graph.initializers, *(v.name for v in graph.outputs)}
    dying: dict[int, list[str]] = {}
    for name in last_use.keys() - kept:
        dying.setdefault(last_use[name], []).append(name)
    steps = []
    for i, node in enumerate(graph.nodes):
        bodies = []
        for name, subgraph in node.subgraphs.items():
            body = _planned(subgraph, precision)
            bodies.append((name, body, tuple(slot(outer) for outer in body.captured)))
        inputs = tuple(slot(name) for name in node.inputs)
        outputs = tuple(
            slot(name) if name in last_use or name in kept else UNWANTED for name in node.outputs
        )
        dead = tuple(slots[name] for name in dying.get(i, ()))
        steps.append(Step(node, bind(node, precision), inputs, outputs, dead, tuple(bodies)))
    output_slots = tuple(slot(v.name) for v in graph.outputs)
    template = tuple(constants.get(i) for i in range(len(slots) + 1))
    return Plan(
        graph.inputs, graph.outputs, input_slots, output_slots, captured, capture_slots,
        template, tuple(steps),
    )  # fmt: skip


def _dense(value: Array | SparseTensor) -> Array:
    return value.dense() if isinstance(value, SparseTensor) else value


def walk(plan: Plan) -> Iterable[Step]:
    """Every step, those of subgraphs included."""
    for step in plan.steps:
        yield step
        for _, body, _ in step.bodies:
            yield from walk(body)
