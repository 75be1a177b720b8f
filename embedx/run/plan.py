"""What a run does, decided once: which functions, on which slots, and when a value has died."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from embedx.kernels import FUSED, REPLACING, Kernel, Prepared, Storage
from embedx.model.graph import FUSED_DOMAIN, Array, Graph, Node, SparseTensor, captures, reads
from embedx.ops import resolve
from embedx.run.binding import Precision, bind
from embedx.run.execute import ABSENT, UNWANTED, Plan, Step, execute


def make_plan(
    graph: Graph,
    precision: Precision = "native",
    *,
    kernels: bool = False,
    storage: Storage = "auto",
) -> Plan:
    """The plan of a sorted graph without local functions.

    With ``kernels`` they stand in for their operators, constant matrices stored as ``storage``
    says; without, each operator computes as it reads.
    """
    captured = tuple(captures(graph))
    slots = {"": ABSENT}

    def slot(name: str) -> int:
        return slots.setdefault(name, len(slots) + 1)  # the 1 leaves room for UNWANTED

    input_slots = tuple(slot(v.name) for v in graph.inputs)
    capture_slots = tuple(slot(name) for name in captured)
    constants = graph.constants
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
            body = make_plan(subgraph, precision, kernels=kernels, storage=storage)
            bodies.append((name, body, tuple(slot(outer) for outer in body.captured)))
        kernel, prepared, literal = _bound(node, precision, kernels, constants, storage)
        packed.update(node.inputs[i] for i in prepared.packed if i < len(node.inputs))
        inputs = tuple(
            ABSENT if i in prepared.packed else slot(name) for i, name in enumerate(node.inputs)
        )
        wanted = [name in last_use or name in kept for name in node.outputs]
        outputs = tuple(
            slot(name) if used else UNWANTED
            for name, used in zip(node.outputs[: _count(wanted)], wanted, strict=False)
        )
        dead = tuple(slots[name] for name in dying.get(i, ()))
        overwrites = tuple(i for i in kernel.overwrites if i < len(inputs) and inputs[i] in dead)
        matrix = "" if prepared.matrix is None else node.inputs[prepared.matrix]
        step = Step(
            node, prepared.call, inputs, outputs, dead, tuple(bodies), overwrites, literal,
            matrix, prepared.note,
        )  # fmt: skip
        steps.append(step)
    output_slots = tuple(slot(v.name) for v in graph.outputs)
    needed = Counter(name for node in graph.nodes for name in reads(node)) - packed
    needed.update(v.name for v in (*graph.inputs, *graph.outputs))
    values = {slot(k): _dense(v) for k, v in graph.initializers.items() if needed[k]}
    template = tuple(values.get(i) for i in range(len(slots) + 1))
    return Plan(
        graph.inputs, graph.outputs, input_slots, output_slots, captured, capture_slots,
        template, tuple(steps),
    )  # fmt: skip


def _count(wanted: list[bool]) -> int:
    """How many outputs a node must give: those in front of the last one that somebody reads."""
    return max((i + 1 for i, used in enumerate(wanted) if used), default=0)


_NO_KERNEL = Kernel(lambda: None)


def _bound(
    node: Node,
    precision: Precision,
    kernels: bool,
    constants: Mapping[str, Array | SparseTensor],
    storage: Storage,
) -> tuple[Kernel, Prepared, Callable[..., Any] | None]:
    """The kernel of a node if it has one, its function, and what computes it as it is written."""
    if node.domain == FUSED_DOMAIN:
        kernel, attributes = FUSED[node.op_type], node.attributes
    else:
        call = bind(node, precision)
        formula = resolve(node.op_type, node.opset, node.domain).formula
        if not kernels or formula not in REPLACING:
            return _NO_KERNEL, Prepared(call), None
        kernel, attributes = REPLACING[formula], call.keywords
    literal = call if node.literal is None else _Literal(node.literal)
    given = tuple(constants.get(name) for name in node.inputs)
    own = kernel.prepare(node, given, storage) if kernel.prepare else None
    prepared = own or Prepared(kernel.function)
    function = functools.partial(prepared.call, **attributes)
    return kernel, Prepared(function, prepared.packed, prepared.matrix, prepared.note), literal


class _Literal:
    """A fused node's nodes as they were written, planned at the first call."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @functools.cached_property
    def _plan(self) -> Plan:
        return make_plan(self._graph)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        return tuple(execute(self._plan, inputs))


def _dense(value: Array | SparseTensor) -> Array:
    return value.dense() if isinstance(value, SparseTensor) else value
