"""What the axes of an edge mean, followed backwards through what moves elements.

An axis is a group of words: ``("batch", "head")`` is one that runs over all heads of all texts.
Transposing permutes the groups; reshaping keeps the words' order and groups them anew.
"""

from __future__ import annotations

import itertools
from typing import TypeAlias

from embedx.model.graph import Node
from embedx.observe._flow import Flow, Stretch

Axes: TypeAlias = tuple[tuple[str, ...], ...]
"""``()`` is an axis of size 1."""

_FEATURES = ("part", "head", "group", "head_size")
_LEADING: dict[int, Axes] = {
    0: (),
    1: (("batch", "head"),),
    2: (("batch",), ("head",)),
    3: (("batch",), ("head",), ("group",)),
}


def leading(count: int) -> Axes | None:
    """The axes before the last two of what attention multiplies, by their number."""
    return _LEADING.get(count)


def axes_back(stretch: Stretch, end: str, axes: Axes | None, edge: str) -> Axes | None:
    """The axes of an edge from which another one is made whose axes are known."""
    while axes is not None and end != edge:
        node = stretch.maker(end)
        ways = [n for n in stretch.data(node) if edge in stretch.before(n)] if node else []
        if node is None or not ways:
            return None
        axes = _before_node(stretch.flow, node, axes, ways[0])
        end = ways[0]
    return axes


def _before_node(flow: Flow, node: Node, axes: Axes, edge: str) -> Axes | None:
    """The axes of an input of a node from those of its output."""
    shape = flow.shape(edge)
    kind = node.op_type
    if kind == "Transpose":
        order = node.attributes.get("perm", range(len(axes))[::-1])
        places = sorted(range(len(order)), key=list(order).__getitem__)
        return tuple(axes[i] for i in places) if len(places) == len(axes) else None
    if kind == "Gather" and shape is not None and len(shape) == len(axes) + 1:
        axis = int(node.attributes.get("axis", 0)) % len(shape)
        return (*axes[:axis], ("part",), *axes[axis:])
    if kind == "Expand" and shape is not None and len(shape) == len(axes):
        return tuple(() if size == 1 else axis for axis, size in zip(axes, shape, strict=True))
    if shape is None or len(shape) == len(axes):
        moves = kind in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
        if not moves or (shape is None and kind in ("Squeeze", "Unsqueeze")):
            return axes
        return None if shape is None else _regrouped(axes, shape)
    if kind in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        return _regrouped(axes, shape)
    return axes[len(axes) - len(shape) :] if len(shape) < len(axes) else None


def _regrouped(axes: Axes, shape: tuple[int | str, ...]) -> Axes | None:
    """The words of axes in their order, over as many axes as a shape has."""
    words = [word for axis in axes for word in axis]
    excess = max(len(shape) - len(words), 0)
    ones = [i for i, size in enumerate(shape) if size == 1][:excess]
    count = len(shape) - len(ones)
    if count == len(words) + 1 and "head" in words:
        words.insert(words.index("head") + 1, "group")
    if count > len(words) or not count:
        return None
    choices = []
    for cuts in itertools.combinations(range(1, len(words)), count - 1):
        bounds = zip((0, *cuts), (*cuts, len(words)), strict=True)
        groups = [tuple(words[a:b]) for a, b in bounds]
        choices.append((sum(map(_oddity, groups)), groups))
    rest = iter(min(choices, key=lambda choice: choice[0])[1])
    return tuple(() if i in ones else next(rest) for i in range(len(shape)))


def _oddity(group: tuple[str, ...]) -> int:
    """How unusual it is that words share an axis."""
    total = 0
    for a, b in itertools.pairwise(group):
        if a in _FEATURES and b in _FEATURES:
            continue
        total += 1 if {a, b} == {"batch", "head"} else 2 if {a, b} == {"batch", "token"} else 8
    return total
