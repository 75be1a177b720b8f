"""Operators of onnxruntime: com.microsoft, and what it keeps in the default domain.

A product of uint8 by int8 must not be asked of onnxruntime, whose sums saturate on some machines.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from .base import Array, Case, bools, counting, f16, f32, i64, ints, octets, scalar, signed, some

U8, S8, I32 = "uint8", "int8", "int32"
TAME = f32(-20, -5, -1.5, -0.3, 0, 0.01, 0.7, 3, 20)
LAST = (True, False, False, True)
INT4 = np.dtype(ml_dtypes.int4)
UINT4 = np.dtype(ml_dtypes.uint4)


def positive(*shape: int, seed: int = 0, scale: float = 0.1) -> Array:
    return (np.abs(some(*shape, seed=seed)) + 1).astype(np.float32) * np.float32(scale)


def half(values: list[Array]) -> list[Array]:
    return [x.astype(np.float16) if x.dtype == np.float32 else x for x in values]


CASES: dict[str, list[Case]] = {}

# Activations.
for _name in ("Gelu", "QuickGelu", "FastGelu"):
    CASES[f"com.microsoft.{_name}"] = [Case("range", 1, [TAME]), Case("matrix", 1, [some(2, 3)])]
for _name in ("BiasGelu", "FastGelu"):
    CASES.setdefault(f"com.microsoft.{_name}", []).append(
        Case("bias", 1, [some(2, 3, scale=3), some(3, seed=1)])
    )
CASES["com.microsoft.FastGelu"].append(Case("float16", 1, [TAME.astype(np.float16)]))
CASES["com.microsoft.QuickGelu"] += [
    Case("silu", 1, [TAME], {"alpha": 1.0}),
    Case("float16", 1, [TAME.astype(np.float16)]),
]
CASES["com.microsoft.BiasSplitGelu"] = [
    Case("float32", 1, [some(1, 2, 6), some(6, seed=1)]),
    Case("float16", 1, [some(1, 2, 4, dtype="float16"), some(4, dtype="float16", seed=1)]),
]

# Normalisation.
ROWS = [some(1, 2, 4), some(1, 2, 4, seed=1), some(4, seed=2)]
CASES["com.microsoft.SkipLayerNormalization"] = [
    Case("no_beta", 1, ROWS),
    Case("all_inputs", 1, [*ROWS, some(4, seed=3), some(4, seed=4)]),
    Case("sum_only", 1, [*ROWS, some(4, seed=3)], {}, LAST),
    Case("epsilon", 1, [*ROWS, None, some(4, seed=4)], {"epsilon": 0.1}, LAST),
    Case("skip_rank2", 1, [some(2, 2, 4), some(2, 4, seed=1), some(4, seed=2)]),
    Case("skip_broadcast", 1, [some(2, 2, 4), some(1, 2, 4, seed=1), some(4, seed=2)]),
    Case("rank2", 1, [some(2, 4), some(2, 4, seed=1), some(4, seed=2)]),
    Case("float16", 1, half([*ROWS, some(4, seed=3), some(4, seed=4)])),
]
CASES["com.microsoft.SkipSimplifiedLayerNormalization"] = [
    Case("defaults", 1, ROWS),
    Case("bias", 1, [*ROWS, some(4, seed=4)], {"epsilon": 0.1}, LAST),
    Case("float16", 1, half(ROWS), {}, LAST),
]
CASES["SimplifiedLayerNormalization"] = [
    Case("defaults", 17, [some(2, 4), some(4, seed=1)]),
    Case("two_axes", 17, [some(2, 2, 3), some(2, 3, seed=1)], {"axis": 1}),
    Case("statistics", 17, [some(2, 4), some(4, seed=1)], {"epsilon": 0.1}, (True, True)),
    Case("float16", 17, [f16([300, -300, 100, 0]), f16(1, 2, 1, 0.5)]),
    Case("halves_by_float32", 11, [f16([300, -300, 100, 0]), f32(1, 2, 1, 0.5)]),
]
TABLES = [some(5, 4), some(3, 4, seed=1), some(2, 4, seed=2)]
AFFINE = [some(4, seed=3), some(4, seed=4)]
IDS, SEGMENTS = ints(I32, [1, 4], [0, 2]), ints(I32, [0, 1], [1, 1])
CASES["com.microsoft.EmbedLayerNormalization"] = [
    Case("mask", 1, [IDS, SEGMENTS, *TABLES, *AFFINE, ints(I32, [1, 1], [1, 0])], {}, (True, True)),
    Case("sum", 1, [IDS, SEGMENTS, *TABLES, *AFFINE], {}, (True, True, True)),
    Case("no_segments", 1, [IDS, None, *TABLES[:2], None, *AFFINE], {}, (True, True)),
    Case(
        "positions", 1, [IDS, SEGMENTS, *TABLES, *AFFINE, None, ints(I32, [2, 0], [1, 1])],
        {"epsilon": 0.1}, (True, True),
    ),
]  # fmt: skip
CASES["com.microsoft.QEmbedLayerNormalization"] = [
    Case(
        "mask", 1,
        [
            IDS, SEGMENTS, octets(5, 4), octets(3, 4, seed=1), octets(2, 4, seed=2),
            octets(4, seed=3), octets(4, seed=4), ints(I32, [1, 1], [1, 0]),
            *(scalar(s) for s in (0.02, 0.01, 0.03, 0.01, 0.005)),
            *(scalar(z, U8) for z in (128, 100, 90, 0, 128)),
        ],
        {}, (True, True),
    ),
]  # fmt: skip

# Products.
CASES["com.microsoft.FusedMatMul"] = [
    Case("alpha", 1, [some(2, 3), some(3, 2, seed=1)], {"alpha": 0.25}),
    Case("transposed", 1, [some(3, 2), some(2, 3, seed=1)], {"transA": 1, "transB": 1}),
    Case("stack", 1, [some(2, 2, 3), some(2, 2, 3, seed=1)], {"transB": 1}),
    Case("batch_a", 1, [some(2, 3, 2), some(3, 2, 2, seed=1)], {"transBatchA": 1}),
    Case(
        "batch_a_transposed", 1, [some(2, 3, 2), some(3, 2, 2, seed=1)],
        {"transBatchA": 1, "transA": 1},
    ),
    Case("batch_b", 1, [some(3, 1, 2), some(2, 3, 2, seed=1)], {"transBatchB": 1}),
]  # fmt: skip
CASES["com.microsoft.TransposeMatMul"] = [
    Case(
        "transposed", 1, [some(3, 2), some(2, 3, seed=1)], {"transA": 1, "transB": 1, "alpha": 0.5}
    ),
]
SPARSE = f32([0, 2, 0], [0.5, 0, -3])
CASES["com.microsoft.SparseToDenseMatMul"] = [
    Case("defaults", 1, [SPARSE, some(3, 2)]),
    Case("transposed", 1, [SPARSE, some(4, 2)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    Case("int64", 1, [ints("int64", [0, 2], [-3, 0]), ints("int64", [5], [7])], {"alpha": 2.0}),
]
CASES["com.microsoft.FusedGemm"] = [
    *[
        Case(
            activation, 1, [some(2, 3), some(2, 3, seed=1), some(2, seed=2)],
            {"activation": activation, "transB": 1, "alpha": 0.5, "beta": 2.0},
        )
        for activation in ("Relu", "Tanh", "Sigmoid")
    ],
    Case(
        "LeakyRelu", 1, [some(2, 3), some(3, 2, seed=1)],
        {"activation": "LeakyRelu", "activation_alpha": 0.1},
    ),
]  # fmt: skip
CASES["com.microsoft.MatMulInteger16"] = [
    Case("int16", 1, [ints("int16", [300, -300], [2, 3]), ints("int16", [200], [100])]),
]
BYTES = [octets(2, 3), octets(3, 2, seed=1)]
CASES["com.microsoft.MatMulIntegerToFloat"] = [
    Case("no_zero_points", 1, [*BYTES, scalar(0.1), scalar(0.02)]),
    Case(
        "all_inputs", 1,
        [*BYTES, scalar(0.1), f32(0.02, 0.3), scalar(120, U8), ints(U8, 7, 130), some(2, seed=2)],
    ),
]  # fmt: skip
CASES["com.microsoft.DynamicQuantizeMatMul"] = [
    Case("one_scale", 1, [some(2, 3), BYTES[1], scalar(0.02)]),
    Case(
        "per_column", 1, [some(2, 3), BYTES[1], f32(0.02, 0.3), ints(U8, 7, 130), some(2, seed=2)]
    ),
]
CASES["com.microsoft.QGemm"] = [
    Case(
        "float_out", 1,
        [
            BYTES[0], scalar(0.1), scalar(120, U8), BYTES[1], scalar(0.02), scalar(7, U8),
            ints(I32, 100, -50),
        ],
        {"alpha": 0.5},
    ),
    Case(
        "requantized", 1,
        [
            BYTES[0], scalar(0.1), scalar(120, U8), octets(2, 3, seed=1), f32(0.02, 0.01),
            ints(U8, 7, 130), ints(I32, 100, -50), scalar(0.5), scalar(128, U8),
        ],
        {"transB": 1},
    ),
]  # fmt: skip


def blocks(bits: int, *, seed: int = 0) -> Array:
    """Two columns of 32 numbers in blocks of 16, as MatMulNBits packs them."""
    return octets(2, 2, 2 * bits, seed=seed)


for _bits in (2, 4, 8):
    _sizes = {"K": 32, "N": 2, "block_size": 16, "bits": _bits}
    _zeros = octets(2, max(2 * _bits // 8, 1), seed=3)
    CASES.setdefault("com.microsoft.MatMulNBits", []).extend(
        [
            Case(f"bits{_bits}", 1, [some(1, 32), blocks(_bits), positive(2, 2)], _sizes),
            Case(
                f"bits{_bits}_zero_points", 1,
                [some(1, 32), blocks(_bits), positive(2, 2), _zeros], _sizes,
            ),
        ]
    )  # fmt: skip
_sizes = {"K": 32, "N": 2, "block_size": 16, "bits": 4}
CASES["com.microsoft.MatMulNBits"] += [
    Case("bias", 1, [some(1, 32), blocks(4), positive(2, 2), None, None, some(2, seed=5)], _sizes),
    Case(
        "float_zero_points",
        1,
        [some(1, 32), blocks(4), positive(2, 2), f32([7, 8.5], [0, 3])],
        _sizes,
    ),
    Case(
        "float_zero_points_level_4",
        1,
        [some(1, 32), blocks(4), positive(2, 2), f32([7, 8.5], [0, 3])],
        {**_sizes, "accuracy_level": 4},
        constant=(1, 2, 3),
    ),
    Case("short_last_block", 1, [some(1, 20), blocks(4), positive(2, 2)], {**_sizes, "K": 20}),
    Case(
        "quantized_a",
        1,
        [some(1, 32), blocks(4), positive(2, 2)],
        {**_sizes, "accuracy_level": 4},
        constant=(1, 2),
    ),
    Case("float16", 1, half([some(1, 32), blocks(4), positive(2, 2)]), _sizes),
]
for _kind, _type in (("fp4", 0), ("nf4", 1)):
    CASES.setdefault("com.microsoft.MatMulBnb4", []).append(
        Case(
            _kind, 1, [some(1, 16), octets(16), positive(2)],
            {"K": 16, "N": 2, "block_size": 16, "quant_type": _type},
        )
    )  # fmt: skip
CODES = np.random.default_rng(0).integers(0, 16, (2, 16))
SMALL = {"block_size": 16}
CASES["com.microsoft.GatherBlockQuantized"] = [
    Case("uint4", 1, [CODES.astype(UINT4), i64(1, 0), positive(2, 1)], SMALL),
    Case("int4", 1, [(CODES - 8).astype(INT4), i64(-1), positive(2, 1)], SMALL),
    Case(
        "uint4_zero_points", 1,
        [CODES.astype(UINT4), i64([1]), positive(2, 1), np.array([[3], [12]]).astype(UINT4)], SMALL,
    ),
    Case("packed", 1, [octets(2, 8), i64(1), positive(2, 1)], SMALL),
    Case(
        "bytes", 1, [octets(2, 16), i64(1), positive(2, 1), ints(U8, [3], [200])],
        {**SMALL, "bits": 8},
    ),
]  # fmt: skip

# 8 and 16 bits in, the same out.
POINT, OTHER = [scalar(0.103), scalar(120, U8)], [scalar(0.047), scalar(7, U8)]
RESULT = [scalar(0.211), scalar(100, U8)]
SIGNED = [signed(2, 3), scalar(0.05), scalar(-3, S8)]
# Results between two integers, the zero point being odd: it matters whether it is rounded in.
UNIT, HALVES = [scalar(1), scalar(0, U8)], [scalar(2), scalar(1, U8)]
TIES = [ints(U8, 1, 3, 5, 7), *UNIT]
for _name in ("QLinearAdd", "QLinearMul"):
    CASES[f"com.microsoft.{_name}"] = [
        Case("uint8", 1, [octets(2, 3), *POINT, octets(2, 3, seed=1), *OTHER, *RESULT]),
        Case("broadcast", 1, [octets(2, 3), *POINT, octets(3, seed=1), *OTHER, *RESULT]),
        Case(
            "int8", 1,
            [*SIGNED, signed(2, 3, seed=1), scalar(0.1), scalar(5, S8), scalar(0.2), scalar(0, S8)],
        ),
        Case("ties", 1, [*TIES, ints(U8, 1, 2, 3, 4), *UNIT, *HALVES]),
    ]  # fmt: skip
for _name, _attributes in (
    ("QLinearSigmoid", {}),
    ("QLinearLeakyRelu", {"alpha": 0.1}),
    ("QLinearSoftmax", {"axis": -1, "opset": 13}),
):
    CASES[f"com.microsoft.{_name}"] = [
        Case("uint8", 1, [octets(2, 3), *OTHER, scalar(1 / 256), scalar(0, U8)], _attributes),
        Case("int8", 1, [*SIGNED, scalar(0.01), scalar(-10, S8)], _attributes),
    ]
CASES["com.microsoft.QLinearLeakyRelu"].append(Case("ties", 1, [*TIES, *HALVES]))
CASES["com.microsoft.QLinearSoftmax"].append(
    Case(
        "opset12", 1, [octets(1, 2, 3), *OTHER, scalar(1 / 256), scalar(0, U8)],
        {"axis": 1, "opset": 12},
    )
)  # fmt: skip
CASES["com.microsoft.QLinearConcat"] = [
    Case("uint8", 1, [*RESULT, octets(2, 1), *POINT, octets(2, 2, seed=1), *OTHER], {"axis": 1}),
    Case("ties", 1, [*HALVES, *TIES], {"axis": 0}),
]
CASES["com.microsoft.QLinearWhere"] = [
    Case(
        "uint8", 1,
        [bools([True, False, True]), octets(2, 3), *POINT, octets(2, 1, seed=1), *OTHER, *RESULT],
    ),
    Case("ties", 1, [bools(True, False, True, False), *TIES, *TIES, *HALVES]),
]  # fmt: skip
CASES["com.microsoft.QLinearGlobalAveragePool"] = [
    Case("channels_first", 1, [octets(1, 2, 2, 3), *POINT, *OTHER]),
    Case("channels_last", 1, [octets(1, 2, 3, 2), *POINT, *OTHER], {"channels_last": 1}),
    Case("ties", 1, [ints(U8, [[1, 1], [3, 3], [5, 5]]), *UNIT, *HALVES]),
]
CASES["com.microsoft.QLinearAveragePool"] = [
    Case("ties", 1, [ints(U8, [[1, 1, 3, 5]]), *UNIT, *HALVES], {"kernel_shape": [2]}),
    Case(
        "padded", 1, [octets(1, 2, 4), *POINT, *OTHER],
        {"kernel_shape": [2], "strides": [2], "pads": [1, 1]},
    ),
    Case(
        "padding_counts", 1, [octets(1, 1, 3, 3), *POINT, *OTHER],
        {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1},
    ),
]  # fmt: skip
CASES["com.microsoft.QLinearReduceMean"] = [
    Case("uint8", 1, [octets(2, 3), *POINT, *RESULT], {"axes": [1], "keepdims": 1}),
    Case("dropped", 1, [octets(2, 2, 2), *POINT, *OTHER], {"axes": [0, -1], "keepdims": 0}),
]
CASES["com.microsoft.QuantizeLinear"] = [
    Case("uint16", 1, [some(2, 3, scale=9), scalar(0.01), scalar(300, "uint16")]),
    Case("int16", 1, [some(2, 3, scale=9), scalar(0.01), scalar(-5, "int16")]),
    Case("axis", 1, [some(2, 3, scale=9), f32(0.1, 0.2), ints(U8, 0, 128)], {"axis": 0}),
    Case("saturated", 1, [f32(1e10, -1e10, 0.5, 1.5), scalar(1), scalar(1, U8)]),
]
CASES["com.microsoft.DequantizeLinear"] = [
    Case("uint16", 1, [ints("uint16", 0, 300, 65535), scalar(0.01), scalar(300, "uint16")]),
    Case("int16", 1, [ints("int16", -(2**15), 5), scalar(0.01), scalar(-5, "int16")]),
    Case("axis", 1, [octets(2, 3), f32(0.1, 0.2), ints(U8, 0, 128)], {"axis": 0}),
]

# Attention.
PROJECTED = [some(2, 3, 4), some(4, 12, seed=1, scale=0.5), some(12, seed=2)]
TWO_HEADS = {"num_heads": 2}
MASKED = ints(I32, [1, 1, 0], [1, 1, 1])
CASES["com.microsoft.Attention"] = [
    Case("no_mask", 1, PROJECTED, TWO_HEADS),
    Case("mask", 1, [*PROJECTED, MASKED], TWO_HEADS),
    Case(
        "mask_nothing_left", 1, [*PROJECTED, ints(I32, [0, 0, 0], [1, 1, 1])],
        {**TWO_HEADS, "mask_filter_value": -3.4028235e38},
    ),
    Case("lengths", 1, [*PROJECTED, ints(I32, 2, 3)], TWO_HEADS),
    Case("ends_and_starts", 1, [*PROJECTED, ints(I32, 3, 3, 1, 0)], TWO_HEADS),
    Case("mask_per_query", 1, [*PROJECTED, np.tile(MASKED[:, None], (1, 3, 1))], TWO_HEADS),
    Case("causal", 1, [*PROJECTED, MASKED], {**TWO_HEADS, "unidirectional": 1}),
    Case("mask_of_one_number", 1, [*PROJECTED, ints(I32, [0], [1])], TWO_HEADS),
    Case("bias", 1, [*PROJECTED, None, None, some(1, 2, 3, 3, seed=3)], TWO_HEADS),
    Case("scale", 1, [*PROJECTED, MASKED], {**TWO_HEADS, "scale": 1.0}),
    Case(
        "narrow_values", 1, [some(1, 2, 4), some(4, 10, seed=1), some(10, seed=2)],
        {**TWO_HEADS, "qkv_hidden_sizes": [4, 4, 2]},
    ),
    Case(
        "past", 1,
        [some(1, 1, 4), PROJECTED[1], PROJECTED[2], None, some(2, 1, 2, 2, 2, seed=4)],
        {**TWO_HEADS, "unidirectional": 1}, (True, True),
    ),
    Case("float16", 1, half([*PROJECTED, MASKED]), TWO_HEADS),
]  # fmt: skip
CASES["com.microsoft.QAttention"] = [
    Case(
        "mask", 1,
        [
            octets(1, 3, 4), octets(4, 12, seed=1), some(12, seed=2), scalar(0.02), scalar(0.01),
            ints(I32, [1, 1, 0]), scalar(120, U8), scalar(128, U8),
        ],
        TWO_HEADS,
    ),
    Case(
        "per_column", 1,
        [
            octets(1, 3, 4), octets(4, 12, seed=1), some(12, seed=2), scalar(0.02),
            positive(12, scale=0.01), None, scalar(120, U8), octets(12, seed=3),
        ],
        {**TWO_HEADS, "unidirectional": 1},
    ),
]  # fmt: skip
QKV = [some(1, 2, 4), some(1, 3, 4, seed=1), some(1, 3, 4, seed=2)]
CASES["com.microsoft.MultiHeadAttention"] = [
    Case("cross", 1, QKV, TWO_HEADS),
    Case("bias", 1, [*QKV, some(12, seed=3)], TWO_HEADS),
    Case("lengths", 1, [*QKV, None, ints(I32, 2)], TWO_HEADS),
    Case("padding", 1, [*QKV, None, ints(I32, [1, 0, 1])], TWO_HEADS),
    Case("padding_per_query", 1, [*QKV, None, ints(I32, [[1, 0, 1], [0, 1, 1]])], TWO_HEADS),
    Case("attention_bias", 1, [*QKV, None, None, some(1, 2, 2, 3, seed=4)], TWO_HEADS),
    Case("causal", 1, [QKV[1], QKV[1], QKV[2]], {**TWO_HEADS, "unidirectional": 1}),
    Case(
        "key_of_rank_4", 1, [QKV[0], some(1, 2, 3, 2, seed=1), some(1, 2, 3, 2, seed=2)],
        {**TWO_HEADS, "scale": 1.0},
    ),
    Case(
        "past", 1,
        [*[QKV[0]] * 3, None, None, None, some(1, 2, 1, 2, seed=5), some(1, 2, 1, 2, seed=6)],
        TWO_HEADS, (True, True, True),
    ),
    Case(
        "room_for_more", 1,
        [
            *[QKV[0]] * 3, None, None, None, some(1, 2, 4, 2, seed=5), some(1, 2, 4, 2, seed=6),
            ints(I32, 1),
        ],
        TWO_HEADS, (True, True, True),
    ),
    Case("float16", 1, half(QKV), TWO_HEADS),
]  # fmt: skip
STEP = [f32([[1, 0.5, 2, -1]]), f32([[0.5, 1, -1, 1]]), f32([[1, 2, 3, 4]])]
# Positive values, whose means do not cancel.
BEFORE = [some(1, 2, 4, 2, seed=5), np.abs(some(1, 2, 4, 2, seed=6)), ints(I32, 2)]
SHARED = {**TWO_HEADS, "past_present_share_buffer": 1}
CASES["com.microsoft.DecoderMaskedMultiHeadAttention"] = [
    Case("step", 1, [*STEP, None, None, *BEFORE], SHARED, (True, True, True)),
    Case("masked", 1, [*STEP, ints(I32, [1, 0, 1]), None, *BEFORE], SHARED, (True, True, True)),
    Case(
        "beams", 1,
        [
            *[np.concatenate([x, 2 * x]) for x in STEP], None, None,
            some(2, 2, 4, 2, seed=5), np.abs(some(2, 2, 4, 2, seed=6)), ints(I32, 2),
            ints(I32, 2), ints(I32, [[1, 0, 0, 0], [1, 1, 0, 0]]),
        ],
        SHARED, (True, True, True),
    ),
    Case(
        "cross", 1, [STEP[0], some(1, 2, 3, 2, seed=1), np.abs(some(1, 2, 3, 2, seed=2))], TWO_HEADS
    ),
]  # fmt: skip
GROUPS = {"num_heads": 2, "kv_num_heads": 1}
NEW = [some(1, 2, 16), some(1, 2, 8, seed=1), some(1, 2, 8, seed=2)]
NOTHING_PAST = [np.zeros((1, 1, 0, 8), np.float32)] * 2
LENGTHS = [ints(I32, 1), scalar(2, I32)]
CACHES = [np.cos(positive(4, 8, scale=1.0)), np.sin(positive(4, 8, scale=1.0))]
PROMPT = [*NEW, *NOTHING_PAST, *LENGTHS]
CASES["com.microsoft.GroupQueryAttention"] = [
    Case("prompt", 1, PROMPT, GROUPS, (True, True, True)),
    Case("softcap", 1, PROMPT, {**GROUPS, "softcap": 0.5, "scale": 1.0}, (True,) * 3),
    Case("window", 1, PROMPT, {**GROUPS, "local_window_size": 1}, (True,) * 3),
    Case("smooth", 1, PROMPT, {**GROUPS, "smooth_softmax": 1}, (True,) * 3),
    Case(
        "next_token", 1,
        [
            some(1, 1, 16), some(1, 1, 8, seed=1), some(1, 1, 8, seed=2),
            some(1, 1, 2, 8, seed=3), some(1, 1, 2, 8, seed=4), ints(I32, 2), scalar(3, I32),
        ],
        GROUPS, (True, True, True),
    ),
    Case(
        "rotary", 1,
        [
            some(1, 2, 32), some(1, 2, 16, seed=1), some(1, 2, 16, seed=2),
            *[np.zeros((1, 1, 0, 16), np.float32)] * 2, *LENGTHS, *CACHES,
        ],
        {**GROUPS, "do_rotary": 1}, (True, True, True),
    ),
]  # fmt: skip
TURN = [i64([1, 0]), np.cos(f32([0.1, 0.5], [0.7, 2])), np.sin(f32([0.1, 0.5], [0.7, 2]))]
CASES["com.microsoft.RotaryEmbedding"] = [
    Case("halves", 1, [some(1, 2, 8), *TURN]),
    Case("interleaved", 1, [some(1, 2, 4), *TURN], {"interleaved": 1}),
    Case("rank4", 1, [some(1, 2, 2, 4), *TURN]),
    Case("first_position", 1, [some(1, 2, 4), i64(0), *TURN[1:]]),
    Case("partial", 1, [some(1, 2, 6), *TURN], {"rotary_embedding_dim": 4, "num_heads": 1}),
    Case("float16", 1, half([some(1, 2, 4), *TURN])),
]
OFFSETS = ints(I32, [0, 3, 4], [1, 2, 5])
CASES["com.microsoft.RemovePadding"] = [
    Case("two_texts", 1, [counting(2, 3, 2), ints(I32, 1, 2)], {}, (True,) * 4),
]
CASES["com.microsoft.RestorePadding"] = [Case("two_texts", 1, [some(3, 2), OFFSETS])]
CASES["com.microsoft.PackedAttention"] = [
    Case(
        "two_texts", 1,
        [some(3, 4), some(4, 12, seed=1), some(12, seed=2), OFFSETS, ints(I32, 0, 1, 3)],
        TWO_HEADS,
    ),
    Case(
        "bias", 1,
        [
            some(3, 4), some(4, 10, seed=1), some(10, seed=2), OFFSETS, ints(I32, 0, 1, 3),
            some(1, 2, 3, 3, seed=3),
        ],
        {**TWO_HEADS, "scale": 0.5, "qkv_hidden_sizes": [4, 4, 2]},
    ),
]  # fmt: skip
CASES["com.microsoft.RelativePositionBias"] = [
    Case(
        f"{'both' if both else 'one'}_way", 1,
        [some(8, 2), scalar(5, "int64"), scalar(5, "int64")],
        {"is_bidirectional": both, "max_distance": 9},
    )
    for both in (0, 1)
]  # fmt: skip
GATE = [some(4, seed=1), some(1, 2, 2, 2, seed=2), some(2, 4, seed=3), some(4, seed=4)]
CASES["com.microsoft.GatedRelativePositionBias"] = [
    Case("padded", 1, [some(1, 2, 4), *GATE, f32([[[1]], [[0.5]]])], TWO_HEADS),
    Case("packed", 1, [some(1, 4), *GATE, f32([[[1]], [[0.5]]]), ints(I32, [0, 1])], TWO_HEADS),
]

# What exporters write.
CASES["com.microsoft.Trilu"] = [
    Case("upper", 1, [some(2, 3)]),
    Case("lower", 1, [some(2, 3, 3)], {"upper": 0}),
    Case("diagonal", 1, [some(3, 3), scalar(1, "int64")]),
    Case("below", 1, [ints("int64", [1, 2], [3, 4]), scalar(-1, "int64")], {"upper": 0}),
]
CASES["com.microsoft.ExpandDims"] = [
    Case("front", 1, [some(2, 3), scalar(0, "int32")]),
    Case("middle", 1, [some(2, 3), scalar(1, "int32")]),
    Case("last", 1, [some(2, 3), scalar(-1, "int32")]),
    Case("integers", 1, [ints("int64", [1, 2], [3, 4]), scalar(-3, "int32")]),
]
CASES["com.microsoft.Inverse"] = [
    Case("matrix", 1, [f32([2, 0], [1, 4])]),
    Case("batch", 1, [f32([[1, 2], [0, 4]], [[0, 1], [1, 0]])]),
    Case("float64", 1, [f32([2, 1], [0, 0.5]).astype("float64")]),
]
POINTS = f32([[[-0.5, 0.25], [0.125, 1]], [[0, 0], [-1.25, 0.5]]])
CASES["com.microsoft.GridSample"] = [
    Case(mode, 1, [f32([[[1, 2, 4, 8], [3, 5, 7, 9]]]), POINTS], {"mode": mode})
    for mode in ("bilinear", "nearest")
]
CASES["com.microsoft.CDist"] = [
    Case(metric, 1, [some(2, 3), some(3, 3, seed=1)], {"metric": metric})
    for metric in ("sqeuclidean", "euclidean")
]
