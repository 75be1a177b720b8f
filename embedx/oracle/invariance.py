"""Whether a text's result depends on what runs beside it: other texts, padding, its place.

In exact precision a run has the same bits whatever the machine and the shapes do, so what differs
here differs by what the graph says: a scale over the whole batch, a mask that lets padding through,
a position counted from the wrong end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from embedx.errors import InputError
from embedx.model.graph import Array, Graph, Node, reads
from embedx.ops import is_floating
from embedx.oracle.noise import edges_of_data
from embedx.run.engine import Engine
from embedx.text.tokens import Tokens

Way: TypeAlias = Literal["batched", "padded", "reordered"]
WAYS: tuple[Way, ...] = ("batched", "padded", "reordered")
_MORE = 5
"""So many tokens of padding are added."""

Feed: TypeAlias = Callable[[Sequence[Tokens], int], Mapping[str, Array]]
"""What a model is fed for some texts, each padded to a number of tokens."""


class _View(NamedTuple):
    """A text among others."""

    texts: list[Tokens]
    row: int
    """Which of them it is."""
    width: int


@dataclass(frozen=True, eq=False)
class Breach:
    """A text that comes out otherwise when something else runs with it."""

    way: Way
    text: int
    node: Node | None
    """The first node that makes the difference; None where only the output shows it."""
    largest: float
    """The largest difference at the output."""
    of: float
    """The largest number there."""


@dataclass(frozen=True, eq=False)
class Invariance:
    """What became of texts that ran in several ways."""

    checked: dict[Way, int]
    """How many texts ran in each way."""
    breaches: tuple[Breach, ...]
    impossible: dict[Way, str]
    """Ways in which the model cannot run, and why."""


def invariance(
    graph: Graph, texts: Sequence[Tokens], feed: Feed, *, longest: int, fixed: int | None = None
) -> Invariance:
    """Runs each text alone, among others, with padding, and at another place.

    ``longest`` is the most tokens that the model takes, ``fixed`` the number that it always takes,
    if there is one. The graph's first output is compared, which has an axis of texts.
    """
    engine = Engine(graph, precision="exact")
    data = edges_of_data(engine.graph)
    checked: dict[Way, int] = dict.fromkeys(WAYS, 0)
    impossible: dict[Way, str] = {}
    breaches = []
    for i, text in enumerate(texts):
        length = fixed or len(text.ids)
        alone = _View([text], 0, length)
        for way, views in _ways(texts, i, length, longest if fixed is None else fixed):
            if way in impossible:
                continue
            try:
                found = _breach(engine, data, alone, views, feed, way, i)
            except InputError as error:
                impossible[way] = str(error)
                continue
            checked[way] += 1
            breaches += [found] if found else []
    if fixed is not None:
        impossible["padded"] = f"the model always takes {fixed} tokens"
    return Invariance(checked, tuple(breaches), impossible)


def _ways(
    texts: Sequence[Tokens], i: int, length: int, longest: int
) -> Iterator[tuple[Way, list[_View]]]:
    """The views to compare; with themselves alone where there is one."""
    text, count = texts[i], len(texts)
    turned = replace(text, ids=text.ids[::-1], type_ids=text.type_ids[::-1])
    others = [texts[(i + 1) % count], texts[(i + 2) % count]] if count > 2 else [turned, turned]
    cut = [replace(t, ids=t.ids[:length], type_ids=t.type_ids[:length]) for t in others]
    yield "batched", [_View([cut[0], text, cut[1]], 1, length)]
    if length < longest:
        yield "padded", [_View([text], 0, min(length + _MORE, longest))]
    widest = max(length, *(len(t.ids) for t in others))
    a, b = others
    yield "reordered", [_View([text, a, b], 0, widest), _View([b, a, text], 2, widest)]


def _breach(
    engine: Engine,
    data: set[str],
    alone: _View,
    views: list[_View],
    feed: Feed,
    way: Way,
    text: int,
) -> Breach | None:
    """How a text's output differs between two views, if it does; one is compared with ``alone``."""
    first, second = views if len(views) > 1 else (alone, *views)
    walks = [engine.walk(feed(v.texts, v.width)) for v in (alone, first, second)]
    same: dict[str, bool] = {}
    gap: tuple[float, float] | None = None
    last = engine.output_names[0]
    for shown, one, other in zip(*walks, strict=True):
        for name, like, a, b in zip(
            one.step.node.outputs, shown.outputs, one.outputs, other.outputs, strict=False
        ):
            if name != last and not _is_data(like, name in data):
                continue
            pairs = _pieces(like.shape, alone.width, (a, first), (b, second))
            if name == last:
                gap = _gap(pairs)
            if pairs:
                same[name] = any(x.tobytes() == y.tobytes() for x, y in pairs)
    if gap is None:
        raise InputError(f"the output {last!r} has no axis of texts, so none can be compared")
    return None if same[last] else Breach(way, text, _first(engine.graph, same, last), *gap)


def _is_data(value: Any, made_of_data: bool) -> bool:
    """Whether a value is no size, position or mask; what has 8 bits is none of these."""
    if not isinstance(value, np.ndarray):
        return False
    return (is_floating(value.dtype) and made_of_data) or value.dtype in (np.uint8, np.int8)


def _pieces(
    shape: tuple[int, ...], length: int, *values: tuple[Any, _View]
) -> list[tuple[Array, Array]]:
    """The parts of two values that belong to a text, whose shape is ``shape`` if it is alone.

    There are several if axes that were merged can be split in several ways, none if the shapes
    do not tell.
    """
    first, second = (list(_parts(value, shape, length, view)) for value, view in values)
    return list(zip(first, second, strict=False))


def _parts(value: Any, shape: tuple[int, ...], length: int, view: _View) -> Iterator[Array]:
    if not isinstance(value, np.ndarray) or value.ndim != len(shape):
        return
    texts, merged = len(view.texts), []
    for axis, (size, own) in enumerate(zip(value.shape, shape, strict=True)):
        if size == own:
            continue
        padded = own // length * view.width if own % length == 0 else own
        if size in (texts * own, texts * padded) and texts > 1:
            each = size // texts
            value = value.take(range(view.row * each, (view.row + 1) * each), axis)
        if value.shape[axis] == padded != own:
            merged.append((axis, own // length))
        elif value.shape[axis] != own:
            return
    for tokens_last in (False, True):
        part = value
        for axis, count in merged:
            sizes = (count, view.width) if tokens_last else (view.width, count)
            apart = part.reshape(*part.shape[:axis], *sizes, *part.shape[axis + 1 :])
            kept = apart.take(range(length), axis + tokens_last)
            part = kept.reshape(*part.shape[:axis], -1, *part.shape[axis + 1 :])
        yield part


def _gap(pairs: list[tuple[Array, Array]]) -> tuple[float, float] | None:
    """The largest difference, and the largest number."""
    if not pairs:
        return None
    a, b = (x.astype(np.float64) for x in pairs[0])
    return float(np.abs(a - b).max(initial=0)), float(np.abs(a).max(initial=0))


def _first(graph: Graph, same: Mapping[str, bool], output: str) -> Node | None:
    """The first node whose result differs, of those through which the output comes to differ."""
    needed = {output}
    for node in reversed(graph.nodes):
        if any(name in needed and not same.get(name, False) for name in node.outputs):
            needed.update(reads(node))
    for node in graph.nodes:
        if any(name in needed and same.get(name) is False for name in node.outputs):
            return node
    return None
