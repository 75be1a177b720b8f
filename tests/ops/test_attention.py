"""Attention and rotary embeddings, query by query and key by key in Python floats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, Budget, OverBudgetError, attention, rotary_embedding, spending
from tests.assertions import assert_close, assert_equal
from tests.strategies import FLOATS, HALVES, DType, Shape, shapes, tensors

MASKED = -math.inf


def attended(
    query: list[float], keys: list[list[float]], values: list[list[float]],
    bias: list[float], scale: float, softcap: float,
) -> tuple[list[float], list[list[float]]]:  # fmt: skip
    """One query of one head: its result, and the scores at the four stages."""
    raw = [scale * math.fsum(q * k for q, k in zip(query, key, strict=True)) for key in keys]
    capped = [softcap * math.tanh(s / softcap) for s in raw] if softcap else raw
    masked = [s + b for s, b in zip(capped, bias, strict=True)]
    if all(b == MASKED for b in bias):
        probabilities = [0.0] * len(keys)
    else:
        weights = [math.exp(s - max(masked)) for s in masked]
        probabilities = [w / math.fsum(weights) for w in weights]
    columns = list(zip(*values, strict=True))
    y = [math.fsum(p * v for p, v in zip(probabilities, c, strict=True)) for c in columns]
    return y, [raw, capped, masked, probabilities]


def visible(position: int, key: int, *, causal: bool, window: tuple[int, int], length: int) -> bool:
    """Whether a query at an absolute position sees a key."""
    left, right = window
    return (
        key < length
        and not (causal and key > position)
        and not (left >= 0 and key < position - left)
        and not (right >= 0 and key > position + right)
    )


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Everything that Attention takes; 4-D tensors and a mask for every head, query and key."""
    dtype = draw(st.sampled_from(FLOATS))
    batch, groups, kv_heads = (draw(st.integers(1, 2)) for _ in range(3))
    rows, new, past = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    size, value_size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    total = past + new

    def tensor(*shape: int) -> Array:
        return draw(tensors(dtype, shape, low=-2, high=2))

    mask: Array | None = None
    kind = draw(st.sampled_from(["none", "bool", "float"]))
    heads = groups * kv_heads
    shape = draw(
        st.sampled_from(
            [(batch, heads, rows, total), (batch, 1, 1, total), (heads, rows, total), (rows, total)]
        )
    )
    if kind == "bool":
        mask = draw(tensors(np.dtype(bool), shape))
    elif kind == "float":
        mask = tensor(*shape)
    lengths = None
    if not past and draw(st.booleans()):
        lengths = np.array([draw(st.integers(0, total)) for _ in range(batch)])
    return {
        "inputs": [
            tensor(batch, heads, rows, size), tensor(batch, kv_heads, new, size),
            tensor(batch, kv_heads, new, value_size), mask,
            tensor(batch, kv_heads, past, size) if past else None,
            tensor(batch, kv_heads, past, value_size) if past else None, lengths,
        ],
        "is_causal": draw(st.integers(0, 1)),
        "left_window_size": draw(st.integers(-1, 2)),
        "right_window_size": draw(st.integers(-1, 2)),
        "scale": draw(st.sampled_from([None, 0.25, 2.0])),
        "softcap": draw(st.sampled_from([0.0, 1.5])),
    }  # fmt: skip


def expected(case: dict[str, Any]) -> tuple[Array, list[Array]]:
    """The result and the scores at the four stages."""
    q, k, v, mask, past_key, past_value, lengths = case["inputs"]
    wide = [None if x is None else x.astype(np.float64) for x in (q, k, v, past_key, past_value)]
    if past_key is not None:
        wide[1], wide[2] = (np.concatenate([wide[i + 2], wide[i]], axis=2) for i in (1, 2))
    queries, keys, values = wide[:3]
    assert queries is not None
    assert keys is not None
    assert values is not None
    batch, heads, rows, size = queries.shape
    total = keys.shape[2]
    offset = 0 if past_key is None else past_key.shape[2]
    everything = None if mask is None else np.broadcast_to(mask, (batch, heads, rows, total))
    y = np.zeros((batch, heads, rows, values.shape[3]))
    stages = [np.zeros((batch, heads, rows, total)) for _ in range(4)]
    for b, h, i in np.ndindex(batch, heads, rows):
        group = h // (heads // keys.shape[1])
        bias = []
        for j in range(total):
            added = 0.0
            if everything is not None:
                number = everything[b, h, i, j]
                added = float(number) if mask.dtype != bool else (0.0 if number else MASKED)
            seen = visible(
                i + (offset if lengths is None else int(lengths[b]) - rows), j,
                causal=bool(case["is_causal"]),
                window=(case["left_window_size"], case["right_window_size"]),
                length=total if lengths is None else int(lengths[b]),
            )  # fmt: skip
            bias.append(added if seen else MASKED)
        scale = 1 / math.sqrt(size) if case["scale"] is None else case["scale"]
        y[b, h, i], scores = attended(
            queries[b, h, i].tolist(), keys[b, group].tolist(), values[b, group].tolist(),
            bias, scale, case["softcap"],
        )  # fmt: skip
        for stage, row in zip(stages, scores, strict=True):
            stage[b, h, i] = row
    return y, stages


