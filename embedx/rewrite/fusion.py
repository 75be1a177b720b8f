"""Nodes that together compute one formula become one node, as onnxruntime's optimizer does it.

What comes out are operators of the standard and of ``com.microsoft``, and in the domain ``embedx``
two that no operator of theirs is. A fused node keeps what it stands for as its ``literal`` graph:
its kernel computes what it is made for (float32, vectors along the last axis), and hands everything
else back to that graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from embedx.model.graph import Array, Graph, Node, SparseTensor, Value, captures
from embedx.rewrite.normal import drop_dead, renamed
from embedx.rewrite.patterns import Formula, Match, Patterns
from embedx.rewrite.rule import Rule

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Found:
    """Where a formula was found: the edges and numbers of its names, and its last node."""

    patterns: Patterns
    match: Match
    root: Node

    def edges(self, *names: str) -> list[str]:
        """The edge of each name, ``""`` where the formula does not have the name."""
        return [self.match.edges.get(name, "") for name in names]

    def number(self, name: str) -> float:
        """The number that a name stands for."""
        return self.match.numbers[name]

    def nodes(self, *op_types: str) -> list[Node]:
        """The nodes of these operators that the formula covers, in order."""
        nodes = (self.patterns.graph.nodes[i] for i in sorted(self.match.nodes))
        return [node for node in nodes if node.op_type in op_types]

    def are_vectors(self, *edges: str) -> bool:
        """Whether the edges that there are lead to constants of one axis and several elements."""
        weights = (self.patterns.constant(edge) for edge in edges if edge)
        return all(isinstance(w, np.ndarray) and w.ndim == 1 and w.size > 1 for w in weights)

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        domain: str = "",
        opset: int = 1,
        **attributes: Any,
    ) -> Node:
        """A node in place of the formula's last one."""
        root = self.root
        return Node(
            op_type, tuple(inputs), root.outputs[:1], attributes, domain, root.name,
            opset=opset, index=root.index,
        )  # fmt: skip


Build: TypeAlias = Callable[[Found], "Node | None"]
"""The node that stands for what was found; ``None`` leaves it alone."""


def fusion(
    *formulas: Formula, examples: Sequence[str], bound: float = 0.0
) -> Callable[[Build], Rule]:
    """Make a rule of a function that builds the node for any of the formulas."""

    def register(build: Build) -> Rule:
        def rewrite(graph: Graph) -> Graph:
            return _fused(graph, formulas, build)

        return Rule(build.__name__, build.__doc__ or "", rewrite, bound, tuple(examples))

    return register


def _fused(graph: Graph, formulas: Sequence[Formula], build: Build) -> Graph:
    patterns = Patterns(graph)
    covered: set[int] = set()
    replaced: dict[int, Node] = {}
    # From the end, so that the largest part of a nested formula is seen first.
    for place in reversed(range(len(graph.nodes))):
        root = graph.nodes[place]
        for formula in formulas if place not in covered else ():
            match = patterns.find(formula, root.outputs[0])
            if match is None or not covered.isdisjoint(match.nodes):
                continue
            built = build(Found(patterns, match, root))
            if built and _takes_from_inside(built, graph, match):
                continue
            fused = built and standing_for(patterns, match.nodes, built)
            if fused:
                replaced[place] = fused
                covered |= match.nodes
                break
    if not replaced:
        return graph
    nodes = (
        replaced.get(i, node)
        for i, node in enumerate(graph.nodes)
        if i in replaced or i not in covered
    )
    return drop_dead(replace(graph, nodes=tuple(nodes)))


def _takes_from_inside(built: Node, graph: Graph, match: Match) -> bool:
    """Whether a name of the formula is an edge inside it, as in ``p + p`` for scores and mask."""
    return any(not set(graph.nodes[i].outputs).isdisjoint(built.inputs) for i in match.nodes)


def with_replaced(graph: Graph, replaced: Mapping[int, Sequence[Node]]) -> Graph:
    """The graph with other nodes, or none, where nodes stood at these places."""
    nodes = (n for place, node in enumerate(graph.nodes) for n in replaced.get(place, (node,)))
    return replace(graph, nodes=tuple(nodes)) if replaced else graph


def standing_for(
    patterns: Patterns, places: Collection[int], built: Node, *more: Node
) -> Node | None:
    """The built node with the nodes at these places, and ``more``, as what it stands for.

    None if they take more than it does.
    """
    nodes: list[Node] = []
    initializers: dict[str, Array | SparseTensor] = {}
    for node in (patterns.graph.nodes[i] for i in sorted(places)):
        if node.literal is None:
            nodes.append(node)
            continue
        # A rule may have given the node other inputs since it was built.
        names = {v.name: edge for v, edge in zip(node.literal.inputs, node.inputs, strict=True)}
        nodes += (_with_edges(inner, names) for inner in node.literal.nodes)
        initializers.update(node.literal.initializers)
    graph = Graph(
        built.name, tuple(map(Value, built.inputs)), tuple(map(Value, built.outputs)),
        (*nodes, *more), initializers,
    )  # fmt: skip
    for name in captures(graph):
        value = patterns.value(name)
        if value is None:
            return None
        initializers[name] = value
    return replace(built, literal=graph)


def _with_edges(node: Node, names: Mapping[str, str]) -> Node:
    return renamed(node, lambda edge: names.get(edge, edge), {})
