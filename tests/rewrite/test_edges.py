"""What is known of edges: shapes and the sizes that they hold, and no more than that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from embedx.model.graph import Array, Node
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Sizes


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, max_side=20)))
def test_a_constant_that_may_be_a_shape_is_known(value: Array) -> None:
    edges = Edges({}, Sizes())
    edges.hold("c", value)
    assert edges.shape("c") == value.shape
    small = value.ndim < 2 and value.size <= 16
    assert edges.values("c") == (tuple(value.reshape(-1).tolist()) if small else None)


def test_floats_hold_no_sizes() -> None:
    edges = Edges({}, Sizes())
    edges.hold("c", np.ones(3, np.float32))
    assert (edges.shape("c"), edges.values("c")) == ((3,), None)


def test_names_become_numbers_as_soon_as_they_are_known() -> None:
    sizes = Sizes()
    edges = Edges({"x": ("N", 4)}, sizes)
    edges.set_values("s", ("N", 4))
    edges.set_shape("y", ("M",))
    sizes.same("N", "M")
    assert (edges.shape("x") or ())[:1] == edges.shape("y")
    sizes.same("M", 7)
    assert (edges.shape("x"), edges.values("s"), edges.shape("y")) == ((7, 4), (7, 4), (7,))


def test_a_body_sees_what_is_outside_and_keeps_its_own() -> None:
    edges = Edges({"x": (1,), "y": (2,)}, Sizes())
    edges.set_values("x", (5,))
    inner = edges.inner()
    inner.set_shape("y", (9,))
    inner.forget("x")
    assert (inner.shape("x"), inner.values("x"), inner.shape("y")) == (None, None, (9,))
    assert (edges.shape("x"), edges.values("x"), edges.shape("y")) == ((1,), (5,), (2,))


@pytest.mark.parametrize(
    ("inputs", "attributes", "numbers"),
    [
        (("x", "known"), {}, [1, 2]),
        (("x", "known"), {"axes": (7,)}, [1, 2]),
        (("x", "open"), {}, None),
        (("x", "unknown"), {"axes": (7,)}, None),
        (("x", ""), {"axes": (7, 8)}, [7, 8]),
        (("x",), {"axes": 7}, [7]),
        (("x",), {}, None),
    ],
)
def test_numbers_come_from_an_input_or_the_attribute_that_it_once_was(
    inputs: tuple[str, ...], attributes: dict[str, object], numbers: list[int] | None
) -> None:
    edges = Edges({}, Sizes())
    edges.set_values("known", (1, 2))
    edges.set_values("open", (1, "N"))
    assert edges.numbers(Node("Op", inputs, ("y",), attributes), 1, "axes") == numbers
