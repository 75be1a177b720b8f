"""Attention and rotary embeddings."""

from __future__ import annotations

import numpy as np

from .base import Array, Case, bools, f32, i64, some

ALL = (True, True, True, True)


def qkv(*, queries: int = 2, keys: int = 3, heads: int = 1, key_heads: int = 1) -> list[Array]:
    """Query, key and value of rank 4: one batch entry, size 2."""
    return [
        some(1, heads, queries, 2),
        some(1, key_heads, keys, 2, seed=1),
        some(1, key_heads, keys, 2, seed=2),
    ]


FLAT = [some(1, 2, 4), some(1, 3, 4, seed=1), some(1, 3, 4, seed=2)]
HEADS = {"q_num_heads": 2, "kv_num_heads": 2}
PAST = [some(1, 1, 2, 2, seed=3), some(1, 1, 2, 2, seed=4)]
COS, SIN = (np.cos(f32([0.1, 0.5], [0.7, 2])), np.sin(f32([0.1, 0.5], [0.7, 2])))

CASES: dict[str, list[Case]] = {
    "Attention": [
        Case("plain", 23, qkv()),
        Case("flat", 23, FLAT, HEADS),
        Case("causal", 23, qkv(queries=3), {"is_causal": 1}),
        Case("scale", 23, qkv(), {"scale": 1.0}),
        Case("softcap", 23, qkv(), {"softcap": 0.5}),
        Case("grouped", 23, qkv(heads=4, key_heads=2), {}),
        Case("bool_mask", 23, [*qkv(), bools([True, False, True], [False, True, True])]),
        Case("float_mask", 23, [*qkv(), some(2, 3, seed=5)]),
        Case("mask_per_head", 23, [*qkv(heads=2, key_heads=2), some(1, 2, 2, 3, seed=5)]),
        Case("past", 23, [*qkv(), None, *PAST], {}, (True, True, True)),
        Case("past_causal", 23, [*qkv(), None, *PAST], {"is_causal": 1}, (True, True, True)),
        *[
            Case(
                f"scores{mode}", 23, [*qkv(), some(2, 3, seed=5)],
                {"qk_matmul_output_mode": mode, "softcap": 2.0}, (True, False, False, True),
            )
            for mode in (0, 3)
        ],
        Case("float16", 23, [x.astype(np.float16) for x in qkv()]),
    ],
    "RotaryEmbedding": [
        Case("halves", 23, [some(1, 1, 2, 4), COS, SIN, i64([1, 0])]),
        Case("interleaved", 23, [some(1, 1, 2, 4), COS, SIN, i64([0, 1])], {"interleaved": 1}),
        Case("no_positions", 23, [some(1, 2, 2, 4), COS[None], SIN[None]]),
        Case("flat", 23, [some(1, 2, 8), COS, SIN, i64([0, 1])], {"num_heads": 2}),
        Case(
            "partial", 23, [some(1, 1, 2, 6), COS, SIN, i64([0, 1])],
            {"rotary_embedding_dim": 4, "num_heads": 1},
        ),
        Case(
            "float16", 23,
            [x.astype(np.float16) for x in (some(1, 1, 2, 4), COS[None], SIN[None])],
        ),
    ],
}  # fmt: skip