@given(cases())
def test_attention(case: dict[str, Any]) -> None:
    y, stages = expected(case)
    q, k, v = case["inputs"][:3]
    attributes = {name: value for name, value in case.items() if name != "inputs"}
    half = q.dtype in HALVES
    error = {"ulps": 1, "floor": 0.1} if half else {"ulps": 16, "floor": 64}
    for mode, stage in enumerate(stages):
        found = attention(*case["inputs"], **attributes, qk_matmul_output_mode=mode)
        assert_close(found.y, y, q.dtype, **error)
        assert_close(found.qk_matmul_output, stage, q.dtype, **error)
    for present, new, past in ((found.present_key, k, 4), (found.present_value, v, 5)):
        parts = [x for x in (case["inputs"][past], new) if x is not None]
        assert_equal(present, np.concatenate(parts, axis=2))


def test_heads_may_lie_side_by_side() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, heads, 3, 4)) for heads in (4, 2, 2))

    def flat(x: Array) -> Array:
        return x.swapaxes(1, 2).reshape(2, 3, -1)

    four = attention(q, k, v)
    three = attention(flat(q), flat(k), flat(v), q_num_heads=4, kv_num_heads=2)
    assert_equal(three.y, flat(four.y))
    assert_equal(three.present_key, k)  # rank 4, and before it is repeated


def test_each_key_head_serves_a_run_of_query_heads() -> None:
    # Repeated as [h0, h0, h1, h1], not as [h0, h1, h0, h1].
    q, k = np.ones((1, 4, 1, 1)), np.ones((1, 2, 1, 1))
    v = np.array([10.0, 20.0]).reshape(1, 2, 1, 1)
    assert attention(q, k, v).y.ravel().tolist() == [10, 10, 20, 20]


def test_the_causal_frontier_starts_behind_the_past() -> None:
    one = np.ones((1, 1, 2, 1))
    past = np.ones((1, 1, 1, 1))
    v, before = np.array([1.0, 2.0]).reshape(1, 1, 2, 1), np.full((1, 1, 1, 1), 6.0)
    found = attention(one, one, v, None, past, before, is_causal=1)
    # (6 + 1) / 2, (6 + 1 + 2) / 3
    assert_close(found.y, [[[[3.5], [3.0]]]], np.dtype(np.float64), ulps=2)


def test_the_causal_frontier_of_an_outer_cache_ends_with_its_length() -> None:
    q, cache = np.ones((2, 1, 2, 1)), np.ones((2, 1, 4, 1))
    v = np.tile(np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1), (2, 1, 1, 1))
    found = attention(q, cache, v, None, None, None, np.array([3, 1]), is_causal=1)
    # Length 3: queries at 1 and 2. Length 1: queries at -1, which sees nothing, and 0.
    assert found.y.reshape(2, 2).tolist() == [[1.5, 2], [0, 1]]


