"""Formulas as patterns: the nodes of a graph that together compute one.

A pattern reads like the formula in the paper, ``x * 0.5 * (1 + erf(x * 2**-0.5))``. Exporters
write the same formula in many ways, so products and sums are compared in a normal form: a number,
and factors with their powers or terms with their signs, in any order and nesting. Quotients,
roots, reciprocals and constant powers are factors; differences and negations are terms. What holds
for numbers on paper only, and not for every float, is not used: the root of a square is ``|x|``,
the square of a root is NaN where the root is, and ``x + 1e9 - 1e9`` is not ``x``.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from embedx import ops
from embedx.model.graph import FUSED_DOMAIN, Array, Graph, Node, SparseTensor, reads

Behaviour: TypeAlias = "Callable[..., Any] | str"
"""An operator as it is at some opsets: a function of ``embedx.ops``, or a fused operator's name."""


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
    """A node's first output, its first inputs, and what must be true of it."""

    operators: frozenset[Behaviour]
    """The behaviours of which the node's is one."""
    inputs: tuple[Formula, ...]
    where: Callable[[Patterns, Node], bool]


@dataclass(frozen=True, eq=False)
class _Combination(Formula):
    number: float | str
    """Its value; a name stands for any."""
    parts: tuple[tuple[Formula, float], ...]


class Product(_Combination):
    """A number times factors with powers."""


class Sum(_Combination):
    """A number plus terms with signs."""


def _has_no_attributes(patterns: Patterns, node: Node) -> bool:
    return not node.attributes


