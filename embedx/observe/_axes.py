"""What the axes of an edge mean, followed backwards through what moves elements.

An axis is a group of words: ``("batch", "head")`` is one that runs over all heads of all texts,
``()`` one of size 1. Transposing permutes the groups; reshaping keeps the words' order and groups
them anew.
"""

from __future__ import annotations

import itertools
import math
from typing import TypeAlias

from embedx.model.graph import Node
from embedx.observe._flow import MOVES, Flow, Ways
from embedx.rewrite.sizes import Shape, Size

Axes: TypeAlias = tuple[tuple[str, ...], ...]

_FEATURES = ("part", "head", "group", "head_size")
_LEADING: dict[int, Axes] = {
    0: (),
    1: (("batch", "head"),),
    2: (("batch",), ("head",)),
    3: (("batch",), ("head",), ("group",)),
}
_USUAL = {("batch", "head"): 1, ("batch", "token"): 2}
_UNUSUAL, _IMPOSSIBLE = 10, 1000


def with_leading(rank: int | None, *last: tuple[str, ...]) -> Axes | None:
    """The axes of what attention multiplies, of which the last ones are known."""
    first = _LEADING.get(4 - len(last) if rank is None else rank - len(last))
    return None if first is None else (*first, *last)


def axes_back(ways: Ways, end: str, axes: Axes, edge: str) -> dict[str, Axes]:
    """The axes of the edges on a way back from ``end``, whose axes are known, to ``edge``.

    The last of them are missing if nothing tells their axes.
    """
    found = {end: axes}
    while end != edge:
        node = ways.maker(end)
        inputs = [n for n in ways.data(node) if ways.leads(edge, n)] if node else []
        before = _before(ways.flow, node, axes, end, inputs[0]) if node and inputs else None
        if before is None:
            break
        end, axes = inputs[0], before
        found[end] = axes
    return found


def _before(flow: Flow, node: Node, axes: Axes, output: str, edge: str) -> Axes | None:
    """The axes of an input of a node from those of its output."""
    shape = flow.shape(edge)
    rank = len(axes) if shape is None else len(shape)
    if node.op_type == "Transpose":
        order = node.attributes.get("perm", range(len(axes))[::-1])
        fits = sorted(order) == list(range(len(axes)))
        return tuple(axes[order.index(i)] for i in range(len(axes))) if fits else None
    if node.op_type == "Gather" and rank == len(axes) + 1:
        axis = int(node.attributes.get("axis", 0)) % rank
        return (*axes[:axis], ("part",), *axes[axis:])
    if node.op_type in MOVES:
        return None if shape is None else _regrouped(axes, flow.shape(output), shape)
    if node.op_type == "Expand" and shape is not None and rank == len(axes):
        return tuple(() if size == 1 else axis for axis, size in zip(axes, shape, strict=True))
    return axes[len(axes) - rank :] if rank <= len(axes) else None


def _regrouped(axes: Axes, old: Shape, new: tuple[Size, ...]) -> Axes | None:
    """The words of axes of shape ``old``, in their order, over the axes of shape ``new``."""
    words = [word for axis in axes for word in axis]
    pairs = zip(axes, old or (), strict=False)
    sizes = {axis[0]: size for axis, size in pairs if len(axis) == 1 and isinstance(size, int)}
    ones = [i for i, size in enumerate(new) if size == 1][: max(len(new) - len(words), 0)]
    others = [size for i, size in enumerate(new) if i not in ones]
    if not others:
        return None
    if len(others) == len(words) + 1 and "head" in words:
        words.insert(words.index("head") + 1, "group")
        sizes.pop("head", None)
    choices = []
    for cuts in itertools.combinations(range(1, len(words)), len(others) - 1):
        bounds = zip((0, *cuts), (*cuts, len(words)), strict=True)
        groups = [tuple(words[a:b]) for a, b in bounds]
        misfits = sum(not _fits(g, n, sizes) for g, n in zip(groups, others, strict=True))
        choices.append((_IMPOSSIBLE * misfits + sum(map(_oddity, groups)), groups))
    if not choices:
        return None
    rest = iter(min(choices)[1])
    return tuple(() if i in ones else next(rest) for i in range(len(new)))


def _fits(group: tuple[str, ...], size: Size, sizes: dict[str, int]) -> bool:
    """Whether an axis can run over all words of a group, some of which have known sizes."""
    known = [sizes[word] for word in group if word in sizes]
    if not isinstance(size, int) or not known:
        return True
    return size == math.prod(known) if len(known) == len(group) else size > math.prod(known)


def _oddity(group: tuple[str, ...]) -> int:
    """How unusual it is that words share an axis."""
    pairs = itertools.pairwise(group)
    return sum(0 if {*p} <= {*_FEATURES} else _USUAL.get(p, _UNUSUAL) for p in pairs)
