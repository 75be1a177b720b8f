"""Nodes that need not run, since their results are there already. No other value changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

from embedx.model.graph import FUSED_DOMAIN, Graph, Node
from embedx.ops import dtype_of, resolve
from embedx.rewrite.element_types import DType, element_types
from embedx.rewrite.normal import renamed
from embedx.rewrite.rule import rule


@rule(
    """g (float[B, T, 4] x) => (float[B, T, 4] y, int64[B, T] k) <float two = {2}> {
    i = Identity(x)  c = Cast<to = 1>(i)  d = Dropout(c)  y = Mul(d, two)
    a = ArgMax<axis = -1, keepdims = 0>(c)  e = Cast<to = 7>(a)  k = Add(e, e) }""",
)
def drop_identities(graph: Graph) -> Graph:
    """Without the nodes that hand on their first input.

    Identity, Dropout outside of training whose mask nobody reads, and casts to the type that an
    edge is known to have.
    """
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
    return replace(graph, nodes=tuple(kept)) if source else graph


def _hands_on(node: Node, types: Mapping[str, DType]) -> bool:
    if node.domain or not node.inputs:
        return False
    if node.op_type == "Cast":
        known = types.get(node.inputs[0])
        return known is not None and known == dtype_of(node.attributes["to"])
    inference = node.op_type == "Dropout" and node.opset >= 7 and len(node.inputs) < 3
    return node.op_type == "Identity" or (inference and not any(node.outputs[1:]))


@rule(
    """g (float[B, T, 4] x) => (float[B, T, 4] y) <float two = {2}> {
    a = Mul(x, two)  b = Mul(x, two)  c = Exp(a)  d = Exp(b)  y = Add(c, d) }""",
)
def merge_equals(graph: Graph) -> Graph:
    """Without the nodes that do again what another did.

    They are of one operator at one opset, with the same inputs and attributes and the same of their
    outputs wanted, and give equal results for equal inputs (no random numbers).
    """
    first: dict[Hashable, Node] = {}

    def earlier(node: Node) -> tuple[str, ...] | None:
        known = first.setdefault(_call(node), node)
        return None if known is node else known.outputs

    return _replaced(graph, earlier)


def _call(node: Node) -> Hashable:
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
