"""Which rule makes the shapes of which operator's outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from embedx.model.graph import Node
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape

Rule: TypeAlias = Callable[[Edges, Node, list[Shape]], Iterable[Shape]]
"""From the shapes of a node's inputs to those of its outputs, as many as are known."""


RULES: dict[str, Rule] = {}


def rule(names: str) -> Callable[[Rule], Rule]:
    """Register a function for operators, by their names with domains, separated by spaces."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


def at(shapes: Sequence[Shape], place: int) -> Shape:
    """The shape of an input; None if it is not known, or not there."""
    return shapes[place] if place < len(shapes) else None


def axis_of(node: Node, rank: int, default: int = 0) -> int:
    """The attribute ``axis``, from the front; what lies outside becomes 0."""
    axis = int(node.attributes.get("axis", default))
    axis += rank if axis < 0 else 0
    return axis if 0 <= axis < rank else 0
