"""Each kernel against the operator that it stands in for, within the bound that it states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from embedx import ops
from embedx.engine import Engine
from embedx.graph import Array, SparseTensor
from embedx.kernels import FUSED, REPLACING
from embedx.kernels.storage import (
    dense_product,
    panel_product,
    sparse_product,
    stored,
    whole_product,
)
from embedx.workers import threads
from tests.models import model

ULP = 2.0**-23
Strategy = st.SearchStrategy[Any]


def kernel(formula: Callable[..., Any]) -> Callable[..., Any]:
    return REPLACING[getattr(formula, "__wrapped__", formula)].function


@st.composite
def floats(draw: st.DrawFn, shape: tuple[int, ...] | None = None, *, special: bool = True) -> Array:
    """A float32 tensor of many sizes and magnitudes, now and then with NaN and infinities."""
    if shape is None:
        shape = tuple(draw(st.lists(st.integers(1, 40), min_size=1, max_size=3)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = np.asarray(generator.standard_normal(shape)) * draw(st.sampled_from([0.01, 1, 6, 100, 1e4]))
    if special and draw(st.booleans()):
        places = generator.random(shape) < 0.05
        wild = generator.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38], shape)
        x = np.where(places, wild, x)
    return np.asarray(x, np.float32)


def assert_within(found: Array, exact: Array, absolute: float, relative: float = 0.0) -> None:
    """Assert float32 results, off from the float64 ones by no more than the sum of the bounds."""
    assert found.dtype == np.float32
    assert found.shape == exact.shape
    with np.errstate(all="ignore"):
        fine = np.abs(found - exact) <= absolute + relative * np.abs(exact)
        fine |= found == exact.astype(np.float32)
    fine |= np.isnan(found) & np.isnan(exact)
    assert fine.all(), (found[~fine], exact[~fine])


def exactly(formula: Callable[..., Any], *inputs: Array | None, **attributes: Any) -> Array:
    wide = [None if x is None else x.astype(np.float64) for x in inputs]
    result = formula(*wide, **attributes)
    return np.asarray(result[0] if isinstance(result, tuple) else result)


def alike(function: Callable[..., Any], x: Array, *others: Any, **attributes: Any) -> Array:
    """What the kernel gives: into new memory, over its input, and on two threads the same."""
    first = function(x, *others, **attributes)
    plain = first[0] if isinstance(first, tuple) else first
    over = x.copy()
    again = function(over, *others, out=over, **attributes)
    np.testing.assert_array_equal(again[0] if isinstance(again, tuple) else again, plain)
    with threads(2):
        shared = function(x, *others, **attributes)
    np.testing.assert_array_equal(shared[0] if isinstance(shared, tuple) else shared, plain)
    return np.asarray(plain)


pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize(
    ("formula", "attributes", "absolute", "relative"),
    [
        (ops.gelu, {}, 3e-7, 4 * ULP),
        (ops.gelu, {"approximate": "tanh"}, 3e-7, 4 * ULP),
        (ops.microsoft.gelu, {}, 3e-7, 4 * ULP),
        (ops.microsoft.fast_gelu, {}, 3e-7, 4 * ULP),
        (ops.erf, {}, 3e-7, 0),
        (ops.swish, {}, 1e-35, 8 * ULP),
        (ops.microsoft.quick_gelu, {}, 1e-35, 8 * ULP),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
@given(floats())
def test_activations(
    formula: Any, attributes: dict[str, Any], absolute: float, relative: float, x: Array
) -> None:
    found = alike(partial(kernel(formula), **attributes), x)
    # exp(-x) loses x * ulp where it underflows slowly; there the result is tiny.
    lost = np.where(np.isfinite(x) & (x < 0), np.abs(x) * 100 * ULP, 0)
    exact = exactly(formula, x, **attributes)
    assert_within(found, exact, absolute, relative + float(lost.max(initial=0)))


@pytest.mark.parametrize("formula", [ops.microsoft.bias_gelu, ops.microsoft.fast_gelu])
@given(floats(), st.data())
def test_activations_with_a_bias(formula: Any, x: Array, data: st.DataObject) -> None:
    bias = data.draw(floats(x.shape[-1:], special=False))
    with np.errstate(all="ignore"):
        total = x + bias
    exact = exactly(ops.gelu, total, approximate="tanh" if "fast" in formula.__name__ else "none")
    assert_within(alike(kernel(formula), x, bias), exact, 3e-7, 4 * ULP)


@pytest.mark.parametrize("formula", [ops.softmax, ops.softmax_1])
@given(floats(), st.data())
def test_softmax(formula: Any, x: Array, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    # The op itself subtracts in float32, so a difference of 1e4 has an error of its own.
    spread = np.ptp(x[np.isfinite(x)]) if np.isfinite(x).any() else 0
    exact = exactly(formula, x, axis=axis)
    assert_within(alike(kernel(formula), x, axis=axis), exact, 1e-37, (16 + min(spread, 100)) * ULP)


NORMALIZATIONS = [
    (ops.layer_normalization, True),
    (ops.rms_normalization, False),
    (ops.microsoft.skip_layer_normalization, True),
    (ops.microsoft.skip_simplified_layer_normalization, False),
]


@pytest.mark.parametrize(("formula", "centred"), NORMALIZATIONS)
@given(st.integers(1, 3), st.integers(1, 30), st.integers(2, 60), st.data())
def test_normalizations(
    formula: Any, centred: bool, batch: int, rows: int, width: int, data: st.DataObject
) -> None:
    shape = (batch, rows, width)
    x = data.draw(floats(shape, special=False))
    scale = data.draw(floats((width,), special=False))
    shift = data.draw(floats((width,), special=False)) if centred else None
    others = [o for o in (scale, shift) if o is not None]
    if "skip" in formula.__name__:
        others.insert(0, data.draw(floats(shape, special=False)))
    total = x + others[0] if len(others) > 1 + centred else x
    # What the mean loses of large numbers, the division by a small deviation enlarges.
    deviation = np.std(total, axis=-1).min() if centred else np.sqrt((total**2).mean(-1)).min()
    condition = np.abs(total).max() / max(deviation, 1e-3)
    bound = 16 * ULP * max(condition, 1) * np.abs(scale).max() * np.sqrt(width)
    attributes = {} if "skip" in formula.__name__ else {"epsilon": 1e-5}
    found = alike(partial(kernel(formula), **attributes), x, *others)
    exact = exactly(formula, x, *others, **attributes)
    assert_within(found, exact, bound + 4 * ULP * (0 if shift is None else np.abs(shift).max()))


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.data())
def test_attention(batch: int, heads: int, queries: int, keys: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 20))
    lead = (batch, heads)
    q = data.draw(floats((*lead, queries, width), special=False))
    k = data.draw(floats((*lead, width, keys), special=False))
    v = data.draw(floats((*lead, keys, width), special=False))
    q, k = q / max(np.abs(q).max(), 1), k / max(np.abs(k).max(), 1)
    mask = np.where(np.arange(keys) < data.draw(st.integers(1, keys)), 0, np.float32(-1e9))
    mask = np.broadcast_to(mask.astype(np.float32), (batch, 1, 1, keys))
    exact = exactly(ops.softmax, exactly(ops.matmul, q, k) * 0.25 + mask) @ v.astype(np.float64)
    bound = 64 * ULP * np.abs(v).max()
    found = FUSED["Attention"].function(q, k, v, mask, scale=0.25)
    assert_within(found, exact, bound)
    hidden = FUSED["Attention"].function(
        q, k, v, mask < 0, np.asarray(np.float32(-1e9)), scale=0.25
    )
    assert_within(hidden, exact, bound)


@given(floats(), st.data())
def test_add_is_the_same_to_the_bit(x: Array, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from([x.shape, x.shape[-1:], (1,), ()]))
    b = data.draw(floats(other))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(kernel(ops.add)(x, b), ops.add(x, b))
        np.testing.assert_array_equal(kernel(ops.add)(b, x), ops.add(b, x))


@given(floats(), st.floats(2**-20, 2**20, width=32), st.integers(0, 255), st.booleans())
def test_quantization_is_the_same_to_the_bit(
    x: Array, scale: float, zero: int, signed: bool
) -> None:
    point = np.asarray(zero - 128, np.int8) if signed else np.asarray(zero, np.uint8)
    step = np.asarray(scale, np.float32)
    with np.errstate(all="ignore"):
        y = kernel(ops.quantize_linear)(x, step, point)
        np.testing.assert_array_equal(y, ops.quantize_linear(x, step, point))
        back = kernel(ops.dequantize_linear)(y, step, point)
        np.testing.assert_array_equal(back, ops.dequantize_linear(y, step, point))
        for found, expected in zip(
            kernel(ops.dynamic_quantize_linear)(x), ops.dynamic_quantize_linear(x), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("formula", "attributes"),
    [(ops.microsoft.qlinear_sigmoid, {}), (ops.microsoft.qlinear_leaky_relu, {"alpha": 0.1})],
)
@given(st.integers(0, 2**32), st.booleans(), st.floats(2**-10, 1, width=32))
def test_tables(formula: Any, attributes: Any, seed: int, signed: bool, scale: float) -> None:
    generator = np.random.default_rng(seed)
    kinds = np.int8 if signed else np.uint8
    x = generator.integers(0, 256, (3, 500)).astype(np.uint8).view(kinds).T
    steps = [np.asarray(v, np.float32) for v in (scale, 1 / 256)]
    zeros = generator.integers(0, 256, 2).astype(np.uint8).view(kinds)
    given = (x, steps[0], zeros[:1], steps[1], zeros[1:])
    np.testing.assert_array_equal(
        kernel(formula)(*given, **attributes), formula(*given, **attributes)
    )


@pytest.mark.parametrize("product", [whole_product, panel_product, sparse_product, dense_product])
@given(st.integers(1, 300), st.integers(1, 200), st.integers(1, 90), st.integers(0, 2**32))
def test_products(product: Any, columns: int, inner: int, rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((inner, columns)).astype(np.float32)
    weight[generator.random(weight.shape) < generator.choice([0, 0.5, 0.95, 1])] = 0
    x, out = generator.standard_normal((rows, inner)).astype(np.float32), np.empty((rows, columns))
    out = out.astype(np.float32)
    product(weight)(x, out)
    exact = x.astype(np.float64) @ weight.astype(np.float64)
    size = np.abs(x).astype(np.float64) @ np.abs(weight).astype(np.float64)
    assert (np.abs(out - exact) <= (inner + 2) * ULP / 2 * size).all()


def test_a_matrix_is_stored_sparse_where_that_is_faster_and_only_there() -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((384, 1536)).astype(np.float32)
    assert stored(weight).form == "dense"
    weight[generator.random(weight.shape) < 0.99] = 0
    assert stored(weight).form == "csr"
    places = np.flatnonzero(weight)
    as_sparse = SparseTensor(weight.reshape(-1)[places], places, weight.shape)
    assert stored(as_sparse).form == "csr"
    tiny = np.zeros((2, 2), np.float32)
    assert stored(tiny).form in ("dense", "csr")


EXTREMES = [0, 1, 127, 128, 254, 255]


@pytest.mark.parametrize("inner", [3, 384, 1536, 4096])
@pytest.mark.parametrize("signed", [False, True])
@given(st.data())
def test_integer_products_are_exact(inner: int, signed: bool, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    columns = data.draw(st.integers(1, 20))
    values = np.array(EXTREMES) if data.draw(st.booleans()) else np.arange(256)
    kinds = np.int8 if signed else np.uint8
    a = generator.choice(values, (2, 5, inner)).astype(np.uint8)
    w = generator.choice(values, (inner, columns)).astype(np.uint8).view(kinds)
    a_zero = np.asarray(generator.choice(values), np.uint8)
    w_zero = generator.choice(values, columns).astype(np.uint8).view(kinds)
    proto = model(
        f"g (uint8[B, M, {inner}] a, uint8 az) => (int32[B, M, {columns}] y) "
        "{ y = MatMulInteger(a, w, az, wz) }"
    )
    proto.graph.initializer.extend(
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(w_zero, "wz")]
    )
    expected = (a.astype(object) - int(a_zero)) @ (w.astype(object) - w_zero.astype(object))
    for optimize in (True, False):
        for cores in (1, 2):
            engine = Engine(proto, num_cores=cores, optimize=optimize)
            (found,) = engine.run([a, a_zero])
            np.testing.assert_array_equal(found, expected.astype(np.int32))


CHAIN = """g (float[B, M, 96] x) => (float[B, M, 40] y) {
  q, s, z = DynamicQuantizeLinear(x)
  i = MatMulInteger(q, w, z, wz)
  f = Cast<to = 1>(i)
  t = Mul(s, ws)
  m = Mul(f, t)
  y = Add(m, b)
}"""


@given(floats((2, 7, 96)), st.integers(0, 2**32), st.booleans())
def test_quantized_chains_are_the_same_to_the_bit(x: Array, seed: int, signed: bool) -> None:
    generator = np.random.default_rng(seed)
    kinds = np.int8 if signed else np.uint8
    w = generator.integers(0, 256, (96, 40)).astype(np.uint8).view(kinds)
    w[generator.random(w.shape) < generator.choice([0, 0.95])] = 0
    weights = {
        "w": w,
        "wz": np.asarray(generator.choice([0, 3]), kinds),
        "ws": generator.random(40).astype(np.float32),
        "b": generator.standard_normal(40).astype(np.float32),
    }
    proto = model(CHAIN)
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in weights.items())
    fast, plain = (Engine(proto, optimize=o) for o in (True, False))
    assert len(fast.plan.steps) < len(plain.plan.steps)
    np.testing.assert_array_equal(fast.run([x])[0], plain.run([x])[0])


PRODUCTS = [
    "y = QLinearMatMul(a, s, z, w, ws, wz, ys, yz)",
    "y = com.microsoft.MatMulIntegerToFloat(a, w, s, cs, z, wz, b)",
    "y = com.microsoft.DynamicQuantizeMatMul(x, w, cs, wz, b)",
    "y = com.microsoft.DynamicQuantizeMatMul(x, w, ws)",
]


@pytest.mark.parametrize("line", PRODUCTS)
@given(st.integers(0, 2**32), st.booleans())
def test_scaled_integer_products_are_the_same_to_the_bit(
    line: str, seed: int, signed: bool
) -> None:
    generator = np.random.default_rng(seed)
    kinds = np.int8 if signed else np.uint8
    kind = "uint8" if "QLinear" in line else "float"
    proto = model(
        f"g (uint8[B, M, 300] a, float[B, M, 300] x) => ({kind}[B, M, 40] y) {{ {line} }}",
        imports=', "com.microsoft" : 1',
    )
    weights = {
        "w": generator.integers(0, 256, (300, 40)).astype(np.uint8).view(kinds),
        "wz": generator.integers(0, 256, 1).astype(np.uint8).view(kinds).reshape(()),
        "ws": np.float32(generator.random()),
        "cs": generator.random(40).astype(np.float32),
        "s": np.float32(generator.random()),
        "z": np.uint8(generator.integers(0, 256)),
        "ys": np.float32(200 * generator.random() + 1),
        "yz": np.uint8(generator.integers(0, 256)),
        "b": generator.standard_normal(40).astype(np.float32),
    }
    for name, value in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    a = generator.integers(0, 256, (2, 7, 300)).astype(np.uint8)
    x = generator.standard_normal((2, 7, 300)).astype(np.float32)
    fast, plain = (Engine(proto, optimize=o).run([a, x])[0] for o in (True, False))
    np.testing.assert_array_equal(fast, plain)


@given(floats((7, 30), special=False), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_gemm(x: Array, turned: bool, biased: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    w = generator.standard_normal((20, 30) if turned else (30, 20)).astype(np.float32)
    c = generator.standard_normal(20).astype(np.float32)
    proto = model(
        "g (float[M, 30] x) => (float[M, 20] y) "
        f"{{ y = Gemm<transB = {int(turned)}>(x, w{', c' * biased}) }}"
    )
    proto.graph.initializer.append(numpy_helper.from_array(w, "w"))
    if biased:
        proto.graph.initializer.append(numpy_helper.from_array(c, "c"))
    exact = x.astype(np.float64) @ (w.T if turned else w) + c * biased
    assert_within(Engine(proto).run([x])[0], exact, 32 * ULP * np.abs(x).max() * 30)


def test_every_kernel_is_tested_here() -> None:
    tested = {
        ops.gelu, ops.erf, ops.swish, ops.softmax, ops.softmax_1, ops.add, ops.quantize_linear,
        ops.dequantize_linear, ops.dynamic_quantize_linear, ops.layer_normalization,
        ops.rms_normalization, ops.matmul_integer, ops.qlinear_matmul, ops.matmul, ops.gemm,
        ops.microsoft.gelu, ops.microsoft.bias_gelu, ops.microsoft.fast_gelu,
        ops.microsoft.quick_gelu, ops.microsoft.simplified_layer_normalization,
        ops.microsoft.skip_layer_normalization, ops.microsoft.skip_simplified_layer_normalization,
        ops.microsoft.qlinear_sigmoid, ops.microsoft.qlinear_leaky_relu,
        ops.microsoft.matmul_integer_to_float, ops.microsoft.dynamic_quantize_matmul,
    }  # fmt: skip
    assert set(REPLACING) == {getattr(f, "__wrapped__", f) for f in tested}
    assert set(FUSED) == {"Attention", "ScaledMatMulInteger"}
