"""Formulas as patterns: the nodes of a graph that together compute one.

A pattern reads like the formula in the paper, ``x * 0.5 * (1 + erf(x * 2**-0.5))``. Exporters
write the same formula in many ways, so products and sums are compared in a normal form: a number,
and factors with their powers or terms with their signs, in any order and nesting. Quotients,
roots, reciprocals and constant powers are factors; differences and negations are terms.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from embedx.graph import Array, Graph, Node, SparseTensor, reads


class Formula:
    """What a pattern is made of; arithmetic on formulas makes larger ones."""

    def __add__(self, other: Formula | float) -> Formula:
        return _joined(Sum, self, other, 1.0)

    def __radd__(self, other: float) -> Formula:
        return self + other

    def __sub__(self, other: Formula) -> Formula:
        return _joined(Sum, self, other, -1.0)

    def __mul__(self, other: Formula | float) -> Formula:
        return _joined(Product, self, other, 1.0)

    def __rmul__(self, other: float) -> Formula:
        return self * other

    def __truediv__(self, other: Formula) -> Formula:
        return _joined(Product, self, other, -1.0)

    def __pow__(self, exponent: float) -> Formula:
        return Product(1.0, ((self, float(exponent)),))


@dataclass(frozen=True, eq=False)
class Edge(Formula):
    """Any edge, the same one wherever the name occurs; a ``weight`` is an initializer."""

    name: str
    weight: bool = False


@dataclass(frozen=True, eq=False)
class Number(Formula):
    """Any number, as a term or factor of which there may be one."""

    name: str


@dataclass(frozen=True, eq=False)
class Call(Formula):
    """A node's only used output, its first inputs, and what else must be true of it."""

    op_type: str
    inputs: tuple[Formula, ...]
    domain: str = ""
    where: Callable[[Graph, Node], bool] = lambda graph, node: True


@dataclass(frozen=True, eq=False)
class _Combination(Formula):
    number: float | str
    """Its value; a name stands for any."""
    parts: tuple[tuple[Formula, float], ...]


class Product(_Combination):
    """A number times factors with powers."""


class Sum(_Combination):
    """A number plus terms with signs."""


def call(op_type: str, *inputs: Formula, domain: str = "") -> Call:
    """The formula of one node.

    >>> call("Erf", Edge("x")).op_type
    'Erf'
    """
    return Call(op_type, inputs, domain)


def _joined(kind: type[_Combination], a: Formula, b: Formula | float, sign: float) -> Formula:
    neutral = 0.0 if kind is Sum else 1.0
    number: float | str = neutral
    parts: list[tuple[Formula, float]] = []
    for operand, power in ((a, 1.0), (b, sign)):
        if isinstance(operand, Number):
            number = operand.name
        elif not isinstance(operand, Formula):
            number = float(operand)
        elif isinstance(operand, kind):
            number = operand.number if operand.number != neutral else number
            parts += [(part, p * power) for part, p in operand.parts]
        else:
            parts.append((operand, power))
    return kind(number, tuple(parts))


@dataclass(frozen=True)
class Match:
    """What a formula's names stand for, and the nodes that it covers."""

    edges: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    nodes: frozenset[int] = frozenset()
    """Places in the graph's nodes."""

    def _with(self, name: str, edge: str) -> Match | None:
        if name in self.edges:
            return self if self.edges[name] == edge else None
        return replace(self, edges={**self.edges, name: edge})

    def _over(self, nodes: frozenset[int]) -> Match:
        return replace(self, nodes=self.nodes | nodes)


_DEEPEST = 8
"""Nodes on top of each other in a sum or a product; no formula needs more."""
_Parts: TypeAlias = tuple[float, list[tuple[str, float]], frozenset[int]]


