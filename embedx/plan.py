"""What a run does, decided once: which functions, on which slots, and when a value has died.

A plan numbers the graph's edges. A run keeps its values in a list of that length; slot 0 is the
value that an omitted input reads (``None``), slot 1 takes the outputs that nobody asked for.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from embedx.binding import Precision, bind, check_operators
from embedx.fusion import FUSED_DOMAIN, fuse
from embedx.graph import Array, Graph, Node, SparseTensor, Value, captures, reads
from embedx.kernels import FUSED, REPLACING, Kernel, Prepared
from embedx.ops import resolve
from embedx.rewrite import fold_constants
from embedx.simplify import drop_identities, merge_equals

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
    note: str = ""
    """How the step's weights are stored, and why."""


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


def make_plan(
    graph: Graph, precision: Precision = "native", tolerance: float | None = None
) -> Plan:
    """The plan of a sorted graph without local functions.

    With a ``tolerance`` nodes are fused (see there what it means) and kernels stand in for their
    operators; without, each node is a step and each operator computes as it reads.

    Raises UnsupportedOpError with all operators that are missing, ModelError for a node that does
    not fit its operator.
    """
    check_operators(graph.walk())
    if tolerance is not None:
        for node in graph.walk():
            bind(node, precision)  # now, while every node still has the name that its author knows
    return _planned(graph, precision, tolerance)


def _planned(graph: Graph, precision: Precision, tolerance: float | None) -> Plan:
    graph = fold_constants(graph, precision)
    if tolerance is not None:
        graph = merge_equals(fuse(drop_identities(graph), tolerance))
    captured = tuple(captures(graph))
    slots = {"": ABSENT}

    def slot(name: str) -> int:
        return slots.setdefault(name, len(slots) + 1)  # the 1 leaves room for UNWANTED

    input_slots = tuple(slot(v.name) for v in graph.inputs)
    capture_slots = tuple(slot(name) for name in captured)
    fixed = {k: v for k, v in graph.initializers.items() if k not in {v.name for v in graph.inputs}}
    packed = Counter[str]()
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in reads(node)}
    kept = {*graph.initializers, *(v.name for v in graph.outputs)}
    dying: dict[int, list[str]] = {}
    for name in last_use.keys() - kept:
        dying.setdefault(last_use[name], []).append(name)
    steps = []
    for i, node in enumerate(graph.nodes):
        bodies = []
        for name, subgraph in node.subgraphs.items():
            body = _planned(subgraph, precision, tolerance)
            bodies.append((name, body, tuple(slot(outer) for outer in body.captured)))
        call, kernel, prepared = _bound(node, precision, tolerance is not None, fixed)
        packed.update(node.inputs[i] for i in prepared.packed if i < len(node.inputs))
        inputs = tuple(
            ABSENT if i in prepared.packed else slot(name) for i, name in enumerate(node.inputs)
        )
        outputs = tuple(
            slot(name) if name in last_use or name in kept else UNWANTED for name in node.outputs
        )
        dead = tuple(slots[name] for name in dying.get(i, ()))
        overwrites = tuple(i for i in kernel.overwrites if i < len(inputs) and inputs[i] in dead)
        steps.append(
            Step(node, call, inputs, outputs, dead, tuple(bodies), overwrites, prepared.note)
        )
    output_slots = tuple(slot(v.name) for v in graph.outputs)
    needed = Counter(name for node in graph.nodes for name in reads(node)) - packed
    needed.update(v.name for v in (*graph.inputs, *graph.outputs))
    constants = {slot(k): _dense(v) for k, v in graph.initializers.items() if needed[k]}
    template = tuple(constants.get(i) for i in range(len(slots) + 1))
    return Plan(
        graph.inputs, graph.outputs, input_slots, output_slots, captured, capture_slots,
        template, tuple(steps),
    )  # fmt: skip


_NO_KERNEL, _UNPREPARED = Kernel(lambda: None), Prepared(lambda: None)


def _bound(
    node: Node, precision: Precision, fast: bool, fixed: Mapping[str, Array | SparseTensor]
) -> tuple[Callable[..., Any], Kernel, Prepared]:
    """The node's function of its inputs, and the kernel that it comes from, if any."""
    if node.domain == FUSED_DOMAIN:
        kernel, attributes = FUSED[node.op_type], node.attributes
    else:
        call = bind(node, precision)
        formula = resolve(node.op_type, node.opset, node.domain).formula
        if not fast or formula not in REPLACING:
            return call, _NO_KERNEL, _UNPREPARED
        kernel, attributes = REPLACING[formula], call.keywords
    constants = tuple(fixed.get(name) for name in node.inputs)
    prepared = kernel.prepare(node, constants) if kernel.prepare else None
    function = prepared.call if prepared else kernel.function
    return functools.partial(function, **attributes), kernel, prepared or _UNPREPARED


def _dense(value: Array | SparseTensor) -> Array:
    return value.dense() if isinstance(value, SparseTensor) else value


def walk(plan: Plan) -> Iterable[Step]:
    """Every step, those of subgraphs included."""
    for step in plan.steps:
        yield step
        for _, body, _ in step.bodies:
            yield from walk(body)
