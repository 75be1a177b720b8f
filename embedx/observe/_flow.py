"""What flows where in a graph: its fixed edges, its shapes, and stretches between two edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from embedx.model.graph import Graph, Node, TensorType, Value, reads
from embedx.rewrite.normal import constants_as_initializers
from embedx.rewrite.shape_rules import edges_of
from embedx.rewrite.sizes import Shape, Sizes

_PRODUCTS = ("MatMul", "Gemm", "Conv", "Einsum")
_NO_DATA = ("Shape", "Size")
"""A shape is no data: it would link what shares nothing but its size."""
SAME = frozenset(
    "Identity Cast Dropout Transpose Reshape Flatten Squeeze Unsqueeze DequantizeLinear".split()
)
"""Operators that show the same numbers differently."""
_ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear")


class Flow:
    """A sorted graph, and what can be known of its edges without running it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = constants_as_initializers(graph)
        self.makers = self.graph.producers()
        self.readers = self.graph.consumers()
        sizes = Sizes()
        self._edges = edges_of(
            self.graph, {v.name: _shape(v, sizes) for v in self.graph.feeds}, sizes
        )
        self._fed = {v.name for v in self.graph.feeds}
        for node in self.graph.nodes:
            if not self._fed.isdisjoint(reads(node)):
                self._fed.update(node.outputs)

    def is_fixed(self, edge: str) -> bool:
        """Whether an edge depends on no feed at all."""
        return edge not in self._fed

    def shape(self, edge: str) -> Shape:
        """The shape of an edge, by the operators' rules or else as the file declares it."""
        shape = self._edges.shape(edge)
        hint = self.graph.values.get(edge)
        outputs = {v.name: v.type for v in self.graph.outputs}
        if shape is None:
            hint = outputs.get(edge, hint)
            if isinstance(hint, TensorType) and hint.shape is not None:
                return tuple("?" if size is None else size for size in hint.shape)
        return shape

    def is_product(self, node: Node) -> bool:
        """Whether a node multiplies matrices."""
        return any(part in node.op_type for part in _PRODUCTS)

    def is_linear(self, node: Node) -> bool:
        """Whether a node multiplies by a matrix of weights."""
        if not self.is_product(node):
            return False
        fixed = (self.shape(name) for name in node.inputs if name and self.is_fixed(name))
        return any(shape is None or len(shape) > 1 for shape in fixed)


class Stretch:
    """The nodes on the ways from some edges to another one, and the edges on these ways."""

    def __init__(self, flow: Flow, starts: Iterable[str], end: str) -> None:
        self.flow = flow
        self.end = end
        reached, nodes = set(starts), list[Node]()
        self.starts = frozenset(reached)
        for node in flow.graph.nodes:
            if node.op_type not in _NO_DATA and not reached.isdisjoint(reads(node)):
                # The scale that a quantization finds is no way for the numbers themselves.
                made = node.outputs[:1] if node.op_type in _ROUNDING else node.outputs
                reached.update(name for name in made if name)
                nodes.append(node)
        needed, kept = {end}, list[Node]()
        for node in reversed(nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(reads(node))
                kept.append(node)
        self.nodes = kept[::-1]
        self.edges = reached & needed
        self._before: dict[str, frozenset[str]] = {}
        for node in self.nodes:
            above = frozenset[str]().union(*map(self.before, self.data(node)))
            self._before.update({name: above | {name} for name in node.outputs})

    def data(self, node: Node) -> list[str]:
        """The inputs of a node that come along the ways."""
        return [name for name in dict.fromkeys(reads(node)) if name in self.edges]

    def before(self, edge: str) -> frozenset[str]:
        """The edges from which an edge is made, itself included."""
        return self._before.get(edge, frozenset((edge,)))

    def maker(self, edge: str) -> Node | None:
        """The node on the ways that makes an edge."""
        return self.flow.makers.get(edge) if edge in self._before else None

    def next(self, edge: str, towards: str) -> tuple[Node, str] | None:
        """The one node, and its one output, through which all ways to another edge run."""
        if edge == towards:
            return None
        goal = self.before(towards)
        found = [
            (node, name)
            for node in self.flow.readers.get(edge, ())
            if edge in self.data(node)
            for name in node.outputs
            if name in goal and name in self.edges
        ]
        return found[0] if len(found) == 1 else None

    def linears_behind(self, edge: str) -> list[Node]:
        """The products with weights that are nearest before an edge."""
        return list(self._nearest(edge, set()))

    def _nearest(self, edge: str, seen: Set[str]) -> Iterator[Node]:
        waiting = [edge]
        passed: set[str] = set(seen)
        while waiting:
            name = waiting.pop()
            node = self.maker(name)
            if node is None or name in passed:
                continue
            passed.update(node.outputs)
            if self.flow.is_linear(node):
                yield node
            else:
                waiting.extend(self.data(node))

    def origin(self, edge: str) -> str:
        """The first edge that carries the same numbers, before they were rounded or moved."""
        while (node := self.maker(edge)) is not None and (
            node.op_type in SAME or node.op_type in _ROUNDING
        ):
            edge = node.inputs[0]
        return edge


def _shape(value: Value, sizes: Sizes) -> Shape:
    if not isinstance(value.type, TensorType) or value.type.shape is None:
        return None
    return tuple(sizes.new() if size is None else size for size in value.type.shape)
