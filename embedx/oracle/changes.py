"""What one graph has otherwise than another, and the graph with some of it put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx.model.graph import Array, Graph, Node, full, reads
from embedx.ops import dtype_of, is_floating
from embedx.oracle.matching import difference_told
from embedx.rewrite.normal import drop_dead, renamed, sort_nodes, unused_suffix
from embedx.run.binding import bind


@dataclass(frozen=True)
class Change:
    """An edge that is made otherwise, or an attribute that has another value."""

    name: str
    """The constant, or the node as it was, and perhaps its attribute."""
    why: str
    ours: str
    """The edge in the graph as it was."""
    theirs: str
    """The edge in the changed graph: a constant, or a node's first output."""
    uses: tuple[tuple[str, int], ...] = ()
    """Where the changed graph reads the edge: a node's first output, and which of its inputs."""
    attribute: str | None = None
    """The attribute of the node, if the change is one."""


def changes(ours: Graph, theirs: Graph) -> list[Change]:
    """What the second graph has otherwise, from the inputs on; both have the same one output.

    The graphs are walked together from their outputs backwards, whatever their edges are called:
    nodes of one kind are the same node, and what feeds them in the same place is the same edge.
    """
    found: dict[tuple[str, str], list[Change]] = {}
    uses: dict[tuple[str, str], list[tuple[str, int]]] = {}
    ((a, b),) = zip(ours.outputs, theirs.outputs, strict=True)
    waiting = [(a.name, b.name)]
    makers = ours.producers(), theirs.producers()
    while waiting:
        pair = waiting.pop()
        if pair in found:
            continue
        one, other = makers[0].get(pair[0]), makers[1].get(pair[1])
        if one is not None and _widens(one) and not _widens(other):  # a file in another precision
            found[pair], following = [], (one.inputs[0], pair[1])
            uses.setdefault(following, []).extend(uses.get(pair, ()))
            waiting.append(following)
        elif other is not None and _widens(other) and not _widens(one):
            found[pair], following = [], (pair[0], other.inputs[0])
            uses.setdefault(following, []).append((other.outputs[0], 0))
            waiting.append(following)
        elif one is None and other is None:
            found[pair] = _constants(ours, theirs, *pair)
        elif one is None or other is None or not _same_kind(one, other, pair):
            found[pair] = [_rewired(one, other, pair)]
            waiting += [(name, name) for name in _anchors(ours, theirs, *pair)]
        elif one.inputs != other.inputs and Counter(one.inputs) == Counter(other.inputs):
            why = f"the inputs of {_told(one, '')} are in another order"
            found[pair] = [Change(_name(one), why, *pair)]
            waiting += [(name, name) for name in one.inputs if name]
        else:
            found[pair] = _attributes(one, other)
            for i, edges in enumerate(zip(one.inputs, other.inputs, strict=True)):
                if edges[0]:
                    uses.setdefault(edges, []).append((other.outputs[0], i))
                    waiting.append(edges)
    place = {name: i for i, name in enumerate(makers[1])}
    several = [
        change if change.attribute else replace(change, uses=tuple(uses.get(pair, ())))
        for pair, group in found.items()
        for change in group
    ]
    return sorted(several, key=lambda change: place.get(change.theirs, -1))


def put_back(ours: Graph, theirs: Graph, some: Sequence[Change]) -> Graph:
    """The second graph with some changes undone."""
    fed = {v.name for v in (*ours.inputs, *theirs.inputs)}
    suffix, makers = unused_suffix(theirs, "reference"), ours.producers()
    ends, attributes = {}, {}
    anchors: dict[str, str] = {}
    for change in some:
        if change.attribute:
            attributes[change.theirs, change.attribute] = makers[change.ours].attributes
        else:
            ends.update(dict.fromkeys(change.uses or [("", 0)], change.ours))
            anchors.update({k: k for k in _anchors(ours, theirs, change.ours, change.theirs)})

    def brought(name: str) -> str:
        return anchors.get(name) or (name if not name or name in fed else name + suffix)

    nodes = [
        renamed(node, brought, {}) for node in ours.nodes if not anchors.keys() & {*node.outputs}
    ]
    for node in theirs.nodes:
        first = node.outputs[0]
        inputs = (
            brought(ends[first, i]) if (first, i) in ends else name
            for i, name in enumerate(node.inputs)
        )  # fmt: skip
        values = dict(node.attributes)
        for (edge, name), before in attributes.items():
            if edge == first:
                values.pop(name, None)
                values.update({name: before[name]} if name in before else {})
        nodes.append(replace(node, inputs=tuple(inputs), attributes=values))
    initializers = {brought(k): v for k, v in ours.initializers.items()}
    for change in some:
        a, b = (full(g.constants.get(n)) for g, n in ((ours, change.ours), (theirs, change.theirs)))
        if a is not None and b is not None:
            initializers[brought(change.ours)] = _in_precision_of(b, a)
    made = replace(
        theirs, nodes=tuple(nodes), values={}, opsets={**ours.opsets, **theirs.opsets},
        initializers={**initializers, **theirs.initializers},
    )  # fmt: skip
    if ("", 0) in ends:
        made = _ending(made, brought(ends["", 0]))
    return drop_dead(sort_nodes(made))


