"""Blockwise quantized weights against weights that are unpacked one number at a time."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array
from embedx.ops.microsoft import gather_block_quantized, matmul_bnb4, matmul_nbits
from embedx.ops.microsoft.blockwise import unpack_bits
from tests.assertions import assert_close, assert_equal
from tests.ops.microsoft.values import F32, f32, numbers, octets
from tests.strategies import HALVES, DType, Shape, generators

Rng = np.random.Generator
U8 = np.dtype(np.uint8)
Inputs: TypeAlias = "tuple[Array, Array, Array | None]"
# bitsandbytes' levels: a sign, two bits of exponent, one of mantissa, times 12; and quantiles.
FP4 = [0, 0.0625, 8, 12, 4, 6, 2, 3]
NF4_HALF = [0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
            0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]  # fmt: skip


def bits_of(packed: Array, place: int, bits: int) -> int:
    """The number at a place of a row of bytes, the low bits of a byte first."""
    each = 8 // bits
    return int(packed[place // each]) >> bits * (place % each) & (1 << bits) - 1


@pytest.mark.parametrize("bits", [2, 4, 8])
@given(rng=generators(), count=st.integers(0, 3))
def test_bytes_are_unpacked_from_their_low_end(bits: int, rng: Rng, count: int) -> None:
    packed = octets(rng, U8, 2, count)
    expected = [[bits_of(row, i, bits) for i in range(count * 8 // bits)] for row in packed]
    found = unpack_bits(packed, bits)
    assert_equal(found, np.array(expected, np.uint8).reshape(2, -1))


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="2, 4 or 8, not 3"):
        unpack_bits(np.zeros(1, np.uint8), 3)


# -- MatMulNBits ----------------------------------------------------------------------------------


@st.composite
def weights(
    draw: st.DrawFn, rng: Rng, kinds: tuple[str, ...] = ("none", "packed", "float")
) -> tuple[Inputs, dict[str, Any], Array, Array]:
    """B, scales and zero points, attributes; and the levels and scales (N, K) that they mean."""
    bits, size = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from([16, 32]))
    k, n = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    blocks = math.ceil(k / size)
    b, scales = octets(rng, U8, n, blocks, size * bits // 8), numbers(rng, n, blocks)
    kind = draw(st.sampled_from(kinds))
    zeros: Array | None = None
    if kind == "packed":
        zeros = octets(rng, U8, n, math.ceil(blocks * bits / 8))
    elif kind == "float":
        zeros = numbers(rng, n, blocks)
    levels, wide = np.zeros((n, k)), np.zeros((n, k))
    for row, column in np.ndindex(n, k):
        block = column // size
        zero: float = 2 ** (bits - 1)
        if zeros is not None:
            zero = bits_of(zeros[row], block, bits) if kind == "packed" else zeros[row, block]
        levels[row, column] = bits_of(b[row, block], column % size, bits) - float(zero)
        wide[row, column] = scales[row, block]
    flat = draw(st.booleans())  # older exporters wrote them in a row
    inputs = b, scales.reshape(-1) if flat else scales, zeros
    return inputs, {"K": k, "N": n, "bits": bits, "block_size": size}, levels, wide


@given(generators(), st.data())
def test_products_with_packed_weights(rng: Rng, data: st.DataObject) -> None:
    inputs, attributes, levels, scales = data.draw(weights(rng))
    a = numbers(rng, *data.draw(st.sampled_from([(), (2,), (2, 1)])), 2, attributes["K"])
    bias = numbers(rng, attributes["N"]) if data.draw(st.booleans()) else None
    level = data.draw(st.integers(0, 3))  # how coarse the sums may be, which ours are not
    found = matmul_nbits(a, *inputs, None, bias, **attributes, accuracy_level=level)
    exact = a.astype(np.float64) @ (levels * scales).T + (0 if bias is None else bias)
    size = np.abs(a) @ np.abs(levels * scales).T
    assert_close(found, exact, F32, floor=4 * float(size.max()))


@given(generators(), st.data())
def test_accuracy_level_4_quantizes_each_block_of_a(rng: Rng, data: st.DataObject) -> None:
    inputs, attributes, levels, scales = data.draw(weights(rng, ("none", "packed")))
    size, k = attributes["block_size"], attributes["K"]
    a = numbers(rng, 2, k)
    a[0, :size] = 0  # a block without a largest number
    found = matmul_nbits(a, *inputs, **attributes, accuracy_level=4)
    exact = np.zeros((2, attributes["N"]))
    for row, column, block in np.ndindex(*exact.shape, math.ceil(k / size)):
        begin = block * size
        part = a[row, begin : begin + size]
        step = np.abs(part).max() / f32(127)
        whole = np.rint(part / step) if step else np.zeros_like(part)
        total = float(whole @ levels[column, begin : begin + size])
        exact[row, column] += float(step) * scales[column, begin] * total
    largest = 127 * np.abs(a) @ np.abs(levels * scales).T
    assert_close(found, exact, F32, floor=float(largest.max()))


@given(generators(), st.data())
def test_accuracy_level_4_needs_whole_zero_points(rng: Rng, data: st.DataObject) -> None:
    inputs, attributes, _, _ = data.draw(weights(rng, ("float",)))
    a = numbers(rng, 2, attributes["K"])
    found = matmul_nbits(a, *inputs, **attributes, accuracy_level=4)
    assert_equal(found, matmul_nbits(a, *inputs, **attributes))


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_are_multiplied_in_float32(half: DType) -> None:
    rng = np.random.default_rng(0)
    a, scales = numbers(rng, 2, 32).astype(half), numbers(rng, 3, 2).astype(half)
    b = octets(rng, U8, 3, 2, 8)
    found = matmul_nbits(a, b, scales, K=32, N=3, block_size=16)
    wide = matmul_nbits(
        a.astype(np.float32), b, scales.astype(np.float32), K=32, N=3, block_size=16
    )
    assert_equal(found, wide.astype(half))


def test_prepacked_weights_are_refused() -> None:
    one = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="prepacked"):
        matmul_nbits(
            one, np.zeros((1, 1, 8), np.uint8), one, K=1, N=1, block_size=16, weight_prepacked=1
        )


@pytest.mark.parametrize("sizes", [{"K": 2}, {"K": 0}, {"block_size": 0}, {"N": -1}])
@pytest.mark.parametrize("accuracy_level", [0, 4])
def test_products_with_rows_of_another_size_are_refused(
    sizes: dict[str, int], accuracy_level: int
) -> None:
    one, sizes = np.ones((1, 1), np.float32), {"K": 1, "N": 1, "block_size": 16} | sizes
    with pytest.raises(ValueError, match="in blocks of"):
        matmul_nbits(
            one, np.zeros((1, 1, 8), np.uint8), one, accuracy_level=accuracy_level, **sizes
        )
    bias = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="one number per column"):
        matmul_nbits(
            one, np.zeros((1, 1, 8), np.uint8), one, None, None, bias, K=1, N=1, block_size=16
        )


# -- MatMulBnb4 -----------------------------------------------------------------------------------


def level(code: int, kind: int) -> float:
    if kind == 0:
        return FP4[code & 7] / 12 * (-1 if code & 8 else 1)
    if code == 7:
        return 0.0
    return NF4_HALF[code - 8] if code > 7 else bnb_negative(code)


def bnb_negative(code: int) -> float:
    """NF4 is not symmetric: one level more is positive."""
    return [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
            -0.28444138169288635, -0.18477343022823334, -0.09105003625154495][code]  # fmt: skip


@given(generators(), st.sampled_from([0, 1]), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_bnb4(rng: Rng, kind: int, k: int, n: int, transposed: bool) -> None:
    size = 16
    a, b = numbers(rng, 2, k), octets(rng, U8, math.ceil(k * n / 2))
    absmax = np.abs(numbers(rng, math.ceil(k * n / size)))
    flat = [
        level(int(b[i // 2]) >> (0 if i % 2 else 4) & 15, kind) * float(absmax[i // size])
        for i in range(k * n)
    ]
    weight = np.array(flat).reshape((n, k) if transposed else (k, n))
    found = matmul_bnb4(
        a, b, absmax, K=k, N=n, block_size=size, quant_type=kind, transB=int(transposed)
    )
    assert_close(found, a.astype(np.float64) @ (weight.T if transposed else weight), F32, floor=64)


# -- GatherBlockQuantized -------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn, rng: Rng) -> tuple[list[Any], dict[str, int], Array]:
    """Data, scales, zero points; attributes; and the table in float64."""
    kind = draw(st.sampled_from(["int4", "uint4", "packed", "uint8"]))
    shape = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(2, 3)))]
    rank = len(shape)
    blocked = rank - 1 if kind == "packed" else draw(st.integers(0, rank - 1))
    gathered = draw(st.sampled_from([axis for axis in range(rank) if axis != blocked]))
    if kind == "packed":
        gathered = 0
        shape[-1] *= 2
    shape[blocked] *= draw(st.sampled_from([1, 10]))
    blocks = [math.ceil(s / 16) if i == blocked else s for i, s in enumerate(shape)]
    low = -8 if kind == "int4" else 0
    high = 256 if kind == "uint8" else low + 16
    codes, zeros = rng.integers(low, high, shape), rng.integers(low, high, blocks)
    scales = numbers(rng, *blocks)
    given_zeros = draw(st.booleans())
    table = np.zeros(shape)
    for place in np.ndindex(*shape):
        block = tuple(p // 16 if i == blocked else p for i, p in enumerate(place))
        default = {"packed": 8, "uint8": 128}.get(kind, 0)
        zero = int(zeros[block]) if given_zeros else default
        table[place] = (int(codes[place]) - zero) * float(scales[block])
    dtype = np.dtype(np.uint8) if kind in ("packed", "uint8") else getattr(ml_dtypes, kind)

    def stored(whole: Array) -> Array:
        if kind != "packed":
            return whole.astype(dtype)
        even = np.concatenate([whole, np.zeros((*whole.shape[:-1], whole.shape[-1] % 2), int)], -1)
        return (even[..., ::2] | even[..., 1::2] << 4).astype(np.uint8)

    inputs = [stored(codes), scales, stored(zeros) if given_zeros else None]
    negative = draw(st.sampled_from([0, rank]))
    attributes = {
        "bits": 8 if kind == "uint8" else 4, "block_size": 16,
        "gather_axis": gathered - negative, "quantize_axis": blocked - negative,
    }  # fmt: skip
    return inputs, attributes, table


@given(generators(), st.data())
def test_gathered_rows_are_those_of_the_whole_table(rng: Rng, data: st.DataObject) -> None:
    (codes, scales, zeros), attributes, table = data.draw(tables(rng))
    side = table.shape[attributes["gather_axis"]]
    shape = data.draw(st.sampled_from([(), (2,), (2, 1)]))
    indices = rng.integers(-side, side, shape)
    found = gather_block_quantized(codes, indices, scales, zeros, **attributes)
    wanted = np.take(table, indices % side, axis=attributes["gather_axis"])
    assert_close(found, wanted, F32, ulps=0.51)


@pytest.mark.parametrize("index", [2, -3])
def test_an_index_outside_the_table_is_refused(index: int) -> None:
    data, scales = np.zeros((2, 16), np.uint8), np.ones((2, 2), np.float32)
    with pytest.raises(IndexError, match=str(index)):
        gather_block_quantized(data, np.array([index]), scales, block_size=16)


@pytest.mark.parametrize(
    ("scales", "zeros", "block_size"),
    [((2, 1), None, 16), ((1, 2), None, 16), ((2, 2), (1, 1), 16), ((2, 2), None, 0)],
)
def test_there_is_a_scale_for_each_block(
    scales: Shape, zeros: Shape | None, block_size: int
) -> None:
    given = None if zeros is None else np.zeros(zeros, np.uint8)
    with pytest.raises(ValueError, match="blocks"):
        gather_block_quantized(
            np.zeros((2, 16), np.uint8), np.array([0]), np.ones(scales, np.float32), given,
            block_size=block_size,
        )  # fmt: skip
