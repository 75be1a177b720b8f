"""Which edges of two graphs mean the same, and what makes their nodes differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from embedx.model.graph import Array, Graph, Node, full
from embedx.observe.sites import find_sites
from embedx.ops import is_floating
from embedx.oracle.floor import difference
from embedx.oracle.noise import FILL, rounds, unit_of
from embedx.oracle.steps import SAME, Coarse, products_between, steps_between
from embedx.run.binding import bind

_SAMPLE = 256
"""Elements that a tensor is known again by."""
_ALIKE, _EQUAL = 0.5, 0.02
"""How far off, relative to its size, a tensor of one meaning may be, and one that is just equal."""
_ULPS = 4
"""What tools that fold constants differ by."""


class Sketch(NamedTuple):
    """What is kept of a tensor to know it again."""

    shape: tuple[int, ...]
    sample: Array
    """float64: some elements, evenly spread."""

    def resembles(self, other: Sketch, most: float) -> bool:
        """Whether another has the same shape, and is off by no more than ``most`` of its size."""
        if self.shape != other.shape:
            return False
        off = np.sqrt(np.mean(np.square(self.sample - other.sample)))
        return bool(off <= most * np.sqrt(np.mean(np.square(self.sample))))


def sketched(values: Iterable[tuple[str, Any]]) -> dict[str, Sketch]:
    """The sketches of those values that are tensors of several floats."""
    found = {}
    for name, value in values:
        if isinstance(value, np.ndarray) and is_floating(value.dtype) and value.size > 1:
            places = np.linspace(0, value.size - 1, min(value.size, _SAMPLE)).astype(np.int64)
            sample = value.reshape(-1)[places].astype(np.float64)
            if (np.abs(sample) < FILL).all() and sample.any():  # masks look all the same
                found[name] = Sketch(value.shape, sample)
    return found


def named_alike(reference: Graph, candidate: Graph) -> dict[str, str]:
    """The edges of two graphs that have one name, where nodes of one kind stand behind it.

    Exporters number edges anew, so a name alone says little. The graphs' outputs go by their order
    where their names differ.
    """
    ours, theirs = reference.producers(), candidate.producers()
    pairs = {
        edge: edge for edge, node in ours.items() if edge in theirs and _alike(node, theirs[edge])
    }
    names = [v.name for v in reference.outputs], [v.name for v in candidate.outputs]
    if len(names[0]) == len(names[1]) and set(names[0]) != set(names[1]):
        pairs.update(zip(*names, strict=True))
    else:
        pairs.update((name, name) for name in names[0] if name in names[1])
    return {edge: other for edge, other in pairs.items() if edge in ours}


def matched(
    reference: Graph, candidate: Graph, ours: Mapping[str, Sketch], theirs: Mapping[str, Sketch]
) -> dict[str, str]:
    """For edges of the reference the candidate's edges that mean the same.

    They have one name (see ``named_alike``) and are alike in their values or made of the same; or
    they are one site, or the result of one product, and alike; or, if there is nothing else to know
    them by, they are nearly equal, in the same order. ``ours`` and ``theirs`` are sketches of one
    run.
    """
    makers = reference.producers(), candidate.producers()
    outputs = {v.name for v in reference.outputs}

    def alike(edge: str, other: str) -> bool:
        return edge in ours and other in theirs and ours[edge].resembles(theirs[other], _ALIKE)

    pairs: dict[str, str] = {}
    for edge, other in named_alike(reference, candidate).items():
        given = (
            [n for n in graph[e].inputs if n] if e in graph else []
            for graph, e in zip(makers, (edge, other), strict=True)
        )
        same = all(pairs.get(a, a) == b for a, b in zip(*given, strict=False))
        shapes = {s[e].shape for s, e in ((ours, edge), (theirs, other)) if e in s}
        if edge in outputs or alike(edge, other) or (same and len(shapes) < 2):
            pairs[edge] = other
    taken = set(pairs.values())
    for edge, other in _by_meaning(reference, candidate):
        if edge not in pairs and other not in taken and alike(edge, other):
            pairs[edge] = other
            taken.add(other)
    left = [name for name in theirs if name not in taken]
    for edge, sketch in ours.items():
        if edge in pairs:
            continue
        place = next((i for i, o in enumerate(left) if sketch.resembles(theirs[o], _EQUAL)), None)
        if place is not None:
            pairs[edge] = left[place]
            del left[: place + 1]
    return pairs


def _by_meaning(reference: Graph, candidate: Graph) -> Iterator[tuple[str, str]]:
    sites = find_sites(candidate)
    for name, site in find_sites(reference).items():
        if name in sites:
            yield site.edge, sites[name].edge
    yield from products_between(reference, candidate).items()


def _alike(one: Node, other: Node) -> bool:
    return (one.op_type, one.domain) == (other.op_type, other.domain)


def coarseness(reference: Graph, file: Graph | None, made: Graph | None) -> Coarse:
    """How a candidate computes more coarsely than the reference.

    Its ``file`` may, if it is another, and what a runtime has ``made`` of it.
    """
    shown = made or file
    if shown is None:
        return SAME
    ours, theirs = _common_type(reference), None if file is None else _common_type(file)
    halved = ours is not None and theirs is not None and theirs.itemsize < ours.itemsize
    unit = unit_of(theirs) if halved and theirs is not None else 0.0
    steps = steps_between(reference, shown)
    return Coarse(unit, steps) if unit or steps else SAME


def _common_type(graph: Graph) -> np.dtype[Any] | None:
    """The type of most of a graph's float weights."""
    sizes: Counter[np.dtype[Any]] = Counter()
    for value in graph.initializers.values():
        if is_floating(value.dtype):
            sizes[value.dtype] += int(np.prod(value.shape))
    return sizes.most_common(1)[0][0] if sizes else None


