"""Graphs that end earlier, or take inputs of other sizes, than their file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embedx.errors import ConfigError, ModelError
from embedx.model.graph import Dim, Graph, TensorType, Value
from embedx.rewrite.normal import drop_dead


def truncate(graph: Graph, edge: str) -> Graph:
    """The graph that ends at ``edge``, its only output. Raises ModelError if there is none."""
    for output in graph.outputs:
        if output.name == edge:
            return drop_dead(replace(graph, outputs=(output,)))
    if not any(edge in node.outputs for node in graph.nodes):
        raise ModelError(f"the model has no edge {edge!r} to cut at")
    return drop_dead(replace(graph, outputs=(Value(edge, graph.values.get(edge)),)))


def with_free_lengths(graph: Graph, length: int) -> Graph:
    """The graph with inputs of any length where ``length`` is declared behind the batch."""

    def freed(value: Value) -> Value:
        if not isinstance(value.type, TensorType) or value.type.shape is None:
            return value
        dims = (None if i and d == length else d for i, d in enumerate(value.type.shape))
        return replace(value, type=replace(value.type, shape=tuple(dims)))

    return replace(graph, inputs=tuple(freed(v) for v in graph.inputs))


def reshaped(graph: Graph, batch_size: int | None, shapes: Sequence[Sequence[int]] | None) -> Graph:
    """The graph with other declared input sizes: all of them, or the first dimension of each."""
    if shapes is not None and len(shapes) != len(graph.feeds):
        raise ConfigError(f"{len(shapes)} input_shapes for {len(graph.feeds)} inputs")
    given = dict(zip((v.name for v in graph.feeds), shapes or (), strict=False))

    def declared(value: Value) -> Value:
        kind = value.type
        if not isinstance(kind, TensorType) or kind.shape is None:
            return value
        dims: tuple[Dim, ...] = tuple(given.get(value.name, kind.shape))
        if len(dims) != len(kind.shape):
            raise ConfigError(f"input_shapes gives {value.name!r} the shape {dims}, it is {kind}")
        if batch_size is not None and dims:
            dims = (batch_size, *dims[1:])
        return replace(value, type=replace(kind, shape=dims))

    return replace(graph, inputs=tuple(declared(v) for v in graph.inputs))