def call(
    operator: Behaviour | tuple[Behaviour, ...],
    *inputs: Formula,
    where: Callable[[Patterns, Node], bool] = _has_no_attributes,
) -> Call:
    """The formula of one node of an operator, or of one of several, without attributes.

    A node with attributes is matched by a ``where`` that has looked at them.
    """
    several = operator if isinstance(operator, tuple) else (operator,)
    return Call(frozenset(map(_plain, several)), inputs, where)


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
_MODERATE = 2.0**24
"""Factors beyond this, or below its inverse, could overflow on the way that a graph computes."""
_INEXACT = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""How far a constant may be off, relatively, as its type has rounded it."""
_TOLERANCE = 2.0**-20
"""The same for all other types: exporters write constants with six or seven digits."""


@dataclass(frozen=True)
class _Expanded:
    """A product or a sum in normal form."""

    number: float
    parts: tuple[tuple[str, float], ...]
    """Edges with their powers, or with their signs."""
    nodes: frozenset[int] = frozenset()
    tolerance: float = _TOLERANCE
    numbers: int = 0
    """How many constants are in the number."""


class Patterns:
    """A graph without local functions, sorted, in which formulas can be found."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._constants = graph.constants
        self.places = {name: i for i, n in enumerate(graph.nodes) for name in n.outputs if name}
        self._behaviours = [_behaviour(n.op_type, n.opset, n.domain) for n in graph.nodes]
        self._outputs = {v.name for v in graph.outputs}
        self._readers: dict[str, set[int]] = {}
        self._uses: dict[str, int] = {}
        for i, node in enumerate(graph.nodes):
            for name in reads(node):
                self._readers.setdefault(name, set()).add(i)
                self._uses[name] = self._uses.get(name, 0) + 1

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

    def computes(self, place: int, operator: Behaviour) -> bool:
        """Whether the node at a place is one of an operator, as of its own opset."""
        return self._behaviours[place] == _plain(operator)

    def readers(self, edge: str) -> set[int]:
        """The places of the nodes that read an edge."""
        return self._readers.get(edge, set())

    def is_output(self, edge: str) -> bool:
        """Whether the graph gives the edge."""
        return edge in self._outputs

    def is_read_once(self, edge: str) -> bool:
        """Whether one node needs an edge, once, and nobody else does."""
        return self._uses.get(edge) == 1 and not self.is_output(edge)

    def only_reader(self, edge: str) -> int | None:
        """The place of the one node that reads an edge, once, where nobody else needs it."""
        return next(iter(self.readers(edge))) if self.is_read_once(edge) else None

    def constant(self, edge: str) -> Array | SparseTensor | None:
        """The edge's value if it is a constant, be it one of half precision that is cast."""
        value = self._constants.get(edge)
        place = self.places.get(edge)
        if place is not None and self._behaviours[place] is _CAST:
            node = self.graph.nodes[place]
            value = self._constants.get(node.inputs[0])
            widened = value is not None and value.dtype.name in _INEXACT
            return value if widened and node.attributes["to"] == _FLOAT else None
        return value

    def value(self, edge: str) -> Array | SparseTensor | None:
        """The same in the type that the edge has."""
        value = self.constant(edge)
        if isinstance(value, np.ndarray) and edge not in self._constants:
            return value.astype(np.float32)
        return value

    def number(self, edge: str) -> tuple[float, float] | None:
        """The edge's value and how far it may be off, if it is one number that keeps shapes.

        Such a constant has one element and at most one axis.
        """
        value = self.constant(edge)
        if not isinstance(value, np.ndarray) or value.size != 1 or value.ndim > 1:
            return None
        name = value.dtype.name
        if value.dtype.kind not in "fiu" and name not in _INEXACT:
            return None
        return float(value.reshape(-1)[0]), _INEXACT.get(name, _TOLERANCE)

    def _match(self, formula: Formula, edge: str, found: Match) -> Iterator[Match]:
        if isinstance(formula, Edge):
            bound = found._with(formula.name, edge)
            if bound and (not formula.weight or self.constant(edge) is not None):
                yield bound
        elif isinstance(formula, Call):
            yield from self._match_call(formula, edge, found)
        elif isinstance(formula, _Combination):
            unfold = self._factors if isinstance(formula, Product) else self._terms
            expanded = unfold(edge, 1.0)
            if expanded.nodes and len(expanded.parts) == len(formula.parts):
                yield from self._match_parts(formula, expanded, found._over(expanded.nodes))

    def _match_call(self, formula: Call, edge: str, found: Match) -> Iterator[Match]:
        place = self.places.get(edge)
        if place is None or self._behaviours[place] not in formula.operators:
            return
        node = self.graph.nodes[place]
        if len(node.inputs) < len(formula.inputs) or edge != node.outputs[0]:
            return
        if not formula.where(self, node):
            return
        matches: Iterator[Match] = iter((found._over(frozenset((place,))),))
        for inner, name in zip(formula.inputs, node.inputs, strict=False):
            matches = self._each(matches, inner, name)
        yield from matches

    def _each(self, matches: Iterator[Match], formula: Formula, edge: str) -> Iterator[Match]:
        for match in matches:
            yield from self._match(formula, edge, match)

    def _match_parts(
        self, formula: _Combination, expanded: _Expanded, found: Match
    ) -> Iterator[Match]:
        if isinstance(formula.number, str):
            found = replace(found, numbers={**found.numbers, formula.number: expanded.number})
        elif not _equal(expanded, formula):
            return
        for order in itertools.permutations(expanded.parts):
            if all(p == q for (_, p), (_, q) in zip(order, formula.parts, strict=True)):
                matches: Iterator[Match] = iter((found,))
                for (inner, _), (edge, _) in zip(formula.parts, order, strict=True):
                    matches = self._each(matches, inner, edge)
                yield from matches

    def _factors(self, edge: str, power: float, depth: int = 0) -> _Expanded:
        """The product that an edge is, to a power."""
        opaque = _Expanded(1.0, ((edge, power),))
        number = self.number(edge)
        if number is not None:
            value, tolerance = number
            if not _is_moderate(value) or (value < 0 and not power.is_integer()):
                return opaque
            return _Expanded(value**power, (), tolerance=tolerance, numbers=1)
        inner = self._inner(edge, depth)
        exponents = self._exponents(inner, power) if inner is not None else ()
        if inner is None or not exponents:
            return opaque
        factors = [
            self._factors(name, power * exponent, depth + 1)
            for name, exponent in zip(inner.inputs, exponents, strict=False)
        ]
        # (a * b)**0.5 is a**0.5 * b**0.5 only if all factors but one are positive constants.
        if not power.is_integer() and sum(len(f.parts) for f in factors) > 1:
            return opaque
        total = math.prod(f.number for f in factors)
        parts = _multiplied([part for f in factors for part in f.parts])
        if parts is None or not _is_moderate(total):
            return opaque
        return self._over(edge, total, parts, factors)

    def _exponents(self, node: Node, power: float) -> tuple[float, ...]:
        """The powers of the node's inputs in its result; none if it is no product.

        What is raised to a power must be a product to that power for every float.
        """
        behaviour = self._behaviours[self.places[node.outputs[0]]]
        exponents = _FACTORS.get(behaviour, ())
        if behaviour is _POW and (found := self.number(node.inputs[1])) is not None:
            exponents = (found[0],)
        for exponent in exponents:
            whole = exponent.is_integer() and power.is_integer()
            rooted = not exponent.is_integer() and not (exponent * power).is_integer()
            plain = exponent in (1.0, -1.0)
            if not (whole or rooted or plain):
                return ()
        return exponents

    def _terms(self, edge: str, sign: float, depth: int = 0) -> _Expanded:
        """The sum that an edge is, times a sign."""
        opaque = _Expanded(0.0, ((edge, sign),))
        number = self.number(edge)
        if number is not None:
            value, tolerance = number
            small = abs(value) <= _MODERATE
            return _Expanded(sign * value, (), tolerance=tolerance, numbers=1) if small else opaque
        inner = self._inner(edge, depth)
        behaviour = self._behaviours[self.places[edge]] if inner is not None else None
        signs = _TERMS.get(behaviour, ()) if behaviour is not None else ()
        if inner is None or not signs:
            return opaque
        terms = [
            self._terms(name, sign * own, depth + 1)
            for name, own in zip(inner.inputs, signs, strict=True)
        ]
        if sum(t.numbers for t in terms) > 1:
            return opaque
        return self._over(
            edge, sum(t.number for t in terms), tuple(p for t in terms for p in t.parts), terms
        )

    def _over(
        self, edge: str, number: float, parts: tuple[tuple[str, float], ...], inner: list[_Expanded]
    ) -> _Expanded:
        """What the node behind the edge makes of its expanded inputs."""
        return _Expanded(
            number,
            parts,
            frozenset((self.places[edge],)).union(*(e.nodes for e in inner)),
            max(e.tolerance for e in inner),
            sum(e.numbers for e in inner),
        )

    def _inner(self, edge: str, depth: int) -> Node | None:
        """The node behind the edge, unless something else needs the edge as well."""
        shared = self._uses.get(edge, 0) > 1 or edge in self._outputs
        if edge not in self.places or (shared and depth > 0) or depth > _DEEPEST:
            return None
        return self.graph.nodes[self.places[edge]]


