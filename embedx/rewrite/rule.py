"""Rewrites under oath: each says what it must know, and brings graphs that show it at work.

A rule changes how a graph is computed, never what: whatever rounding may differ is its ``bound``.
What it cannot know from the graph it leaves to the run, which goes back to the nodes as they were
written (``Node.literal``) when shapes or types turn out to be others. One test takes every rule's
examples, changes them in all the ways in which they could nearly match, and holds the rewritten
graph to the graph as it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from embedx.model.graph import Graph

Rewrite: TypeAlias = "Callable[..., Graph]"


@dataclass(frozen=True)
class Rule:
    """A rewrite of a sorted graph without local functions. Raises TypeError if it is no whole one.

    It can be called like the function that it was made from.
    """

    name: str
    needs: str
    """What becomes what, and what must be true of it."""
    rewrite: Rewrite
    bound: float
    """How far results may be off, relative to the largest one around; 0 for the same bits."""
    examples: tuple[str, ...]
    """Graphs in ONNX's text format in which the rule finds something to rewrite."""
    graph_by_graph: bool = True
    """Whether subgraphs are rewritten each on its own; else the rule looks into them itself."""

    def __post_init__(self) -> None:
        if not self.needs or not self.examples:
            raise TypeError(f"the rule {self.name} needs a docstring and examples")

    def __call__(self, graph: Graph, *options: Any) -> Graph:
        """The rewritten graph."""
        if self.graph_by_graph:
            return everywhere(lambda g: self.rewrite(g, *options), graph)
        return self.rewrite(graph, *options)


def rule(
    *examples: str, bound: float = 0.0, graph_by_graph: bool = True
) -> Callable[[Rewrite], Rule]:
    """Make a rule of a function from graph to graph."""

    def register(rewrite: Rewrite) -> Rule:
        purpose = rewrite.__doc__ or ""
        return Rule(rewrite.__name__, purpose, rewrite, bound, examples, graph_by_graph)

    return register


def everywhere(rewrite: Callable[[Graph], Graph], graph: Graph) -> Graph:
    """The graph rewritten, and in it the subgraphs of its nodes."""
    graph = rewrite(graph)
    if not any(node.subgraphs for node in graph.nodes):
        return graph
    nodes = []
    for node in graph.nodes:
        inner = {key: everywhere(rewrite, body) for key, body in node.subgraphs.items()}
        nodes.append(replace(node, attributes={**node.attributes, **inner}))
    return replace(graph, nodes=tuple(nodes))
