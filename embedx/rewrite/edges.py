"""What is known of a graph's edges: their shapes, and the sizes that integer edges hold."""

from __future__ import annotations

from collections.abc import Mapping

from embedx.model.graph import Array, Node
from embedx.rewrite.sizes import Shape, Size, Sizes

_MOST_VALUES = 16
"""Elements of a constant that may be a shape."""


class Edges:
    """What is known of edges, in terms of ``sizes`` that may still become known."""

    def __init__(self, inputs: Mapping[str, Shape], sizes: Sizes) -> None:
        self.sizes = sizes
        self._shapes: dict[str, Shape] = dict(inputs)
        self._values: dict[str, tuple[Size, ...]] = {}

    def shape(self, edge: str) -> Shape:
        """The shape of an edge, as far as it is known by now."""
        shape = self._shapes.get(edge)
        return None if shape is None else tuple(map(self.sizes.of, shape))

    def values(self, edge: str) -> tuple[Size, ...] | None:
        """The elements of an integer edge that are sizes, such as what Shape gives."""
        values = self._values.get(edge)
        return None if values is None else tuple(map(self.sizes.of, values))

    def numbers(self, node: Node, place: int, name: str = "") -> list[int] | None:
        """The integers in an input, or in the attribute that it once was; None if not known."""
        if place < len(node.inputs) and node.inputs[place]:
            found = self.values(node.inputs[place])
            known = [v for v in found or () if isinstance(v, int)]
            return known if found is not None and len(known) == len(found) else None
        given = node.attributes.get(name)
        return None if given is None else list(given) if isinstance(given, tuple) else [given]

    def hold(self, edge: str, value: Array) -> None:
        """Know an edge that the file holds."""
        self._shapes[edge] = value.shape
        if value.ndim < 2 and value.size <= _MOST_VALUES and value.dtype.kind in "iu":
            self._values[edge] = tuple(map(int, value.flat))

    def set_shape(self, edge: str, shape: Shape) -> None:
        """Know an edge's shape."""
        self._shapes[edge] = shape

    def set_values(self, edge: str, values: tuple[Size, ...]) -> None:
        """Know the sizes that an edge holds."""
        self._values[edge] = values

    def forget(self, edge: str) -> None:
        """Know nothing of an edge any more, as behind another one of its name."""
        self._shapes.pop(edge, None)
        self._values.pop(edge, None)

    def inner(self) -> Edges:
        """Edges that a body sees around it; what it knows of its own stays inside."""
        copied = Edges(self._shapes, self.sizes)
        copied._values = dict(self._values)
        return copied
