"""Feeds are checked against what is declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.errors import ConfigError, InputError
from embedx.model.graph import OptionalType, SequenceType, TensorType, Value
from embedx.run.engine import Engine
from embedx.run.feeds import checked_feeds
from tests.models import model

ADD = "g (float[N] x, float[N] y) => (float[N] z) { z = Add(x, y) }"
ONES = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": ONES}, r"missing: y"),
        ({"x": ONES, "y": ONES, "q": ONES}, r"unknown: q"),
        ([ONES], r"got 1 inputs, expected 2"),
        ({"x": ONES, "y": ONES.astype(np.float64)}, r"'y' is float64, expected float32"),
        ({"x": ONES, "y": ONES[None]}, r"'y' has shape \(1, 2\)"),
        ({"x": ONES, "y": ONES[:1]}, r"dimension 'N' is 2 in input 'x' and 1 in input 'y'"),
        ({"x": ONES, "y": None}, r"'y' must be an array"),
        ({"x": ONES, "y": np.ma.masked_array(ONES)}, r"'y' must be an array"),
        ("xy", r"feeds are a dict or a list"),
    ],
)
def test_feeds_that_do_not_fit_are_named(feeds: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Engine(model(ADD)).run(feeds)


def test_odd_but_valid_arrays_are_accepted() -> None:
    engine = Engine(model(ADD))
    backwards = np.arange(4, dtype=np.float32)[::-2]
    foreign = np.array([1, 2], dtype=">f4")
    constant = np.broadcast_to(np.float32(5), 2)
    assert engine.run([backwards, foreign])[0].tolist() == [4, 3]
    assert engine.run([constant, [1, 2]])[0].tolist() == [6, 7]


def test_static_dimensions_are_enforced_and_can_be_replaced() -> None:
    fixed = model("g (float[2,3] x) => (float[2,3] y) { y = Neg(x) }")
    with pytest.raises(InputError, match=r"expected float32\[2, 3\]"):
        Engine(fixed).run([np.zeros((1, 3), np.float32)])
    assert Engine(fixed, batch_size=1).run([np.zeros((1, 3), np.float32)])[0].shape == (1, 3)
    shaped = Engine(fixed, input_shapes=[[4, 5]])
    assert shaped.input_shapes == [(4, 5)]
    assert shaped.run([np.zeros((4, 5), np.float32)])[0].shape == (4, 5)
    with pytest.raises(ConfigError, match="2 input_shapes for 1 inputs"):
        Engine(fixed, input_shapes=[[1], [2]])


DIMS = st.sampled_from([1, 2, 3, "N", "M", None])
SHAPES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@given(st.lists(st.tuples(st.lists(DIMS, max_size=2), SHAPES), min_size=1, max_size=3))
def test_shapes_fit_or_one_is_named(inputs: list[tuple[list[Any], tuple[int, ...]]]) -> None:
    """Checked all at once by what can be substituted for the names."""
    values = [
        Value(f"x{i}", TensorType(np.dtype(np.float32), tuple(dims)))
        for i, (dims, _) in enumerate(inputs)
    ]
    feeds = [np.zeros(shape, np.float32) for _, shape in inputs]
    ranks = all(len(dims) == len(shape) for dims, shape in inputs)
    pairs = {pair for dims, shape in inputs for pair in zip(dims, shape, strict=False) if pair[0]}
    meanings = [len({size for d, size in pairs if d == dim}) for dim in ("N", "M")]
    fits = ranks and max(meanings) <= 1
    fits = fits and all(dim == size for dim, size in pairs if isinstance(dim, int))
    if fits:
        found = checked_feeds(values, (), feeds)
        assert all(found[v.name] is feed for v, feed in zip(values, feeds, strict=True))
    else:
        with pytest.raises(InputError, match=r"'x\d'"):
            checked_feeds(values, (), feeds)


def test_optional_and_repeated_values() -> None:
    kind = TensorType(np.dtype(np.float32), ("N",))
    values = [Value("o", OptionalType(kind)), Value("s", SequenceType(kind)), Value("d", kind)]
    longer = np.ones(3, np.float32)
    found = checked_feeds(values, {"d"}, {"o": None, "s": [ONES, longer]})
    assert (found["o"], found["d"]) == (None, None)
    assert [len(item) for item in found["s"]] == [2, 3]
    for wrong in (ONES, [ONES[None]], [ONES.astype(np.int64)], [None]):
        with pytest.raises(InputError, match="'s'"):
            checked_feeds(values, {"d"}, {"o": ONES, "s": wrong})


def test_widened_floats_keep_their_value() -> None:
    values = [Value("x", TensorType(np.dtype(np.float32), None)), Value("i", None)]
    found = checked_feeds(values, (), [np.array([0.1], np.float32), np.array([3])], widen=True)
    assert found["x"].dtype == np.float64
    assert found["x"][0] == float(np.float32(0.1))
    assert found["i"].dtype == np.int64