def _anchors(ours: Graph, theirs: Graph, one: str, other: str) -> list[str]:
    """The nearest edges before ``one`` that both graphs have, made by nodes of one kind.

    None of them is computed from ``other`` in the second graph.
    """
    makers = ours.producers(), theirs.producers()
    found: dict[str, None] = {}
    seen, waiting = {one}, [one]
    while waiting:
        node = makers[0].get(waiting.pop())
        for name in () if node is None else reads(node):
            if name in seen:
                continue
            seen.add(name)
            maker, counterpart = makers[0].get(name), makers[1].get(name)
            if (
                maker and counterpart and _same_kind(maker, counterpart, (name, name))
                and not _depends(theirs, name, other)
            ):  # fmt: skip
                found[name] = None
            else:
                waiting.append(name)
    return list(found)


def _depends(graph: Graph, edge: str, on: str) -> bool:
    makers = graph.producers()
    seen, waiting = {edge}, [edge]
    while waiting and on not in seen:
        node = makers.get(waiting.pop())
        fresh = [] if node is None else [name for name in reads(node) if name not in seen]
        seen.update(fresh)
        waiting += fresh
    return on in seen and on != edge


def _ending(graph: Graph, edge: str) -> Graph:
    """The graph whose one output is an edge under the output's name."""
    (output,) = graph.outputs
    suffix = unused_suffix(graph, "before")
    names = {edge: output.name, output.name: output.name + suffix}

    def rename(name: str) -> str:
        return names.get(name, name)

    return replace(
        graph,
        nodes=tuple(renamed(node, rename, {}) for node in graph.nodes),
        initializers={rename(name): value for name, value in graph.initializers.items()},
    )


def _widens(node: Node | None) -> bool:
    """Whether a node does nothing but cast to a float type."""
    return (
        node is not None and node.op_type == "Cast" and is_floating(dtype_of(node.attributes["to"]))
    )


def _same_kind(one: Node, other: Node, pair: tuple[str, str]) -> bool:
    kinds = [
        (n.op_type, n.domain, len(n.inputs), [bool(i) for i in n.inputs]) for n in (one, other)
    ]
    return kinds[0] == kinds[1] and one.outputs.index(pair[0]) == other.outputs.index(pair[1])


def _rewired(one: Node | None, other: Node | None, pair: tuple[str, str]) -> Change:
    before, now = (_told(n, name) for n, name in ((one, pair[0]), (other, pair[1])))
    name = pair[1] if one is None else _name(one)
    return Change(name, f"{now} stands in the place of {before}", *pair)


def _told(node: Node | None, edge: str) -> str:
    return f"{edge!r}" if node is None else f"{node.operator} {_name(node)!r}"


def _constants(ours: Graph, theirs: Graph, one: str, other: str) -> list[Change]:
    a, b = (full(g.constants.get(name)) for g, name in ((ours, one), (theirs, other)))
    if a is None or b is None:
        if one == other and a is b:
            return []
        return [Change(other, f"{other!r} is read instead of {one!r}", one, other)]
    before = _in_precision_of(b, a)
    if before.dtype == b.dtype and np.array_equal(before, b, equal_nan=is_floating(b.dtype)):
        return []
    told = difference_told(before, b) or "is rounded otherwise"
    return [Change(other, f"the constant {other!r} {told}", one, other)]


def _attributes(one: Node, other: Node) -> list[Change]:
    ours, theirs = bind(one).keywords, bind(other).keywords
    graphs = {
        name
        for name in one.subgraphs.keys() | other.subgraphs.keys()
        if not _equal_graphs(one.subgraphs.get(name), other.subgraphs.get(name))
    }
    values = {
        name for name in ours.keys() | theirs.keys() if not _equal(ours.get(name), theirs.get(name))
    }
    return [
        Change(
            f"{_name(one)}.{name}",
            f"{name} of {_told(one, '')} is "
            + ("another" if name in graphs else f"{theirs.get(name)} instead of {ours.get(name)}"),
            one.outputs[0], other.outputs[0], attribute=name,
        )
        for name in sorted(graphs | values)
    ]  # fmt: skip


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(np.array_equal(one, other))


def _equal_graphs(one: Graph | None, other: Graph | None) -> bool:
    if one is None or other is None or str(one) != str(other):
        return False
    pairs: Mapping[str, Any] = other.initializers
    values = ((full(v), full(pairs[k])) for k, v in one.initializers.items())
    return all(a is not None and b is not None and np.array_equal(a, b) for a, b in values)


def _name(node: Node) -> str:
    return node.name or node.outputs[0]


def _in_precision_of(b: Array, a: Array) -> Array:
    """A float constant in the type of another; what is too large for that is as in the other."""
    if a.dtype == b.dtype or not (is_floating(a.dtype) and is_floating(b.dtype)):
        return a
    with np.errstate(over="ignore"):
        made = a.astype(b.dtype)
    if a.shape != b.shape:
        return made
    wide = made.astype(np.float64)
    return np.where(np.isinf(wide) & np.isfinite(a.astype(np.float64)), b, made)
