"""Graph to graph. Each rewrite keeps what the graph computes, and says so by a test."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any, TypeAlias

from embedx.errors import ModelError
from embedx.model.graph import (
    Function,
    Graph,
    Node,
    Reference,
    reads,
)
from embedx.ops import check_time, constant

MAX_NODES = 1_000_000
_Key: TypeAlias = tuple[str, str, str]


def inline_functions(graph: Graph) -> Graph:
    """The graph with every call of a model-local function replaced by the function's nodes.

    Raises ModelError for a function that calls itself, that redefines a standard operator, or
    that grows the graph beyond a million nodes, OverBudgetError when the time that may be spent is
    over.
    """
    for domain, name, _ in graph.functions:
        if domain == "":
            raise ModelError(f"the model redefines the standard operator {name!r}")
    if not graph.functions:
        return graph
    return replace(_inlined(graph, graph.functions, _Names(), ()), functions={})


class _Names:
    """Counts what has been inlined, and thereby makes prefixes that occur once."""

    def __init__(self) -> None:
        self.nodes = 0
        self.calls = 0


def _inlined(
    graph: Graph, functions: Mapping[_Key, Function], names: _Names, outer: tuple[_Key, ...]
) -> Graph:
    pending = [(node, outer) for node in reversed(graph.nodes)]
    done: list[Node] = []
    while pending:
        node, callers = pending.pop()
        names.nodes += 1
        check_time()
        if names.nodes > MAX_NODES:
            raise ModelError(f"the model's functions unfold to more than {MAX_NODES} nodes")
        key = (node.domain, node.op_type, node.overload)
        if key not in functions:
            attributes = {
                k: _inlined(v, functions, names, callers) if isinstance(v, Graph) else v
                for k, v in node.attributes.items()
            }
            done.append(replace(node, attributes=attributes))
            continue
        if key in callers:
            raise ModelError(f"the function {node.op_type!r} calls itself")
        names.calls += 1
        prefix = f"{node.name or node.op_type}~{names.calls}/"
        body = list(_called(functions[key], node, prefix))
        pending.extend((inner, (*callers, key)) for inner in reversed(body))
    return replace(graph, nodes=tuple(done))


def _called(function: Function, call: Node, prefix: str) -> Iterator[Node]:
    """The function's nodes in the names and with the attributes of one call."""
    if len(call.inputs) > len(function.inputs) or len(call.outputs) > len(function.outputs):
        raise ModelError(f"{call} has more inputs or outputs than the function it calls")
    unknown = call.attributes.keys() - function.attributes.keys()
    if unknown:
        raise ModelError(f"{call} has the attributes {sorted(unknown)}, which its function lacks")
    given = {k: v for k, v in {**function.attributes, **call.attributes}.items() if v is not None}
    edges = dict.fromkeys(function.inputs, "") | dict(
        zip(function.inputs, call.inputs, strict=False)
    )
    wanted = [
        (inner, outer)
        for inner, outer in zip(function.outputs, call.outputs, strict=False)
        if outer
    ]
    for inner, outer in wanted:
        edges.setdefault(inner, outer)

    def rename(name: str) -> str:
        return edges.setdefault(name, prefix + name) if name else ""

    for node in function.nodes:
        yield replace(renamed(node, rename, given), name=prefix + node.name, index=call.index)
    for inner, outer in wanted:
        if edges[inner] != outer:  # an input passed through, or one output wanted twice
            yield Node("Identity", (edges[inner],), (outer,), index=call.index)


def with_own_names(graph: Graph) -> Graph:
    """The graph whose subgraphs define no name that is defined around them.

    In ONNX a name in a subgraph hides the same name outside, from where the subgraph defines it on.
    Afterwards a name means one thing wherever it is seen.
    """
    return _own_names(graph, set(), {}, itertools.count())


def _own_names(
    graph: Graph, outer: Set[str], visible: Mapping[str, str], numbers: Iterator[int]
) -> Graph:
    """``outer`` has the names defined around the graph, ``visible`` what they are called now."""
    if not outer and not any(node.subgraphs for node in graph.nodes):
        return graph
    inputs = {v.name for v in graph.inputs} | graph.initializers.keys()
    own = inputs.union(*(node.outputs for node in graph.nodes)) - {""}
    fresh = {name: f"{name}~{next(numbers)}" for name in sorted(own & outer)}
    names = {**visible, **{name: fresh.get(name, name) for name in inputs}}
    everywhere = outer | own
    nodes = []
    for node in graph.nodes:
        taken = tuple(names.get(name, name) for name in node.inputs)
        made = {name: fresh.get(name, name) for name in node.outputs}
        inner = {
            key: _own_names(body, everywhere, names, numbers)
            for key, body in node.subgraphs.items()
        }
        names.update(made)
        attributes = {**node.attributes, **inner}
        nodes.append(
            replace(node, inputs=taken, outputs=tuple(made.values()), attributes=attributes)
        )
    return replace(
        graph,
        inputs=tuple(replace(v, name=names[v.name]) for v in graph.inputs),
        outputs=tuple(replace(v, name=names.get(v.name, v.name)) for v in graph.outputs),
        nodes=tuple(nodes),
        initializers={names[name]: value for name, value in graph.initializers.items()},
    )