def _equal(expanded: _Expanded, formula: _Combination) -> bool:
    """Whether the numbers agree; where the formula has none, nothing is granted to a wide type."""
    neutral = 0.0 if isinstance(formula, Sum) else 1.0
    tolerance = _TOLERANCE if formula.number == neutral else expanded.tolerance
    assert isinstance(formula.number, float)
    return math.isclose(expanded.number, formula.number, rel_tol=tolerance)


def _is_moderate(number: float) -> bool:
    return 1 / _MODERATE <= abs(number) <= _MODERATE


def _multiplied(parts: list[tuple[str, float]]) -> tuple[tuple[str, float], ...] | None:
    """Factors with each edge once; None if that would change a result, as of ``x**2 / x`` at 0."""
    powers: dict[str, float] = {}
    for edge, power in parts:
        known = powers.setdefault(edge, 0.0)
        if known and not (known.is_integer() and power.is_integer() and known * power > 0):
            return None
        powers[edge] = known + power
    return tuple(powers.items())


def _plain(operator: Behaviour) -> Behaviour:
    """A decorated operator keeps the function that it was made from, which the registry knows."""
    return getattr(operator, "__wrapped__", operator)


_CAST, _POW = _plain(ops.cast), _plain(ops.pow_)
_FLOAT = ops.code_of(np.dtype(np.float32))
_FACTORS: dict[Behaviour, tuple[float, ...]] = {
    _plain(ops.mul): (1.0, 1.0),
    _plain(ops.div): (1.0, -1.0),
    _plain(ops.sqrt): (0.5,),
    _plain(ops.reciprocal): (-1.0,),
}
"""The powers of an operator's inputs in its result."""
_TERMS: dict[Behaviour, tuple[float, ...]] = {
    _plain(ops.add): (1.0, 1.0),
    _plain(ops.sub): (1.0, -1.0),
    _plain(ops.neg): (-1.0,),
}
"""The signs of an operator's inputs in its result."""


@functools.cache
def _behaviour(op_type: str, opset: int, domain: str) -> Behaviour:
    return op_type if domain == FUSED_DOMAIN else ops.resolve(op_type, opset, domain).formula
