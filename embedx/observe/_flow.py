"""What flows where in a graph: fixed edges, shapes, types, and the ways from edges to an edge."""

from __future__ import annotations

from collections.abc import Iterable

from embedx.errors import ModelError
from embedx.model.graph import Graph, Node, TensorType, Value, reads
from embedx.rewrite.element_types import FLOATS, element_types
from embedx.rewrite.normal import constants_as_initializers
from embedx.rewrite.shape_rules import edges_of
from embedx.rewrite.sizes import Shape, Sizes

_PRODUCTS = ("MatMul", "Gemm", "Conv", "Einsum")
_NO_DATA = ("Shape", "Size")
"""A shape is no data: it would link what shares nothing but its size."""
MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear")
_SAME = (*MOVES, *ROUNDING, "Identity", "Cast", "Dropout", "DequantizeLinear")
"""Operators that show the same numbers differently."""


class Flow:
    """A sorted graph without local functions, and what is known of it without running it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = constants_as_initializers(graph)
        self.makers = self.graph.producers()
        self.readers = self.graph.consumers()
        sizes = Sizes()
        feeds = {v.name: _declared(v, sizes) for v in self.graph.feeds}
        self._edges = edges_of(self.graph, feeds, sizes)
        self._hints = {**self.graph.values, **{v.name: v.type for v in self.graph.outputs}}
        self._fed = set(feeds)
        for node in self.graph.nodes:
            if not self._fed.isdisjoint(reads(node)):
                self._fed.update(node.outputs)
        try:
            self._types = element_types(self.graph)
        except (ModelError, LookupError, ValueError):  # it cannot run, but is seen all the same
            self._types = {}

    def beside(self, edge: str) -> list[str]:
        """All outputs of the node that makes an edge; some nodes normalise what they add up."""
        maker = self.makers.get(edge)
        return [edge] if maker is None else [name for name in maker.outputs if name]

    def is_fixed(self, edge: str) -> bool:
        """Whether an edge depends on no feed at all."""
        return edge not in self._fed

    def is_rounded(self, edge: str) -> bool:
        """Whether an edge is known to hold integers."""
        node = self.makers.get(edge)
        while edge not in self._types and node is not None and node.op_type in MOVES:
            edge = node.inputs[0]
            node = self.makers.get(edge)
        if edge in self._types:
            return self._types[edge] not in FLOATS
        return node is not None and node.op_type.startswith("QLinear")

    def shape(self, edge: str) -> Shape:
        """The shape of an edge, by the operators' rules or else as the file declares it."""
        shape, hint = self._edges.shape(edge), self._hints.get(edge)
        if shape is None and isinstance(hint, TensorType) and hint.shape is not None:
            return tuple("?" if size is None else size for size in hint.shape)
        return shape

    def has_tokens_first(self, edge: str) -> bool:
        """Whether the axes of the batch and the tokens are known to be the other way round."""
        shape = (self.shape(edge) or ())[:2]
        feeds = (self.shape(value.name) for value in self.graph.feeds)
        ids = next((size for size in feeds if size is not None and len(size) == 2), ())
        return shape != ids and shape[::-1] == ids

    def rank(self, edge: str) -> int | None:
        """How many axes an edge has, if that is known."""
        shape = self.shape(edge)
        return None if shape is None else len(shape)

    def is_product(self, node: Node) -> bool:
        """Whether a node multiplies matrices."""
        count = 4 if node.op_type.startswith("QLinear") else 2
        return any(part in node.op_type for part in _PRODUCTS) and len(node.inputs) >= count

    def is_linear(self, node: Node) -> bool:
        """Whether a node multiplies by a matrix of weights."""
        fixed = (name for name in node.inputs if name and self.is_fixed(name))
        return self.is_product(node) and any(self.rank(name) not in (0, 1) for name in fixed)


def _declared(value: Value, sizes: Sizes) -> Shape:
    if not isinstance(value.type, TensorType) or value.type.shape is None:
        return None
    return tuple(sizes.new() if size is None else size for size in value.type.shape)


class Ways:
    """The nodes on all ways from some edges to another one, in order, and the edges there."""

    def __init__(self, flow: Flow, starts: Iterable[str], end: str) -> None:
        self.flow = flow
        self.end = end
        reached, nodes = set(starts), list[Node]()
        for node in flow.graph.nodes:
            if node.op_type not in _NO_DATA and not reached.isdisjoint(reads(node)):
                # The scale that a quantization finds is no way for the numbers themselves.
                made = node.outputs[:1] if node.op_type in ROUNDING else node.outputs
                reached.update(name for name in made if name)
                nodes.append(node)
        needed, kept = {end}, list[Node]()
        for node in reversed(nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(reads(node))
                kept.append(node)
        self.nodes = kept[::-1]
        self._edges = reached & needed
        self._bits = {name: 1 << i for i, name in enumerate(self._edges)}
        self._above = dict(self._bits)
        """For each edge those from which it is made, itself included, as a set of bits."""
        for node in self.nodes:
            above = 0
            for name in self.data(node):
                above |= self._above[name]
            for name in self._edges.intersection(node.outputs):
                self._above[name] |= above

    def data(self, node: Node) -> list[str]:
        """The inputs of a node that come along the ways."""
        return [name for name in dict.fromkeys(reads(node)) if name in self._edges]

    def bits(self, edges: Iterable[str]) -> int:
        """Some of the edges as a set of bits."""
        return sum(self._bits[name] for name in set(edges) & self._edges)

    def leads(self, edge: str | int, end: str, beside: str = "") -> bool:
        """Whether a way leads from an edge, or one of some, to another, and none to ``beside``."""
        bits = self._bits.get(edge, 0) if isinstance(edge, str) else edge
        return bool(bits & self._above.get(end, 0) & ~self._above.get(beside, 0))

    def maker(self, edge: str) -> Node | None:
        """The node on the ways that makes an edge."""
        node = self.flow.makers.get(edge)
        return node if node is not None and edge in self._edges and self.data(node) else None

    def step(self, edge: str, goal: str) -> tuple[Node, str] | None:
        """The one node, and its one output, through which everything runs from edge to goal."""
        found = [
            (node, name)
            for node in self.flow.readers.get(edge, ())
            if node.op_type not in _NO_DATA and edge != goal
            for name in node.outputs
            if self.leads(name, goal)
        ]
        return found[0] if len(found) == 1 else None

    def is_read_once(self, edge: str) -> bool:
        """Whether only one node reads the numbers of an edge."""
        readers = self.flow.readers.get(edge, ())
        return sum(node.op_type not in _NO_DATA for node in readers) == 1

    def linears(self, edge: str) -> list[Node]:
        """The products with weights that are nearest before an edge."""
        waiting, passed, found = [edge], set[str](), list[Node]()
        while waiting:
            name = waiting.pop()
            node = self.maker(name)
            if node is None or name in passed:
                continue
            passed.update(node.outputs)
            if self.flow.is_linear(node):
                found.append(node)
            else:
                waiting.extend(self.data(node))
        return found

    def same(self, edge: str) -> list[str]:
        """The edges that carry the same numbers, from an edge back to the first one.

        They may be moved there, or still be rounded to integers.
        """
        found = [edge]
        while (node := self.maker(edge)) is not None and node.op_type in _SAME:
            edge = node.inputs[0]
            found.append(edge)
        return found

    def origin(self, edge: str) -> str:
        """The first edge that carries the same numbers as floats."""
        floats = [name for name in self.same(edge) if not self.flow.is_rounded(name)]
        return floats[-1] if floats else edge
