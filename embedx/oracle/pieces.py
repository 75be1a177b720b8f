"""Pieces of a model, cut out so that they run alone on what a candidate had there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedx.model.graph import Array, Graph, Node, TensorType, Value
from embedx.ops import code_of, is_floating
from embedx.oracle.local import as_graph, segments
from embedx.oracle.matching import named_alike
from embedx.oracle.opened import Opened
from embedx.rewrite.element_types import DType, element_types
from embedx.rewrite.normal import renamed, unused_suffix


@dataclass(frozen=True, eq=False)
class Piece:
    """Nodes of a model as a model of their own, and what it is fed."""

    graph: Graph
    theirs: Graph | None
    """The same of the candidate, if its file is another; its inputs have the same names."""
    feeds: Mapping[str, Array]
    output: str
    """The output that counts."""


def cut(graph: Graph, edge: str, given: Mapping[str, Array], dtype: DType | None) -> Graph:
    """The graph that makes an edge, of type ``dtype``, out of the ``given`` values.

    All of these are its inputs, as the file declares them, or with the given sizes.
    """
    piece = next(s for s in segments(graph, {edge, *given}) if s.edge == edge)
    declared = {v.name: v for v in graph.inputs}
    inputs = [
        declared.get(name) or Value(name, TensorType(value.dtype, value.shape))
        for name, value in given.items()
    ]
    return as_graph(graph, piece, inputs, None if dtype is None else TensorType(dtype))


def smallest(it: Opened, edge: str, run: int, shows: Callable[[Piece], bool]) -> Piece | None:
    """The piece of few nodes before an edge that ``shows``, on what the candidate had in a run.

    What a runtime's optimizer makes of a node may need those before it, so the piece grows
    backwards from the watched edges next to ``edge``. None if not even all nodes before it show it.
    """
    sources = _sources(it, edge)
    found: dict[int, Piece | None] = {}

    def shown(place: int) -> bool:
        piece = _piece(it, edge, sources[place], run)
        found[place] = piece if piece is not None and shows(piece) else None
        return found[place] is not None

    low, high = 0, 0
    while not shown(high):
        if high == len(sources) - 1:
            return None
        low, high = high + 1, min(2 * high + 1, len(sources) - 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle + 1, high)
    return found[high]


def _sources(it: Opened, edge: str) -> list[tuple[str, ...]]:
    """Ever earlier edges of which the one is made: the watched ones next to it, and so on."""
    graph = it.reference.graph
    made = graph.producers()
    watched = {name for name in it.pairs() if name in made}
    sources: list[tuple[str, ...]] = []
    while True:
        inputs = next(s.inputs for s in segments(graph, {edge, *watched}) if s.edge == edge)
        if not sources or inputs != sources[-1]:
            sources.append(inputs)
        inner = watched.intersection(inputs)
        if not inner:
            return sources
        watched -= inner


def _piece(it: Opened, edge: str, sources: tuple[str, ...], run: int) -> Piece | None:
    """The piece from ``sources`` to the edge; None if it cannot be cut there."""
    graph, pairs, feeds = it.reference.graph, it.pairs(), it.feeds[run]
    types = element_types(graph)
    inner = [name for name in sources if name in pairs]
    values = dict(it.candidate.values(feeds, [pairs[name] for name in inner], {})) if inner else {}
    given = {name: feeds[name] for name in sources if name in feeds}
    for name in inner:
        value = values.get(pairs[name])
        if not isinstance(value, np.ndarray) or name not in types:
            return None
        if value.dtype != types[name] and not (
            is_floating(value.dtype) and is_floating(types[name])
        ):
            return None
        given[name] = value.astype(types[name], copy=False)
    if any(name not in given and name not in graph.initializers for name in sources):
        return None
    if not all(isinstance(value, np.ndarray) for value in given.values()):
        return None
    other = None
    if it.file is not None:
        other = _theirs(it, edge, inner, types)
        if other is None:
            return None
        fed = {v.name for v in it.file.feeds}
        given.update({k: v for k, v in feeds.items() if k in _needed(other, edge, given) & fed})
        other = cut(other, edge, given, element_types(other).get(edge))
    return Piece(cut(graph, edge, given, types.get(edge)), other, given, edge)


def _theirs(
    it: Opened, edge: str, inner: Sequence[str], types: Mapping[str, DType]
) -> Graph | None:
    """The candidate's file with the reference's names and types of the inner edges and the edge.

    None if one of them is not in the file, as what an optimizer makes.
    """
    assert it.file is not None
    made, alike, pairs = it.file.producers(), named_alike(it.reference.graph, it.file), it.pairs()
    names = {}
    for name in (*inner, edge):
        other = pairs[name] if pairs[name] in made else alike.get(name)
        if other is None or other not in made:
            return None
        names[name] = other
    opset, kinds = it.file.opsets.get("", 1), element_types(it.file)
    through = next((name for name in inner if names[name] == names[edge]), None)
    if through is not None:  # the candidate does nothing there
        return replace(it.file, nodes=(Node("Identity", (through,), (edge,), opset=opset),))
    suffix = unused_suffix(it.file, "cast")
    casts = {
        n: kinds[o] for n, o in names.items() if n != edge and kinds.get(o, types[n]) != types[n]
    }
    graph = _with_names(it.file, {o: n + suffix * (n in casts) for n, o in names.items()})
    nodes = [
        Node("Cast", (name,), (name + suffix,), {"to": code_of(kind)}, opset=opset)
        for name, kind in casts.items()
    ]
    kept = (n for n in graph.nodes if not {name + suffix for name in casts} & {*n.outputs})
    return replace(graph, nodes=(*nodes, *kept))


def _needed(graph: Graph, edge: str, given: Mapping[str, Array]) -> set[str]:
    """What a piece reads."""
    return set(next(s.inputs for s in segments(graph, {edge, *given}) if s.edge == edge))


def _with_names(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with other names of some edges; what has such a name already gets another."""
    taken, suffix = set(names.values()), unused_suffix(graph, "other")

    def rename(name: str) -> str:
        return names.get(name, name + suffix if name in taken else name)

    return replace(
        graph,
        nodes=tuple(renamed(node, rename, {}) for node in graph.nodes),
        outputs=tuple(replace(v, name=rename(v.name)) for v in graph.outputs),
        initializers={rename(name): value for name, value in graph.initializers.items()},
        values={},
    )


def whole(it: Opened, output: str, run: int) -> Piece:
    """The model itself."""
    return Piece(it.reference.graph, it.file, dict(it.feeds[run]), output)