def test_a_window_by_the_table_of_the_specification() -> None:
    q, k = np.ones((1, 1, 4, 1)), np.ones((1, 1, 6, 1))
    found = attention(
        q, k, k, left_window_size=2, right_window_size=1, qk_matmul_output_mode=3
    ).qk_matmul_output
    assert [np.flatnonzero(row).tolist() for row in found[0, 0]] == [
        [0, 1], [0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4],
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_query_without_keys_gives_zeros(dtype: DType) -> None:
    one = np.ones((1, 1, 2, 2), dtype)
    mask = np.array([[False, False], [True, False]])
    found = attention(one, one, one * 3, mask, qk_matmul_output_mode=3)
    assert_equal(found.y, np.array([[[[0, 0], [3, 3]]]], dtype))
    assert_equal(found.qk_matmul_output, np.array([[[[0, 0], [1, 0]]]], dtype))
    empty = attention(one, one[:, :, :0], one[:, :, :0])
    assert_equal(empty.y, np.zeros((1, 1, 2, 2), dtype))


def test_the_softcap_comes_before_the_mask() -> None:
    # After it, tanh(-inf) would let a masked key through with -1.
    one = np.ones((1, 1, 1, 1))
    keys, v = np.ones((1, 1, 2, 1)), np.array([1.0, 99.0]).reshape(1, 1, 2, 1)
    found = attention(one, keys, v, np.array([[True, False]]), softcap=1.0)
    assert float(found.y[0, 0, 0, 0]) == 1


@pytest.mark.parametrize("mask", [np.array([[True, True]]), np.zeros((1, 2))])
def test_a_short_mask_masks_the_keys_that_it_lacks(mask: Array) -> None:
    one, v = np.ones((1, 1, 1, 1)), np.arange(3.0).reshape(1, 1, 3, 1)
    found = attention(one, np.ones((1, 1, 3, 1)), v, mask)
    assert float(found.y[0, 0, 0, 0]) == 0.5


@pytest.mark.parametrize("code", [1, 10, 11, 16])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_precision_of_the_softmax_changes_no_type(code: int, dtype: DType) -> None:
    one = np.ones((1, 1, 2, 2), dtype)
    found = attention(one, one, one, softmax_precision=code, qk_matmul_output_mode=3)
    assert_equal(found.y, one)
    assert_equal(found.qk_matmul_output, np.full((1, 1, 2, 2), 0.5, dtype))


def test_the_scale_is_shared_between_queries_and_keys() -> None:
    # 300 * 300 is beyond the largest fp16, a quarter of it is not.
    big = np.full((1, 1, 1, 1), 300, np.float16)
    found = attention(big, big, big, scale=0.25)
    assert_equal(found.qk_matmul_output, np.full((1, 1, 1, 1), 22500, np.float16))


def test_values_may_have_a_type_of_their_own() -> None:
    q, v = np.ones((1, 1, 1, 1), np.float16), np.full((1, 1, 1, 1), 0.1)
    found = attention(q, q, v)
    assert_equal(found.y, np.array([[[[0.1]]]], np.float16))
    assert_equal(found.present_value, v)


ONE: Array = np.ones((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ([ONE, ONE, ONE, None, ONE], {}, "past key and a past value come together"),
        ([ONE, ONE, ONE, None, None, ONE], {}, "past key and a past value come together"),
        ([ONE, ONE, ONE, None, ONE, ONE, np.array([3])], {}, "cache outside of the operator"),
        ([ONE, ONE, ONE], {"left_window_size": -2}, "window of size -2"),
        ([np.ones((1, 3, 3, 4)), ONE, ONE], {}, "3 query heads .* 2 key heads"),
        ([ONE[0], ONE[0], ONE[0]], {"q_num_heads": 2}, "into None heads"),
        ([ONE[0]] * 3, {"q_num_heads": 3, "kv_num_heads": 3}, "into 3 heads"),
        ([ONE[0, 0]] * 3, {"q_num_heads": 1, "kv_num_heads": 1}, "into 1 heads"),
        ([ONE, ONE.repeat(2, 0), ONE], {}, r"cannot attend to keys of shape \(2, 2, 3, 4\)"),
        ([ONE, ONE[..., :1], ONE], {}, r"cannot attend to keys of shape \(1, 2, 3, 1\)"),
        ([ONE, ONE, ONE.repeat(2, 0)], {}, "do not pair up"),
        ([ONE, ONE, ONE[:, :1]], {}, "do not pair up"),
        ([ONE, ONE[:, :0], ONE[:, :0]], {}, "shared among 0 key heads"),
        ([ONE, ONE, ONE, np.ones((3, 4))], {}, r"a mask of shape \(3, 4\) for scores of"),
        ([ONE, ONE, ONE, np.ones((2, 1, 3, 3))], {}, "a mask of shape"),
        ([ONE, ONE, ONE, np.ones((1, 1, 1, 3, 3))], {}, "a mask of shape"),
        ([ONE, ONE, ONE, np.ones(())], {}, "a mask of shape"),
        ([ONE, ONE, ONE, None, None, None, np.array([3, 3])], {}, "nonpad_kv_seqlen of shape"),
    ],
)
def test_attention_refuses(inputs: list[Any], attributes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention(*inputs, **attributes)


def test_scores_are_held_to_the_budget() -> None:
    q = np.ones((1, 1, 100, 1), np.float32)
    with spending(Budget(max_bytes=40000)):
        assert attention(q, q, q).y.shape == (1, 1, 100, 1)
    with spending(Budget(max_bytes=39999)), pytest.raises(OverBudgetError, match="40000 bytes"):
        attention(q, q, q)


# -- RotaryEmbedding ------------------------------------------------------------------------------


@given(
    st.sampled_from(FLOATS), shapes(4, 4, min_side=1, max_side=2), st.integers(1, 2),
    st.integers(0, 2), st.booleans(), st.booleans(), st.booleans(), st.data(),
)  # fmt: skip
def test_pairs_are_turned_as_complex_numbers(
    dtype: DType, shape: Shape, pairs: int, rest: int, interleaved: bool, by_position: bool,
    side_by_side: bool, data: st.DataObject,
) -> None:  # fmt: skip
    batch, heads, length, _ = shape
    size = 2 * pairs + rest
    x = data.draw(tensors(dtype, (batch, heads, length, size), low=-2, high=2))
    stored = (3, pairs) if by_position else (batch, length, pairs)
    cos, sin = (data.draw(tensors(dtype, stored, low=-1, high=1)) for _ in range(2))
    ids = np.array(data.draw(st.lists(st.integers(0, 2), min_size=batch * length,
                                      max_size=batch * length))).reshape(batch, length)  # fmt: skip
    wide, real, imaginary = (v.astype(np.float64) for v in (x, cos, sin))
    wanted = wide.copy()
    for b, h, t, p in np.ndindex(batch, heads, length, pairs):
        place = (ids[b, t], p) if by_position else (b, t, p)
        turn = complex(real[place], imaginary[place])
        first, second = (2 * p, 2 * p + 1) if interleaved else (p, p + pairs)
        turned = complex(wide[b, h, t, first], wide[b, h, t, second]) * turn
        wanted[b, h, t, first], wanted[b, h, t, second] = turned.real, turned.imag
    given_x = x.swapaxes(1, 2).reshape(batch, length, heads * size) if side_by_side else x
    found = rotary_embedding(
        given_x, cos, sin, ids if by_position else None, interleaved=int(interleaved),
        num_heads=heads if side_by_side else None, rotary_embedding_dim=2 * pairs if rest else 0,
    )  # fmt: skip
    if side_by_side:
        wanted = wanted.swapaxes(1, 2).reshape(batch, length, heads * size)
    half = dtype in HALVES
    assert_close(found, wanted, dtype, ulps=1 if half else 2, floor=0.01 if half else 4)


def test_one_cache_may_serve_the_whole_batch() -> None:
    # Exporters of PyTorch write it so.
    x, cache = np.arange(24.0).reshape(3, 1, 4, 2), np.arange(4.0).reshape(1, 4, 1)
    every = np.repeat(cache, 3, axis=0)
    assert_equal(rotary_embedding(x, cache, -cache), rotary_embedding(x, every, -every))


def test_a_quarter_turn() -> None:
    x, none, one = np.array([[[[1.0, 0.0]]]]), np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    assert_equal(rotary_embedding(x, none, one), np.array([[[[0.0, 1.0]]]]))


@pytest.mark.parametrize("position", [3, -1])
def test_positions_outside_of_the_caches_are_refused(position: int) -> None:
    cache = np.ones((3, 1))
    with pytest.raises(IndexError, match=f"position {position} is outside a cache of 3"):
        rotary_embedding(np.ones((1, 1, 1, 2)), cache, cache, np.array([[position]]))


@pytest.mark.parametrize(
    ("cos", "sin", "ids", "attributes"),
    [
        ((4, 4), (4, 4), None, {}),  # would be read as (batch, heads, pairs)
        ((1, 4, 4), (1, 1, 4), None, {}),
        ((2, 4, 4), (2, 4, 4), None, {}),
        ((1, 4, 3), (1, 4, 3), None, {}),
        ((1, 4, 4), (1, 4, 4), None, {"rotary_embedding_dim": 4}),
        ((9, 4), (9, 4), (1, 3), {}),
        ((9, 4), (9, 4), (1,), {}),
    ],
)
def test_caches_that_do_not_fit_are_refused(
    cos: Shape, sin: Shape, ids: Shape | None, attributes: dict[str, int]
) -> None:
    positions = None if ids is None else np.zeros(ids, np.int64)
    with pytest.raises(ValueError, match="angles"):
        rotary_embedding(np.ones((1, 4, 4, 8)), np.ones(cos), np.ones(sin), positions, **attributes)


def test_a_tensor_of_rank_3_needs_its_number_of_heads() -> None:
    cache = np.ones((1, 2, 2))
    with pytest.raises(ValueError, match="into None heads"):
        rotary_embedding(np.ones((1, 2, 4)), cache, cache)
    with pytest.raises(ValueError, match="into 3 heads"):
        rotary_embedding(np.ones((1, 2, 4)), cache, cache, num_heads=3)
