"""Images, kernels and where kernels stand, drawn for Hypothesis and spelled out in loops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from embedx.ops import Array
from tests.strategies import Shape


@dataclass(frozen=True)
class Geometry:
    size: Shape
    kernel: Shape
    strides: Shape
    dilations: Shape
    pads: Shape

    @property
    def rank(self) -> int:
        return len(self.size)

    @property
    def counts(self) -> Shape:
        """The standard's formula, without ceil_mode."""
        before, after = self.pads[: self.rank], self.pads[self.rank :]
        axes = zip(self.size, self.kernel, self.strides, self.dilations, before, after, strict=True)
        return tuple((n + b + a - d * (k - 1) - 1) // s + 1 for n, k, s, d, b, a in axes)

    @property
    def attributes(self) -> dict[str, Any]:
        return {"strides": self.strides, "dilations": self.dilations, "pads": self.pads}

    def views(self) -> Iterator[tuple[Shape, Shape, Shape]]:
        """Each place, each element of the kernel, and the element of the image that it sees."""
        for place in itertools.product(*map(range, self.counts)):
            for tap in itertools.product(*map(range, self.kernel)):
                seen = tuple(
                    o * s + k * d - b
                    for o, s, k, d, b in zip(
                        place, self.strides, tap, self.dilations, self.pads[: self.rank],
                        strict=True,
                    )
                )  # fmt: skip
                yield place, tap, seen

    def holds(self, seen: Shape) -> bool:
        return all(0 <= i < n for i, n in zip(seen, self.size, strict=True))


ALL = slice(None)


def at(*parts: Any) -> Any:
    """An index of several parts, whose types NumPy's own annotations would not accept."""
    return parts


@st.composite
def geometries(draw: st.DrawFn, *, max_rank: int = 2, pads_below_kernel: bool = False) -> Geometry:
    rank = draw(st.integers(1, max_rank))

    def each(low: int, high: int, count: int = rank) -> Shape:
        return tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    kernel, strides, dilations = each(1, 3), each(1, 3), each(1, 2)
    pads = each(0, 2, 2 * rank)
    if pads_below_kernel:
        pads = tuple(min(p, kernel[i % rank] - 1) for i, p in enumerate(pads))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    least = [max(1, reach[i] - pads[i] - pads[rank + i]) for i in range(rank)]
    size = tuple(n + draw(st.integers(0, 3)) for n in least)
    return Geometry(size, kernel, strides, dilations, pads)


def whole(draw: Any, *shape: int, dtype: Any = np.float32) -> Array:
    """Small whole numbers, whose sums of products are exact in any order."""
    count = int(np.prod(shape))
    numbers = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
    return np.array(numbers, dtype).reshape(shape)
