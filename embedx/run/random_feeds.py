"""Feeds that a model accepts, made up from its declared inputs and from what its nodes expect."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx.errors import BudgetError, ConfigError, InputError
from embedx.model.graph import (
    Array,
    Dim,
    Graph,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
    Value,
    reads,
)
from embedx.ops import is_floating
from embedx.rewrite.edges import Edges
from embedx.rewrite.shape_rules import edges_of
from embedx.rewrite.sizes import Shape, Size, Sizes
from embedx.run.roles import (
    Reads,
    expected,
    rank_of,
    reached,
    readers,
    rows,
    size_of,
    table_of,
)

_ITEMS = 2
"""How many items a sequence or a map has."""
_CHANNELS = 3
_IMAGES = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)
"""Heights and widths to try, the most common one first."""
_SOME, _MANY = 16, 4096
"""Lengths to try: a few steps, and enough for what is no text, such as sound."""


_OF_IMAGES = ("AveragePool", "Conv", "ConvInteger", "MaxPool", "QLinearConv", "Resize")
_LONGEST_TERM = 200
"""Characters of a size that is read as a sum or a product."""


@dataclass(frozen=True)
class _Wanted:
    """Sizes by what they count."""

    batch: int
    length: int
    past: int = 0
    image: int = _IMAGES[0]


@dataclass(frozen=True)
class _Use:
    """Where a size stands: what the file calls it, and the axis of the input."""

    symbol: str
    input: str
    axis: int
    rank: int
    exact: int | None
    """What a node expects there."""
    images: bool
    """Whether the model is one of images."""


def random_feeds(
    graph: Graph,
    batch_size: int,
    sequence_length: int,
    seed: int,
    max_bytes: int | None = None,
) -> list[Any]:
    """Feeds for the inputs of ``graph``, in order, of ``max_bytes`` in all.

    Declared sizes stay, sizes of one name are equal, and what only a node knows, such as the inner
    size of a product with a weight, is as it says. What is free is the batch, a length, or the
    height of an image, by its name and place; where the graph takes no other, the batch is 1 or the
    length longer. Values are indices, axes, shapes or lengths where a node expects such, else
    masks of ones, ascending positions and the like by the input's name, else random.

    Raises ConfigError for sizes below 1, BudgetError naming an input that is too large, InputError
    for one that NumPy does not hold.
    """
    if min(batch_size, sequence_length) < 1:
        raise ConfigError("batch_size and sequence_length must be at least 1")
    reading = readers(graph)
    shapes = _chosen_shapes(graph, reading, _Wanted(batch_size, sequence_length))
    _check_memory(graph.feeds, shapes, max_bytes)
    edges = edges_of(graph, shapes, Sizes())
    generator = np.random.default_rng(seed)
    feeds = []
    for value in graph.feeds:
        shape = shapes[value.name]
        found = (expected(edges, *read, math.prod(shape)) for read in reached(value.name, reading))
        wishes = [wish for wish in found if wish is not None]
        try:
            feeds.append(_made(value.type, value.name, shape, wishes, generator))
        except (MemoryError, OverflowError, ValueError) as error:  # such as too many axes
            raise InputError(
                f"cannot make up a value for input {value.name!r} of type {value.type}: {error}"
            ) from error
    return feeds


def table_rows(graph: Graph) -> dict[str, int]:
    """For inputs that hold indices into weights, how many rows the shortest of those has."""
    sizes, reading = Sizes(), readers(graph)
    edges = edges_of(graph, {v.name: _declared(v.type, sizes) for v in graph.feeds}, sizes)
    fed = {value.name for value in graph.feeds}
    for node in graph.nodes:
        if not fed.isdisjoint(reads(node)):
            fed.update(node.outputs)
    found: dict[str, int] = {}
    for value in graph.feeds:
        for node, place in reached(value.name, reading):
            size = rows(edges, node, place)
            if size is not None and table_of(node, place) not in fed:
                found[value.name] = min(found.get(value.name, size), size)
    return found


def _chosen_shapes(graph: Graph, reading: Reads, wanted: _Wanted) -> dict[str, tuple[int, ...]]:
    """The shapes of the inputs; of several choices the first with the fewest contradictions."""
    sizes = Sizes()
    ranks = _ranks(graph, reading)
    declared = {v.name: _declared(v.type, sizes, ranks.get(v.name, 2)) for v in graph.feeds}
    edges = edges_of(graph, declared, sizes)
    images = any(node.op_type in _OF_IMAGES for node in graph.walk())
    uses: dict[Size, list[_Use]] = {}
    for value in graph.feeds:
        for use in _uses(value, declared[value.name], edges, reading, images):
            uses.setdefault(sizes.of(declared[value.name][use.axis]), []).append(use)
    wanted = replace(wanted, past=_cached(declared))
    tried: list[tuple[int, dict[str, tuple[int, ...]]]] = []
    for choice in _choices(wanted):
        shapes = _shapes_for(declared, sizes.copy(), uses, choice)
        if all(shapes != others for _, others in tried):
            trial = Sizes()
            edges_of(graph, shapes, trial)
            tried.append((trial.contradictions, shapes))
            if not trial.contradictions:
                break
    return min(tried, key=lambda pair: pair[0])[1]


def _shapes_for(
    declared: Mapping[str, tuple[Size, ...]],
    sizes: Sizes,
    uses: Mapping[Size, Sequence[_Use]],
    choice: _Wanted,
) -> dict[str, tuple[int, ...]]:
    def preferred(name: str) -> int:
        return _preferred(uses.get(name) or [_Use(name.lower(), "", 1, 2, None, False)], choice)

    return {
        name: tuple(sizes.choose(size, preferred) for size in shape)
        for name, shape in declared.items()
    }


def _choices(wanted: _Wanted) -> Iterator[_Wanted]:
    """What is wanted, and what else is tried; what stands first need not be a batch.

    Lengths only grow: a model that reads shorter texts shall say so itself.
    """
    for image in _IMAGES:
        yield replace(wanted, image=image)
    for batch in dict.fromkeys((wanted.batch, 1, _SOME)):
        for steps in sorted({wanted.length, *(n for n in (_SOME, _MANY) if n > wanted.length)}):
            yield replace(wanted, batch=batch, length=steps)


def _cached(shapes: Mapping[str, Shape]) -> int:
    """How many tokens a cache holds whose length the file declares."""
    lengths = (shape[2] for name, shape in shapes.items() if shape and _is_cache(name, len(shape)))
    return next((size for size in lengths if isinstance(size, int)), 0)


def _is_cache(name: str, rank: int) -> bool:
    return "past" in name.lower() and "mask" not in name.lower() and rank == 4


def _ranks(graph: Graph, reading: Reads) -> dict[str, int]:
    """How many axes inputs have of which the file does not say that: as many as nodes expect."""
    inputs = {value.name: _tensor(value.type) for value in graph.feeds}
    silent = [name for name, kind in inputs.items() if kind is not None and kind.shape is None]
    if not silent:
        return {}
    known = {
        name: tuple(dim if isinstance(dim, int) else "" for dim in kind.shape)
        for name, kind in inputs.items()
        if kind is not None and kind.shape is not None
    }
    edges = edges_of(graph, known, Sizes())
    found = {n: [rank_of(edges, *read) for read in reached(n, reading)] for n in silent}
    return {name: next((r for r in ranks if r is not None), 2) for name, ranks in found.items()}


def _tensor(kind: Type) -> TensorType | None:
    """The tensors of which an input is made; None for a map."""
    while isinstance(kind, SequenceType | OptionalType):
        kind = kind.element
    return None if isinstance(kind, MapType) else kind or _UNKNOWN


def _declared(kind: Type, sizes: Sizes, rank: int = 2) -> tuple[Size, ...]:
    """The shape of an input or of its items, in which names stand for what is not declared."""
    tensor = _tensor(kind)
    if tensor is None:
        return ()
    if tensor.shape is None:
        return tuple(sizes.new() for _ in range(rank))
    return tuple(_size(dim, sizes) for dim in tensor.shape)


def _size(dim: Dim, sizes: Sizes) -> Size:
    """A declared size; exporters write sums and products such as ``past + sequence``, too."""
    if not isinstance(dim, str):
        return sizes.new() if dim is None else dim
    try:
        return _reckoned(ast.parse(dim[:_LONGEST_TERM], mode="eval").body, sizes)
    except (SyntaxError, ValueError):
        return dim


def _reckoned(term: ast.expr, sizes: Sizes) -> Size:
    if isinstance(term, ast.Name):
        return term.id
    if isinstance(term, ast.Constant) and type(term.value) is int:
        return term.value
    if isinstance(term, ast.UnaryOp) and isinstance(term.op, ast.USub):
        size = _reckoned(term.operand, sizes)
        if isinstance(size, int):
            return -size
    if isinstance(term, ast.BinOp):
        left, right = _reckoned(term.left, sizes), _reckoned(term.right, sizes)
        if isinstance(term.op, ast.Add):
            return sizes.total([left, right])
        if isinstance(term.op, ast.Sub) and isinstance(right, int):
            return sizes.total([left, -right])
        if isinstance(term.op, ast.Mult):
            return sizes.product([left, right])
    raise ValueError


def _uses(
    value: Value, shape: Sequence[Size], edges: Edges, reading: Reads, images: bool
) -> Iterator[_Use]:
    tensor = _tensor(value.type)
    dims = (tensor.shape if tensor else None) or (None,) * len(shape)
    for axis, dim in enumerate(dims):
        symbol = dim if isinstance(dim, str) else ""
        found = (size_of(edges, *read, axis) for read in reached(value.name, reading))
        exact = next((size for size in found if size is not None), None)
        yield _Use(symbol.lower(), value.name.lower(), axis, len(shape), exact, images)


def _preferred(uses: Sequence[_Use], wanted: _Wanted) -> int:
    """The size that is free and has these uses."""
    for exact in (use.exact for use in uses):
        if exact is not None:
            return exact
    for size in (_by_symbol(use, wanted) for use in uses):
        if size is not None:
            return size
    if any(use.axis == 0 for use in uses):
        return wanted.batch
    for use in uses:
        if _is_cache(use.input, use.rank) and use.axis == 2:
            return wanted.past
        if "mask" in use.input and use.axis == use.rank - 1:
            return wanted.past + wanted.length
        if use.images and use.rank == 4:
            return _CHANNELS if use.axis == 1 else wanted.image
    return wanted.length


def _by_symbol(use: _Use, wanted: _Wanted) -> int | None:
    symbol = use.symbol
    if "batch" in symbol:
        return wanted.batch
    if "past" in symbol:
        return wanted.past
    if "total" in symbol:
        return wanted.past + wanted.length
    if any(word in symbol for word in ("seq", "len", "token", "word", "time", "step")):
        return wanted.length
    if use.rank > 3 and (symbol in ("h", "w") or "height" in symbol or "width" in symbol):
        return wanted.image
    if "channel" in symbol or (use.rank > 2 and symbol == "c"):
        return _CHANNELS
    return None


def _check_memory(
    inputs: Sequence[Value], shapes: Mapping[str, tuple[int, ...]], max_bytes: int | None
) -> None:
    total = 0
    for value in inputs:
        tensor = _tensor(value.type)
        if tensor is None:
            continue
        made = TensorType(tensor.dtype, shapes[value.name])
        # Small floats are rounded from larger ones.
        total += _ITEMS * math.prod(shapes[value.name]) * max(tensor.dtype.itemsize, 4)
        if max_bytes is not None and total > max_bytes:
            raise BudgetError(
                f"the feeds with input {value.name!r} as {made} take {total} bytes, "
                f"{max_bytes} are allowed; declare smaller sizes with input_shapes"
            )


_UNKNOWN = TensorType(np.dtype(np.float32))
"""What stands for a type that is not declared."""


def _made(
    kind: Type, name: str, shape: tuple[int, ...], wishes: list[Any], random: np.random.Generator
) -> Any:
    """A value of this type; ``shape`` is that of its tensors."""
    if isinstance(kind, OptionalType):
        return _made(kind.element, name, shape, wishes, random)
    if isinstance(kind, SequenceType):
        return [_made(kind.element, name, shape, wishes, random) for _ in range(_ITEMS)]
    if isinstance(kind, MapType):
        keys = next((wish for wish in wishes if isinstance(wish, list)), None)
        if keys is None:
            keys = ["a", "b"] if kind.key == object else [0, 1]
        return {key: _item(_made(kind.value, name, (), [], random)) for key in keys}
    dtype = (kind or _UNKNOWN).dtype
    text = dtype == object
    for wish in wishes:
        if isinstance(wish, list) and len(wish) == math.prod(shape) and not text:
            return np.array(wish).reshape(shape).astype(dtype)
        if not isinstance(wish, list | range) and isinstance(wish, str) == text:
            return np.full(shape, wish).astype(dtype)
    if text:
        return np.full(shape, "text", object)
    ranges = [wish for wish in wishes if isinstance(wish, range)]
    low, high = max((r.start for r in ranges), default=0), min((r.stop for r in ranges), default=0)
    return _plausible(name.lower(), dtype, shape, low, high, random)


def _item(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) else value


def _plausible(
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    low: int,
    high: int,
    random: np.random.Generator,
) -> Array:
    """Numbers from ``low`` to below ``high``, if that is above 0, by the name of the input."""
    if "mask" in name:
        return np.ones(shape, dtype)
    if "position" in name or "pos_ids" in name:
        places = np.arange(shape[-1]) % (high or 2**31) if shape else np.zeros(())
        return np.broadcast_to(places, shape).astype(dtype)
    if "type" in name or "segment" in name or "offset" in name:
        return np.zeros(shape, dtype)
    if dtype == bool:
        return np.ones(shape, dtype)
    if high or not (is_floating(dtype) or dtype.kind == "c"):
        plain = dtype if dtype.kind in "iu" else np.dtype(np.int32)
        most = min(high or 2, int(np.iinfo(plain).max) + 1)
        return random.integers(low, max(most, low + 1), shape, plain).astype(dtype, copy=False)
    wide = np.float64 if dtype.itemsize >= 8 else np.float32
    numbers: Array = random.standard_normal(shape, wide)
    if dtype.kind == "c":
        numbers = numbers + 1j * random.standard_normal(shape, wide)
    if "scale" in name or "var" in name or dtype.itemsize == 1:
        numbers = np.abs(numbers)  # which types without a sign hold as well
    return numbers.astype(dtype, copy=False)
