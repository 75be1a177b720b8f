"""What a run does, decided once: which functions, on which slots, and when a value has died."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from embedx.kernels import EXACT, FUSED, REPLACING, Kernel, Prepared, Storage
from embedx.model.external_data import let_go
from embedx.model.graph import (
    FUSED_DOMAIN,
    Array,
    Graph,
    Node,
    SparseTensor,
    captures,
    full,
    reads,
)
from embedx.ops import resolve
from embedx.run.binding import Precision, bind
from embedx.run.execute import execute
from embedx.run.step import ABSENT, UNWANTED, Plan, Step
from embedx.run.stretch import stretches


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
    slots = _Slots()
    input_slots = slots.of(v.name for v in graph.inputs)
    captured = tuple(captures(graph))
    capture_slots = slots.of(captured)
    constants, dying = graph.constants, _dying(graph)
    wanted = {name for node in graph.nodes for name in reads(node)}
    wanted.update(graph.initializers, (v.name for v in graph.outputs))
    packed = Counter[str]()
    steps = []
    for i, node in enumerate(graph.nodes):
        bodies = []
        for name, subgraph in node.subgraphs.items():
            body = make_plan(subgraph, precision, kernels=kernels, storage=storage)
            bodies.append((name, body, slots.of(body.captured)))
        kernel, prepared, literal = _bound(node, precision, kernels, constants, storage)
        inputs = [
            "" if place in prepared.packed else name for place, name in enumerate(node.inputs)
        ]
        packed.update(node.inputs[p] for p in prepared.packed if p < len(node.inputs))
        input_places = slots.of(inputs)
        outputs = slots.of_outputs(node.outputs, wanted)
        dead = slots.of(dying.get(i, ()))
        overwrites = tuple(
            p for p in kernel.overwrites if p < len(inputs) and input_places[p] in dead
        )
        matrix = "" if prepared.matrix is None else node.inputs[prepared.matrix]
        step = Step(
            node, prepared.call, input_places, outputs, dead, tuple(bodies), overwrites, literal,
            matrix, prepared.note, () if bodies else prepared.rows,
        )  # fmt: skip
        steps.append(step)
    output_slots = slots.of(v.name for v in graph.outputs)
    return Plan(
        graph.inputs, graph.outputs, input_slots, output_slots, captured, capture_slots,
        _template(graph, packed, slots), tuple(steps), stretches(steps, output_slots),
    )  # fmt: skip


class _Slots:
    """A number for each edge, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._numbers = {"": ABSENT}

    def __len__(self) -> int:
        return len(self._numbers) + 1  # the 1 leaves room for UNWANTED

    def of(self, names: Iterable[str]) -> tuple[int, ...]:
        return tuple(self._numbers.setdefault(name, len(self)) for name in names)

    def of_outputs(self, names: Sequence[str], wanted: Collection[str]) -> tuple[int, ...]:
        """The slots of a node's outputs, up to the last one that somebody wants."""
        count = max((i + 1 for i, name in enumerate(names) if name in wanted), default=0)
        return tuple(self.of([n])[0] if n in wanted else UNWANTED for n in names[:count])


def _dying(graph: Graph) -> dict[int, list[str]]:
    """For each node, by its place, the edges that nobody needs behind it."""
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in reads(node)}
    for kept in (*graph.initializers, *(v.name for v in graph.outputs)):
        last_use.pop(kept, None)
    dying: dict[int, list[str]] = {}
    for name, place in last_use.items():
        dying.setdefault(place, []).append(name)
    return dying


def _template(graph: Graph, packed: Counter[str], slots: _Slots) -> tuple[Array | None, ...]:
    """The constants in their slots, but for those that kernels alone need, and have."""
    needed = Counter(name for node in graph.nodes for name in reads(node)) - packed
    needed.update(v.name for v in (*graph.inputs, *graph.outputs))
    names = [name for name in graph.initializers if needed[name]]
    constants = (full(graph.initializers[name]) for name in names)
    values = dict(zip(slots.of(names), constants, strict=True))
    return tuple(values.get(i) for i in range(len(slots)))


_NO_KERNEL = Kernel(lambda: None)
_KERNELS: dict[Precision, Mapping[Callable[..., Any], Kernel]] = {
    "native": REPLACING, "exact": EXACT,
}  # fmt: skip
"""By the formulas of the operators for which they stand in."""


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
        table = _KERNELS.get(precision, {})
        if not kernels or formula not in table:
            return _NO_KERNEL, Prepared(call), None
        kernel, attributes = table[formula], call.keywords
    literal = call if node.literal is None else _Literal(node.literal)
    given = tuple(constants.get(name) for name in node.inputs)
    own = kernel.prepare(node, given, storage) if kernel.prepare else None
    for constant in given if own else ():
        if isinstance(constant, np.ndarray):
            let_go(constant)  # the kernel has what it needs of it
    prepared = own or Prepared(kernel.function, rows=kernel.rows)
    function = functools.partial(prepared.call, **attributes)
    return kernel, replace(prepared, call=function), literal


class _Literal:
    """A fused node's nodes as they were written, planned at the first call."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @functools.cached_property
    def _plan(self) -> Plan:
        return make_plan(self._graph)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        return tuple(execute(self._plan, inputs))