class Patterns:
    """A graph in which formulas can be found, their numbers within a relative ``tolerance``."""

    def __init__(self, graph: Graph, tolerance: float) -> None:
        self.graph = graph
        self._tolerance = tolerance
        self.places = {name: i for i, n in enumerate(graph.nodes) for name in n.outputs if name}
        self._uses = Counter(name for node in graph.nodes for name in reads(node))
        self._outputs = {v.name for v in graph.outputs}
        self._readers: dict[str, set[int]] = {}
        for i, node in enumerate(graph.nodes):
            for name in reads(node):
                self._readers.setdefault(name, set()).add(i)

    def find(self, formula: Formula, root: str) -> Match | None:
        """The nodes that compute ``formula`` into ``root`` and, inside, nothing for others."""
        for match in self._match(formula, root, Match()):
            if match.nodes and self._closed(match.nodes, root):
                return match
        return None

    def _closed(self, nodes: frozenset[int], root: str) -> bool:
        made = {name for i in nodes for name in self.graph.nodes[i].outputs if name} - {root}
        return made.isdisjoint(self._outputs) and all(
            self._readers.get(name, nodes) <= nodes for name in made
        )

    def number(self, edge: str) -> float | None:
        """The edge's value if it is a constant of one element that leaves shapes as they are."""
        value = self.graph.initializers.get(edge)
        if not isinstance(value, np.ndarray) or value.size != 1 or value.ndim > 1:
            return None
        return float(value.reshape(-1)[0]) if value.dtype.kind in "fiu" else None

    def weight(self, edge: str) -> Array | SparseTensor | None:
        """The edge's value if it is a constant."""
        return self.graph.initializers.get(edge)

    def _match(self, formula: Formula, edge: str, found: Match) -> Iterator[Match]:
        if isinstance(formula, Edge):
            bound = found._with(formula.name, edge)
            if bound and (not formula.weight or edge in self.graph.initializers):
                yield bound
        elif isinstance(formula, Call):
            yield from self._match_call(formula, edge, found)
        elif isinstance(formula, _Combination):
            unfold = self._factors if isinstance(formula, Product) else self._terms
            number, parts, nodes = unfold(edge, 1.0)
            if nodes and len(parts) == len(formula.parts):
                yield from self._match_parts(formula, number, parts, found._over(nodes))

    def _match_call(self, formula: Call, edge: str, found: Match) -> Iterator[Match]:
        place = self.places.get(edge)
        if place is None:
            return
        node = self.graph.nodes[place]
        same = (node.op_type, node.domain) == (formula.op_type, formula.domain)
        if not same or len(node.inputs) < len(formula.inputs) or edge != node.outputs[0]:
            return
        if not formula.where(self.graph, node):
            return
        matches: Iterator[Match] = iter((found._over(frozenset((place,))),))
        for inner, name in zip(formula.inputs, node.inputs, strict=False):
            matches = self._each(matches, inner, name)
        yield from matches

    def _each(self, matches: Iterator[Match], formula: Formula, edge: str) -> Iterator[Match]:
        for match in matches:
            yield from self._match(formula, edge, match)

    def _match_parts(
        self, formula: _Combination, number: float, parts: list[tuple[str, float]], found: Match
    ) -> Iterator[Match]:
        if isinstance(formula.number, str):
            found = replace(found, numbers={**found.numbers, formula.number: number})
        elif not math.isclose(number, formula.number, rel_tol=self._tolerance):
            return
        for order in itertools.permutations(parts):
            if all(p == q for (_, p), (_, q) in zip(order, formula.parts, strict=True)):
                matches: Iterator[Match] = iter((found,))
                for (inner, _), (edge, _) in zip(formula.parts, order, strict=True):
                    matches = self._each(matches, inner, edge)
                yield from matches

    def _factors(self, edge: str, power: float, depth: int = 0) -> _Parts:
        """The number, the factors with their powers, and the nodes of a product to a power."""
        number, node = self.number(edge), self._inner(edge, depth)
        if number is not None and (number > 0 or power in (1, -1)) and number:
            return number**power, [], frozenset()
        exponents: tuple[float, ...] = ()
        if node is not None:
            kind, *inputs = node.op_type, *node.inputs
            exponents = {
                "Mul": (1, 1), "Div": (1, -1), "Sqrt": (0.5,), "Reciprocal": (-1,),
            }.get(kind, ())  # fmt: skip
            if kind == "Pow" and (exponent := self.number(inputs[1])) is not None:
                exponents = (exponent,)
        if not exponents:
            return 1.0, [(edge, power)], frozenset()
        total, powers, nodes = 1.0, Counter[str](), frozenset((self.places[edge],))
        for name, exponent in zip(inputs, exponents, strict=False):
            factor, parts, inner = self._factors(name, power * exponent, depth + 1)
            total, nodes = total * factor, nodes | inner
            for part, p in parts:
                powers[part] += p  # type: ignore[assignment]
        return total, list(powers.items()), nodes

    def _terms(self, edge: str, sign: float, depth: int = 0) -> _Parts:
        """The number, the terms with their signs, and the nodes of a sum."""
        number, node = self.number(edge), self._inner(edge, depth)
        if number is not None:
            return sign * number, [], frozenset()
        signs = {"Add": (1, 1), "Sub": (1, -1), "Neg": (-1,)}.get(node.op_type if node else "", ())
        if node is None or not signs:
            return 0.0, [(edge, sign)], frozenset()
        total, terms, nodes = 0.0, list[tuple[str, float]](), frozenset((self.places[edge],))
        for name, own in zip(node.inputs, signs, strict=True):
            term, parts, inner = self._terms(name, sign * own, depth + 1)
            total, nodes = total + term, nodes | inner
            terms += parts
        return total, terms, nodes

    def _inner(self, edge: str, depth: int) -> Node | None:
        """The node behind the edge, unless something else needs the edge as well."""
        shared = self._uses[edge] > 1 or edge in self._outputs
        if edge not in self.places or (shared and depth > 0) or depth > _DEEPEST:
            return None
        node = self.graph.nodes[self.places[edge]]
        return node if node.domain == "" else None
