"""Nodes that need not run, since their results are there already. No other value changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from embedx.facts import element_types
from embedx.fusion import FUSED_DOMAIN
from embedx.graph import Graph, Node
from embedx.ops import dtype_of, resolve
from embedx.rewrite import renamed


def drop_identities(graph: Graph) -> Graph:
    """Without the nodes that hand on their first input: Identity, casts to the type that it has."""
    types = element_types(graph)
    return _replaced(graph, lambda node: node.inputs[:1] if _hands_on(node, types) else None)


def _replaced(graph: Graph, stand_ins: Callable[[Node], tuple[str, ...] | None]) -> Graph:
    """Without the nodes for whose outputs, as far as there are any, other edges stand in."""
    source: dict[str, str] = {}
    kept: list[Node] = []
    ends = {v.name for v in graph.outputs}
    for node in graph.nodes:
        node = renamed(node, lambda name: source.get(name, name), {}) if source else node
        others = stand_ins(node)
        if others is None or not ends.isdisjoint(node.outputs):
            kept.append(node)
        else:
            source.update(zip(node.outputs, others, strict=False))
    return replace(graph, nodes=tuple(kept))


def _hands_on(node: Node, types: Mapping[str, np.dtype[Any]]) -> bool:
    if node.domain or not node.inputs:
        return False
    if node.op_type == "Cast":
        return types.get(node.inputs[0]) == dtype_of(node.attributes["to"])
    inference = node.op_type == "Dropout" and node.opset >= 7 and len(node.inputs) < 3
    return node.op_type == "Identity" or (inference and not any(node.outputs[1:]))


def merge_equals(graph: Graph) -> Graph:
    """Without the nodes that do again what another did: one operator, inputs and attributes."""
    first: dict[Hashable, Node] = {}

    def earlier(node: Node) -> tuple[str, ...] | None:
        known = first.setdefault(_deed(node), node)
        return None if known is node else known.outputs

    return _replaced(graph, earlier)


def _deed(node: Node) -> Hashable:
    """Equal for two nodes only if their outputs are; the node itself if that cannot be told."""
    pure = node.domain == FUSED_DOMAIN or resolve(node.op_type, node.opset, node.domain).pure
    attributes = frozenset((k, repr(v)) for k, v in node.attributes.items() if _plain(v))
    if not pure or len(attributes) < len(node.attributes):
        return node
    wanted = tuple(map(bool, node.outputs))
    return node.domain, node.op_type, node.opset, node.inputs, attributes, wanted


def _plain(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return all(isinstance(item, int | float | str | bytes) for item in items)
