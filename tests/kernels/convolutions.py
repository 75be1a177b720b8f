"""Inputs of convolutions, by letters in an operator's order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from embedx import ops
from embedx.model.graph import Array
from tests.ops.windows import geometries

ULP = 2.0**-23
Convolution = tuple[tuple[Array | None, ...], dict[str, Any], float, tuple[int, ...]]
"""The inputs, the attributes, a bound for floats, and which inputs are constant."""


@st.composite
def convolutions(draw: st.DrawFn, order: str, *, channels_last: bool = False) -> Convolution:
    """Images of one to some thousand windows, whose channels make one group or several."""
    g = draw(geometries())
    g = replace(g, size=tuple(n + draw(st.sampled_from([0, 1, 7, 40])) for n in g.size))
    group, shared, share = (draw(st.sampled_from(n)) for n in ([1, 2, 3, 9], [1, 1, 4], [1, 1, 5]))
    batch = draw(st.integers(0, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from([np.uint8, np.int8]))
    count, image, filters = group * share, (batch, group * shared, *g.size), (shared, *g.kernel)

    def whole(*shape: int, kind: Any = kind) -> Array:
        return np.asarray(generator.integers(0, 256, shape).astype(np.uint8).view(kind))

    def normal(*shape: int) -> Array:
        return np.asarray(generator.standard_normal(shape), np.float32)

    many = (count,) * draw(st.booleans())
    last = channels_last and draw(st.booleans())
    values: dict[str, Any] = {
        "x": normal(*image),
        "f": normal(count, *filters),
        "b": normal(count),
        "r": normal(batch, count, *g.counts),
        "X": np.moveaxis(whole(*image, kind=np.uint8), 1, -1 if last else 1),
        "z": whole(kind=np.uint8),
        "w": whole(count, *filters),
        "W": whole(*many),
        "s": np.asarray(generator.random(), np.float32),
        "S": np.asarray(generator.random(many), np.float32),
        "y": np.asarray(200 * generator.random() + 1, np.float32),
        "Y": whole(),
        "B": generator.integers(-(2 ** draw(st.sampled_from([9, 31]))), 2**9, count).astype(
            np.int32
        ),
        "-": None,
    }
    attributes = {**g.attributes, "group": group, **({"channels_last": 1} if last else {})}
    inner = int(np.prod(filters))
    sizes = ops.conv(abs(values["x"]), abs(values["f"]), group=group, **g.attributes)
    bound = (inner + 8) * ULP * float(sizes.max(initial=0) + 8)
    constants = tuple(i for i, letter in enumerate(order) if letter in "fwW")
    return tuple(values[letter] for letter in order), attributes, bound, constants
