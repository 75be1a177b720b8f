"""Which edges of two graphs mean the same, and what makes their nodes differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embedx.model.graph import Array, Graph, Node, SparseTensor
from embedx.observe.sites import find_sites
from embedx.ops import is_floating
from embedx.oracle.noise import rounds, unit_of
from embedx.run.binding import bind

_ULPS = 4
"""What tools that fold constants differ by."""


def matched(reference: Graph, candidate: Graph) -> dict[str, str]:
    """For edges of the reference the candidate's edges that mean the same, as names and sites say.

    An equal name counts if the nodes behind it are of one kind, or compute
    one site: exporters number edges anew. Outputs go by their order where their names differ.
    """
    ours, theirs = reference.producers(), candidate.producers()
    pairs = {
        edge: edge for edge, node in ours.items() if edge in theirs and _alike(node, theirs[edge])
    }
    other_sites = find_sites(candidate)
    for name, site in find_sites(reference).items():
        if name in other_sites and other_sites[name].axes == site.axes:
            pairs.setdefault(site.edge, other_sites[name].edge)
    outputs = [v.name for v in reference.outputs], [v.name for v in candidate.outputs]
    if len(outputs[0]) == len(outputs[1]) and set(outputs[0]) != set(outputs[1]):
        pairs.update(zip(*outputs, strict=True))
    else:
        pairs.update((name, name) for name in outputs[0] if name in outputs[1])
    return {edge: other for edge, other in pairs.items() if edge in ours}


def _alike(one: Node, other: Node) -> bool:
    return (one.op_type, one.domain) == (other.op_type, other.domain)


def coarser_unit(reference: Graph, candidate: Graph) -> float:
    """The unit roundoff of the candidate's float type if it computes in a coarser one, else 0."""
    ours, theirs = _common_type(reference), _common_type(candidate)
    if ours is None or theirs is None or theirs.itemsize >= ours.itemsize:
        return 0.0
    return unit_of(theirs)


def _common_type(graph: Graph) -> np.dtype[Any] | None:
    """The type of most of a graph's float weights."""
    sizes: Counter[np.dtype[Any]] = Counter()
    for value in graph.initializers.values():
        if is_floating(value.dtype):
            sizes[value.dtype] += int(np.prod(value.shape))
    return sizes.most_common(1)[0][0] if sizes else None


def cause(
    nodes: Sequence[Node], reference: Graph, candidate: Graph, pairs: Mapping[str, str]
) -> tuple[Node, str] | None:
    """The first of some nodes whose counterpart has something otherwise, and what that is."""
    theirs = candidate.producers()
    for node in nodes:
        other = theirs.get(pairs.get(node.outputs[0], node.outputs[0]))
        if other is not None and _alike(node, other):
            told = _attributes(node, other) or _constants(node, other, reference, candidate)
            if told:
                return node, told
    return None


def lacking(nodes: Sequence[Node], candidate: Graph) -> Node | None:
    """The first of some nodes that rounds and has no counterpart of its kind."""
    theirs = candidate.producers()
    for node in nodes:
        other = theirs.get(node.outputs[0])
        if rounds(node) and (other is None or not _alike(node, other)):
            return node
    return None


def _attributes(node: Node, other: Node) -> str:
    if node.subgraphs or other.subgraphs:
        return ""
    ours, theirs = bind(node).keywords, bind(other).keywords
    for name in sorted(ours.keys() & theirs.keys()):
        if not np.array_equal(ours[name], theirs[name]):
            return f"its {name} is {theirs[name]} instead of {ours[name]}"
    return ""


def _constants(node: Node, other: Node, reference: Graph, candidate: Graph) -> str:
    if len(node.inputs) != len(other.inputs):
        return f"it has {len(other.inputs)} inputs instead of {len(node.inputs)}"
    for name, its in zip(node.inputs, other.inputs, strict=True):
        a, b = (_array(g.constants.get(n)) for g, n in ((reference, name), (candidate, its)))
        if a is None or b is None:
            continue
        told = _difference(a, b)
        if told:
            return f"its constant {its!r} {told}"
    return ""


def _array(value: Array | SparseTensor | None) -> Array | None:
    return value.dense() if isinstance(value, SparseTensor) else value


def _difference(a: Array, b: Array) -> str:
    if a.shape != b.shape:
        return f"has the shape {list(b.shape)} instead of {list(a.shape)}"
    if a.dtype != b.dtype or a.dtype == object:
        return ""  # another precision is no other weight
    off = np.abs(a.astype(np.float64) - b.astype(np.float64))
    allowed = (
        2 * _ULPS * unit_of(a.dtype) * np.abs(a.astype(np.float64)) if is_floating(a.dtype) else 0
    )
    wrong = off > allowed
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.unravel_index(np.argmax(np.where(wrong, off, 0)), a.shape))
    return (
        f"differs in {int(wrong.sum())} of {a.size} elements, most at {list(place)}: "
        f"{b[place]} instead of {a[place]}"
    )