def cause(
    nodes: Sequence[Node],
    reference: Graph,
    candidate: Graph,
    pairs: Mapping[str, str],
    *,
    of_floats: bool,
) -> tuple[Node, str] | None:
    """The first of some nodes whose counterpart has something otherwise, and what that is.

    With ``of_floats`` only weights and float attributes are looked at: what else differs in a node
    that is right is another spelling of the same.
    """
    theirs = candidate.producers()
    for node in nodes:
        other = theirs.get(pairs.get(node.outputs[0], node.outputs[0]))
        if other is None or not _alike(node, other):
            continue
        if node.outputs[0] not in pairs and _data(node, reference) != _data(other, candidate):
            continue  # it only has the same number
        told = _attributes(node, other, of_floats)
        told = told or _constants(node, other, reference, candidate, of_floats)
        if told:
            return node, told
    return None


def _data(node: Node, graph: Graph) -> list[str]:
    """What a node reads that is no constant."""
    return [name for name in node.inputs if name not in graph.constants]


def lacking(nodes: Sequence[Node], candidate: Graph) -> Node | None:
    """The first of some nodes that rounds and has no counterpart of its kind."""
    theirs = candidate.producers()
    for node in nodes:
        other = theirs.get(node.outputs[0])
        if rounds(node) and (other is None or not _alike(node, other)):
            return node
    return None


def _attributes(node: Node, other: Node, of_floats: bool) -> str:
    if node.subgraphs or other.subgraphs:
        return ""
    ours, theirs = bind(node).keywords, bind(other).keywords
    for name in sorted(ours.keys() & theirs.keys()):
        if of_floats and not isinstance(ours[name], float):
            continue
        if not np.array_equal(ours[name], theirs[name]):
            return f"its {name} is {_shown(theirs[name])} instead of {_shown(ours[name])}"
    return ""


def _shown(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _constants(node: Node, other: Node, reference: Graph, candidate: Graph, of_floats: bool) -> str:
    if len(node.inputs) != len(other.inputs):
        if of_floats:
            return ""
        return f"it has {len(other.inputs)} inputs instead of {len(node.inputs)}"
    for name, its in zip(node.inputs, other.inputs, strict=True):
        a, b = (full(g.constants.get(n)) for g, n in ((reference, name), (candidate, its)))
        if a is None or b is None:
            continue
        if of_floats and (a.shape != b.shape or not is_floating(a.dtype)):
            continue
        told = difference_told(a, b)
        if told:
            return f"its constant {its!r} {told}"
    return ""


def difference_told(a: Array, b: Array) -> str:
    """How a constant ``b`` differs from ``a``; empty if it may be what another tool makes of it."""
    if a.shape != b.shape:
        return f"has the shape {list(b.shape)} instead of {list(a.shape)}"
    if a.dtype != b.dtype or a.dtype == object:
        return ""  # another precision is no other weight
    off = np.abs(difference(a.astype(np.float64), b.astype(np.float64)))
    allowed = (
        2 * _ULPS * unit_of(a.dtype) * np.abs(a.astype(np.float64)) if is_floating(a.dtype) else 0
    )
    wrong = off > allowed
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.unravel_index(np.argmax(np.where(wrong, off, 0)), a.shape))
    return (
        f"differs in {int(wrong.sum())} of {a.size} elements, most at {list(place)}: "
        f"{b[place]:.7g} instead of {a[place]:.7g}"
    )