def renamed(node: Node, rename: Callable[[str], str], given: Mapping[str, Any]) -> Node:
    """The node with other edges, and with ``given`` values where it refers to a function's."""
    attributes: dict[str, Any] = {}
    for key, value in node.attributes.items():
        if isinstance(value, Reference):
            if value.name in given:
                attributes[key] = given[value.name]
        elif isinstance(value, Graph):
            attributes[key] = replace(
                value,
                inputs=tuple(replace(v, name=rename(v.name)) for v in value.inputs),
                outputs=tuple(replace(v, name=rename(v.name)) for v in value.outputs),
                nodes=tuple(renamed(n, rename, given) for n in value.nodes),
                initializers={rename(k): v for k, v in value.initializers.items()},
            )
        else:
            attributes[key] = value
    inputs, outputs = (tuple(rename(n) for n in names) for names in (node.inputs, node.outputs))
    return replace(node, inputs=inputs, outputs=outputs, attributes=attributes)


def sort_nodes(graph: Graph, outer: Set[str] = frozenset()) -> Graph:
    """The nodes in an order that can run, the file's own order where it allows that.

    What a subgraph takes from outside counts as its node's input. Raises ModelError, naming nodes
    and edges, for an edge that nothing makes or two things make, and for a cycle.
    """
    made = _definitions(graph, outer)
    visible = made.keys() | outer
    waiting: list[int] = []
    readers: dict[str, list[int]] = {}
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        for name, subgraph in node.subgraphs.items():
            attributes = {**nodes[i].attributes, name: sort_nodes(subgraph, visible)}
            nodes[i] = replace(nodes[i], attributes=attributes)
        needs = set(reads(node))
        lost = needs - visible
        if lost:
            raise ModelError(f"{node} reads {min(lost)!r}, which nothing makes")
        own = [name for name in needs if isinstance(made.get(name), int)]
        waiting.append(len(own))
        for name in own:
            readers.setdefault(name, []).append(i)
    ready = [i for i, count in enumerate(waiting) if count == 0]
    order: list[Node] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        order.append(node)
        for name in node.outputs:
            for reader in readers.get(name, ()):
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = next(node for node, count in zip(nodes, waiting, strict=True) if count)
        raise ModelError(f"{stuck} is part of a cycle: it waits for what depends on it")
    for value in graph.outputs:
        if value.name not in visible:
            raise ModelError(f"the graph's output {value.name!r} is made by nothing")
    return replace(graph, nodes=tuple(order))


def _definitions(graph: Graph, outer: Set[str]) -> dict[str, int | None]:
    """Each edge that the graph defines, with the place of its node if a node makes it."""
    made: dict[str, int | None] = {}
    for value in graph.inputs:
        if value.name in made or value.name in outer:
            raise ModelError(f"the input {value.name!r} is defined twice")
        made[value.name] = None
    made.update(dict.fromkeys(graph.initializers))
    for i, node in enumerate(graph.nodes):
        for name in node.outputs:
            if name and (name in made or name in outer):
                raise ModelError(f"{node} makes {name!r}, which is already defined")
            if name:
                made[name] = i
    return made


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes and initializers on which no output depends. Inputs and defaults stay."""
    defaults = {v.name for v in graph.inputs}
    needed = {v.name for v in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(reads(node))
            kept.append(node)
    return replace(
        graph,
        nodes=tuple(reversed(kept)),
        initializers={k: v for k, v in graph.initializers.items() if k in needed | defaults},
    )


def unused_suffix(graph: Graph, word: str) -> str:
    """``~word``, or more of it, with which no edge's name ends: for the names of new edges."""
    names = {v.name for v in graph.inputs} | set(graph.initializers)
    names.update(name for node in graph.walk() for name in (*reads(node), *node.outputs))
    suffix = f"~{word}"
    while any(name.endswith(suffix) for name in names):
        suffix = f"~{suffix}"
    return suffix


def constants_as_initializers(graph: Graph) -> Graph:
    """The graph with the values of its Constant nodes among the initializers."""
    values = {n.outputs[0]: constant(**n.attributes) for n in graph.nodes if _is_constant(n)}
    if not values:
        return graph
    nodes = tuple(node for node in graph.nodes if not _is_constant(node))
    return replace(graph, nodes=nodes, initializers={**graph.initializers, **values})


def _is_constant(node: Node) -> bool:
    return node.op_type == "Constant" and node.domain == ""


def normal_form(graph: Graph) -> Graph:
    """The graph without local functions and dead nodes, sorted, each name with one meaning."""
    return drop_dead(sort_nodes(with_own_names(inline_functions(graph))))


def with_fed(graph: Graph, fed: Set[str]) -> Graph:
    """The graph for feeds that override the defaults of ``fed``, and of no other input.

    What is not fed is a constant then, and what is fed is none.
    """
    if not graph.initializers.keys() & {v.name for v in graph.inputs}:
        return graph
    defaults = {k: v for k, v in graph.initializers.items() if k not in fed}
    inputs = tuple(v for v in graph.inputs if v.name not in defaults)
    return replace(graph, inputs=inputs, initializers=defaults)
