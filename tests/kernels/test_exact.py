"""In exact precision a kernel has the bits of its widened operator, whatever stands around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from embedx import ops
from embedx.kernels import EXACT
from embedx.model.graph import Array, Node
from embedx.ops import widened
from embedx.run.engine import Engine
from embedx.workers import threads
from tests.kernels.cases import floats, plain
from tests.kernels.test_exact_products import ties
from tests.models import model

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

ROUNDS = {entry.formula: entry for entry in ops.registered()}
LARGE = st.sampled_from([(3, 2, 70, 90), (1, 5, 7000), (70000, 1), (40000,), (2, 300, 64)])
MS = ops.microsoft


def literal(formula: Callable[..., Any]) -> Callable[..., Any]:
    entry = ROUNDS[plain(formula)]
    return widened(entry.formula, np.dtype(np.float64), entry.rounds, entry.like)


def several(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def assert_same(found: Any, expected: Any) -> None:
    for a, b in zip(several(found), several(expected), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.signbit(a[a == 0]), np.signbit(b[b == 0]))


def check(formula: Callable[..., Any], call: Callable[..., Any], *inputs: Any, **more: Any) -> None:
    expected = literal(formula)(*inputs, **more)
    for count in (1, 2):
        with threads(count):
            found = call(*inputs, **more)
        assert found is not NotImplemented
        assert_same(found, expected)


ELEMENTWISE: list[Callable[..., Any]] = [
    ops.erf, ops.exp, ops.log, ops.sqrt, ops.tanh, ops.sigmoid, ops.softplus, ops.gelu, ops.swish,
    ops.mish, MS.gelu, MS.bias_gelu, MS.fast_gelu, MS.quick_gelu,
]  # fmt: skip
ALONG_AN_AXIS: list[Callable[..., Any]] = [
    ops.softmax, ops.softmax_1, ops.layer_normalization,
    ops.rms_normalization,
]  # fmt: skip
ARITHMETIC: list[Callable[..., Any]] = [ops.add, ops.sub, ops.mul, ops.div]
WITH_WEIGHTS: list[Callable[..., Any]] = [
    ops.gemm,
    ops.conv,
    ops.conv_transpose,
    MS.fused_matmul,
    MS.fused_conv,
    ops.matmul,
]


def test_every_kernel_is_tested() -> None:
    tested = {plain(f) for f in (*ELEMENTWISE, *ALONG_AN_AXIS, *ARITHMETIC, *WITH_WEIGHTS)}
    assert tested == set(EXACT)


@pytest.mark.parametrize("formula", ELEMENTWISE, ids=lambda f: f.__name__)
@settings(max_examples=10)
@given(st.data())
def test_elements(formula: Callable[..., Any], data: st.DataObject) -> None:
    x = data.draw(floats(data.draw(LARGE)))
    biased = formula in (MS.bias_gelu, MS.fast_gelu)
    others = [data.draw(floats(x.shape[-1:], special=False))] * biased
    with np.errstate(all="ignore"):
        check(formula, EXACT[plain(formula)].function, x, *others)


@pytest.mark.parametrize("formula", ALONG_AN_AXIS, ids=lambda f: f.__name__)
@settings(max_examples=10)
@given(st.data())
def test_rows(formula: Callable[..., Any], data: st.DataObject) -> None:
    x = data.draw(floats(data.draw(LARGE)))
    count = {"layer_normalization": 2, "rms_normalization": 1}.get(formula.__name__, 0)
    others = [data.draw(floats(x.shape[-1:], special=False)) for _ in range(count)]
    axis = data.draw(st.sampled_from([-1, x.ndim - 1]))
    with np.errstate(all="ignore"):
        check(formula, EXACT[plain(formula)].function, x, *others, axis=axis)


@pytest.mark.parametrize("formula", ARITHMETIC, ids=lambda f: f.__name__)
@settings(max_examples=40)
@given(st.data())
def test_one_operation_is_rounded_alike_in_float32_and_float64(
    formula: Callable[..., Any], data: st.DataObject
) -> None:
    shape = data.draw(LARGE | st.just((3, 7)))
    cut = data.draw(st.integers(0, len(shape)))
    ones = tuple(data.draw(st.sampled_from([1, n])) for n in shape)
    pair = [
        data.draw(floats(shape)),
        data.draw(floats(data.draw(st.sampled_from([shape[cut:], ones])))),
    ]
    # Down to the smallest numbers, which have fewer digits, and up to the largest.
    tiny = data.draw(st.sampled_from([1, 1e-18, 1e-38, 1e-44, 1e19]))
    with np.errstate(all="ignore"):
        pair = [np.asarray(x * np.float32(tiny), np.float32) for x in pair]
        if data.draw(st.booleans()):
            pair.reverse()
        kernel = EXACT[plain(formula)]
        check(formula, kernel.function, *pair)
        expected = literal(formula)(*pair)
        for place in kernel.overwrites:
            copies = [x.copy() for x in pair]
            assert_same(kernel.function(*copies, out=copies[place]), expected)


def prepared(formula: Callable[..., Any], constants: list[Array | None], **attributes: Any) -> Any:
    kernel = EXACT[plain(formula)]
    assert kernel.prepare is not None
    names = tuple("" if x is None else f"x{i}" for i, x in enumerate(constants))
    entry = ROUNDS[plain(formula)]
    node = Node(entry.name, names, ("y",), attributes, entry.domain, opset=entry.since)
    made = kernel.prepare(node, tuple(constants), "auto")
    assert made is not None
    return partial(made.call, **attributes)


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("lead", [(), (3,), (1, 1), (1, 5), (2, 3), (4, 1, 2)])
@pytest.mark.parametrize("turned", [False, True])
@given(st.integers(0, 2**32))
def test_products(lead: tuple[int, ...], turned: bool, seed: int) -> None:
    # Whole numbers, as sums of others may lie so near to a tie that the order of additions shows.
    shapes = [(*lead, 9, 60), (60, 50), (*lead, 60, 9)]
    a, weight, b = (np.rint(99 * normal(seed + i, *shape)) for i, shape in enumerate(shapes))
    a = b.swapaxes(-1, -2) if turned else a
    check(ops.matmul, prepared(ops.matmul, [None, weight]), a, weight)
    check(ops.matmul, EXACT[plain(ops.matmul)].function, a, weight)
    check(ops.matmul, EXACT[plain(ops.matmul)].function, a, b)


@given(st.integers(0, 2**32))
def test_weights_are_converted_beforehand(seed: int) -> None:
    x, image = normal(seed, 7, 30), normal(seed, 2, 4, 9, 9)
    weight, bias, filters = normal(seed, 20, 30), normal(seed, 20), normal(seed, 4, 4, 3, 3)
    call = prepared(ops.gemm, [None, weight, bias], transB=1, alpha=0.5)
    check(ops.gemm, partial(call), x, weight, bias, transB=1, alpha=0.5)
    check(MS.fused_matmul, prepared(MS.fused_matmul, [None, weight]), x, weight, transB=1)
    for formula in (ops.conv, ops.conv_transpose, MS.fused_conv):
        check(formula, prepared(formula, [None, filters]), image, filters, pads=(1, 1, 1, 1))


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("bias", [None, (20,), (1, 20)])
@given(st.integers(0, 2**32))
def test_a_bias_is_a_term(turned: int, bias: tuple[int, ...] | None, seed: int) -> None:
    # Whole numbers for the reason above; the bias is so large that two roundings would show.
    x, weight = (np.rint(99 * normal(seed + i, n, 30)) for i, n in enumerate((7, 20)))
    weight = weight if turned else weight.T
    inputs = [x, weight] + ([] if bias is None else [np.rint(2**25 * normal(seed, *bias))])
    call = prepared(ops.gemm, [None, *inputs[1:]], transB=turned)
    assert "_prepared_gemm" in call.func.__qualname__
    check(ops.gemm, call, *inputs, transB=turned)


def test_layers_with_one_weight_have_one_copy_of_it() -> None:
    weight = normal(0, 8, 8)
    first, second = (prepared(ops.matmul, [None, weight]).func for _ in range(2))
    wide = [f.__closure__[0].cell_contents.made for f in (first, second)]
    assert wide[0] is wide[1]


def test_what_a_kernel_leaves_to_its_operator() -> None:
    wide, x = np.ones((300, 300)), np.ones((300, 300), np.float32)
    declined: list[tuple[Callable[..., Any], tuple[Array, ...], dict[str, Any]]] = [
        (ops.add, (wide, wide), {}),
        (ops.erf, (wide,), {}),
        (ops.softmax, (x,), {"axis": 0}),
        (ops.softmax_1, (x[None],), {}),
        (ops.layer_normalization, (x, x[0]), {"axis": 0}),
        (ops.layer_normalization, (x, x[0]), {"stash_type": 11}),
        (ops.layer_normalization, (x, x), {}),
        (ops.matmul, (x, x.astype(np.float64)), {}),
        (ops.matmul, (x, x[0]), {}),
        (ops.matmul, (x[0], x), {}),
        (ops.matmul, (x, x[:7]), {}),
        (ops.matmul, (x.reshape(3, 100, 300), x[None]), {}),
    ]
    for formula, inputs, attributes in declined:
        assert EXACT[plain(formula)].function(*inputs, **attributes) is NotImplemented


LAYER = """g (float[B, 60, 96] x) => (float[B, 60, 192] y, float[B, 60, 60] p) {
  h = MatMul(x, w)
  b = Add(h, v)
  d = Div(b, r)
  e = Erf(d)
  t = Transpose<perm = [0, 2, 1]>(b)
  s = MatMul(b, t)
  p = Softmax<axis = -1>(s)
  y = Mul(b, e)
}"""


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_not_a_bit_of_a_gemm_depends_on_the_batch(seed: int) -> None:
    a, b, expected = ties()
    a = a[seed % 97 :]
    call = prepared(ops.gemm, [None, b, np.zeros(1, np.float32)])
    np.testing.assert_array_equal(call(a, b, np.zeros(1, np.float32)), expected[seed % 97 :])


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_not_a_bit_depends_on_the_batch(seed: int) -> None:
    proto = model(LAYER)
    weights = {"w": normal(seed, 96, 192), "v": normal(seed, 192), "r": np.float32(1.4142135)}
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()
    )
    x = normal(seed, 7, 60, 96)
    alone = Engine(proto, precision="exact", num_cores=1)
    each = [np.concatenate(parts) for parts in zip(*(alone.run([e[None]]) for e in x), strict=True)]
    for cores in (1, 2):
        together = Engine(proto, precision="exact", num_cores=cores).run([x])
        for found, expected in zip(together, each, strict=True):
            np.testing.assert_array_equal(found, expected)
