"""Positions inside attention: turns as complex numbers, T5's buckets and gates as loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops.microsoft import (
    gated_relative_position_bias,
    relative_position_bias,
    remove_padding,
    rotary_embedding,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.attending import heads_of, in_a_row, turned
from tests.ops.microsoft.values import F32, numbers
from tests.strategies import generators

Rng = np.random.Generator


# -- RotaryEmbedding ------------------------------------------------------------------------------


@given(generators(), st.booleans(), st.data())
def test_each_pair_turns_by_the_angle_of_its_position(
    rng: Rng, interleaved: bool, data: st.DataObject
) -> None:
    batch, length, heads, pairs, rest = (
        data.draw(st.integers(low, high)) for low, high in ((1, 2), (1, 3), (1, 2), (1, 2), (0, 2))
    )
    size, limit = 2 * pairs + rest, 7
    angles = rng.uniform(0, 6, (limit, pairs))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    if data.draw(st.booleans()):
        places = np.array([rng.integers(0, limit - length + 1)])  # where the positions begin
        positions = np.broadcast_to(places[0] + np.arange(length), (batch, length))
    else:
        places = positions = rng.integers(0, limit, (batch, length))
        if positions.size == 1:
            places = positions.reshape(1)
    x = numbers(rng, batch, heads, length, size)
    flat = data.draw(st.booleans())
    attributes: dict[str, Any] = {"interleaved": int(interleaved)}
    if rest:
        attributes |= {"rotary_embedding_dim": 2 * pairs, "num_heads": heads}
    found = rotary_embedding(
        in_a_row(x) if flat else x, places, cos, sin, **attributes
    )  # fmt: skip
    expected = np.zeros(x.shape)
    for b, n, t in np.ndindex(*x.shape[:3]):
        expected[b, n, t] = turned(x[b, n, t], angles[positions[b, t]], interleaved)
    assert_close(found, in_a_row(expected) if flat else expected, F32, floor=4)


@given(generators(), st.booleans())
def test_the_standard_has_the_same_operator_with_other_inputs(rng: Rng, interleaved: bool) -> None:
    x, (cos, sin) = numbers(rng, 2, 3, 4, 6), numbers(rng, 2, 5, 3)
    places = rng.integers(0, 5, (2, 4))
    ours = rotary_embedding(x, places, cos, sin, interleaved=int(interleaved))
    assert_equal(ours, ops.rotary_embedding(x, cos, sin, places, interleaved=int(interleaved)))


def test_angles_and_gates_that_do_not_fit_are_refused() -> None:
    x, cache = np.ones((1, 2, 4), np.float32), np.ones((3, 2), np.float32)
    for places in (np.zeros((2, 2), np.int64), np.zeros((1, 3), np.int64)):
        with pytest.raises(ValueError, match="angles of shape"):
            rotary_embedding(x, places, cache, cache)
    two, bias = np.ones((4, 2), np.float32), np.ones(2, np.float32)
    for rows, side in ((1, 3), (2, 2)):
        eco, rel = np.ones((1, rows, 1, 1), np.float32), np.ones((1, 1, side, side), np.float32)
        with pytest.raises(ValueError, match="eco_a"):
            gated_relative_position_bias(x, x[0, 0], rel, two, bias, eco, num_heads=1)


@pytest.mark.parametrize("places", [[[0, 3]], [2], [[-1, 0]]])
def test_positions_outside_the_caches_are_refused(places: Any) -> None:
    x, cache = np.ones((1, 2, 4), np.float32), np.ones((3, 2), np.float32)
    with pytest.raises(IndexError, match="outside a cache of 3"):
        rotary_embedding(x, np.array(places), cache, cache)


# -- RelativePositionBias -------------------------------------------------------------------------


def buckets(distance: int, count: int, both: bool, longest: int) -> set[int]:
    """The bucket of a distance: two of them, where float32 may see the logarithm on either side."""
    if both:
        behind = buckets(-abs(distance), count // 2, False, longest)
        return {b + (count // 2 if distance > 0 else 0) for b in behind}
    distance, exact = max(-distance, 0), count // 2
    if distance < exact:
        return {distance}
    growth = math.log(distance / exact) / math.log(longest / exact) * (count - exact)
    return {min(exact + int(growth + slack), count - 1) for slack in (-1e-4, 1e-4)}


@given(
    generators(), st.booleans(), st.sampled_from([4, 8, 32]), st.integers(1, 40), st.integers(1, 40)
)
def test_each_bucket_of_distances_has_a_number(
    rng: Rng, both: bool, count: int, queries: int, keys: int
) -> None:
    heads, longest = 2, 33
    table = rng.permutation(count * heads).astype(np.float32)  # so that a number tells its bucket
    found = relative_position_bias(
        table.reshape(count, heads), np.array(queries), np.array(keys),
        is_bidirectional=int(both), max_distance=longest,
    )  # fmt: skip
    assert (found.shape, found.dtype) == ((1, heads, queries, keys), F32)
    for h, i, j in np.ndindex(heads, queries, keys):
        place = int(np.flatnonzero(table == found[0, h, i, j])[0])
        # Declared (buckets, heads), stored head by head.
        assert place // count == h
        assert place % count in buckets(j - i, count, both, longest)


def test_known_buckets_of_t5() -> None:
    table = np.arange(32, dtype=np.float32)[:, None]
    sizes = np.array(1), np.array(200)
    ahead = relative_position_bias(table, *sizes, is_bidirectional=1, max_distance=128)[0, 0, 0]
    known = {0: 0, 1: 17, 7: 23, 8: 24, 12: 25, 20: 26, 100: 31, 199: 31}
    assert {distance: int(ahead[distance]) for distance in known} == known
    assert not relative_position_bias(table, *sizes, max_distance=128).any()  # none looks ahead


# -- GatedRelativePositionBias --------------------------------------------------------------------


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@given(generators(), st.data())
def test_queries_gate_their_bias(rng: Rng, data: st.DataObject) -> None:
    batch, length, heads, size, units = (data.draw(st.integers(1, 3)) for _ in range(5))
    query, query_bias = numbers(rng, batch, length, heads * size), numbers(rng, heads * size)
    rel_pos, eco = numbers(rng, 1, heads, length, length), numbers(rng, 1, heads, 1, 1)
    weight, bias = numbers(rng, size, 2 * units), numbers(rng, 2 * units)
    rest = (query_bias, rel_pos, weight, bias, eco)
    found = gated_relative_position_bias(query, *rest, num_heads=heads)
    expected = np.zeros((batch, heads, length, length))
    queries = heads_of(query.astype(np.float64) + query_bias, heads)
    for b, h, i in np.ndindex(batch, heads, length):
        sums = [math.fsum(queries[b, h, i] * weight[:, u]) + bias[u] for u in range(2 * units)]
        update, reset = logistic(math.fsum(sums[:units])), logistic(math.fsum(sums[units:]))
        gate = update * (reset * float(eco[0, h, 0, 0]) - 1) + 2
        expected[b, h, i] = gate * rel_pos[0, h, i]
    assert_close(found, expected, F32, ulps=16, floor=64)
    packed = remove_padding(query, np.full(batch, length, np.int32))
    again = gated_relative_position_bias(
        packed.output, *rest, packed.token_offset, num_heads=heads
    )  # fmt: skip
    assert_equal(again, found)
