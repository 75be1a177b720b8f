"""Inputs that kernels take on or decline, and how far their results may be off."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import REPLACING, Storage
from embedx.model.graph import Array, Node
from embedx.workers import threads
from tests.kernels.convolutions import convolutions
from tests.ops.test_recurrent import layers as recurrent_layers
from tests.ops.test_recurrent import sigmoid
from tests.ops.test_trees import Tree
from tests.ops.test_trees_legacy import Trees as VotingTrees
from tests.ops.test_trees_legacy import table as tree_table

ULP = 2.0**-23
Strategy = st.SearchStrategy[Any]


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


def assert_within(found: Array, exact: Array, absolute: Any, relative: Any = 0.0) -> None:
    """Assert float32 results, off from the float64 ones by no more than the sum of the bounds."""
    assert found.dtype == np.float32
    assert found.shape == exact.shape
    with np.errstate(all="ignore"):
        fine = np.abs(found - exact) <= absolute + relative * np.abs(exact)
        fine |= found == exact.astype(np.float32)
    fine |= np.isnan(found) & np.isnan(exact)
    assert fine.all(), (found[~fine], exact[~fine])


def exactly(formula: Callable[..., Any], *inputs: Array | None, **attributes: Any) -> Array:
    wide = [x.astype(np.float64) if x is not None and x.dtype.kind == "f" else x for x in inputs]
    result = formula(*wide, **attributes)
    return np.asarray(result[0] if isinstance(result, tuple) else result)


@dataclass(frozen=True)
class Case:
    """Inputs that a kernel takes on, and how far its result may be from that in float64."""

    inputs: tuple[Array | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    absolute: Any = 0.0
    relative: Any = 0.0
    """Numbers, or one for each element."""
    constants: tuple[int, ...] = ()
    """The inputs that the kernel is prepared for."""
    bits: bool = False
    """Whether the result is that of the operator to the bit."""


def activation(bias: bool = False, bits: bool = False, **attributes: Any) -> Strategy:
    @st.composite
    def case(draw: st.DrawFn) -> Case:
        x = draw(floats())
        b = draw(floats(x.shape[-1:], special=False)) if bias else None
        # Rounding x moves exp(-x) by as many ulp as x has units; there the result is small.
        total = x if b is None else x + b
        lost = np.where(np.isfinite(total) & (total < 0), np.abs(total), 0)
        return Case((x, b)[: 1 + bias], attributes, 3e-7, (4 + 2 * lost) * ULP, bits=bits)

    return case()


@st.composite
def softmax_case(draw: st.DrawFn) -> Case:
    x = draw(floats())
    bound = (8 + x.shape[-1] / 64) * ULP
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        sums = np.exp(wide).sum(-1)
        spread = wide.max(-1, keepdims=True) - wide
    if not (sums.min() > 2.0**-39 and sums.max() < 2.0**39):
        # With the maximum subtracted, the rounding of a difference of 100 is 50 units of its exp.
        bound = bound + np.where(np.isfinite(spread), np.minimum(spread, 100), 0) * ULP
    return Case((x,), {"axis": draw(st.sampled_from([-1, x.ndim - 1]))}, 2.0**-100, bound)


def normalization(skip: bool, centred: bool, bias: bool) -> Strategy:
    @st.composite
    def case(draw: st.DrawFn) -> Case:
        shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(2, 60)))
        vectors = [draw(floats(shape[-1:], special=False)) for _ in range(1 + centred + bias)]
        x = draw(floats(shape, special=False))
        others = [draw(floats(draw(st.sampled_from([shape, shape[1:]])), special=False))] * skip
        epsilon = draw(st.sampled_from([1e-5, 1e-12]))
        parts = [a.astype(np.float64) for a in (x, *others, *vectors[-1:] * bias)]
        total = sum(parts[1:], parts[0])
        centre = total.mean(-1, keepdims=True) if centred else 0
        size = np.sqrt(((total - centre) ** 2).mean(-1, keepdims=True) + epsilon)
        # What additions and the mean lose of large numbers, the division by a small size enlarges.
        largest = sum(np.abs(a) for a in parts).max(-1, keepdims=True)
        scale = np.abs(vectors[0].astype(np.float64))
        terms = np.abs(total - centre) / size * scale + largest / size * scale * (skip or centred)
        shift = np.abs(vectors[1]) if centred else 0
        return Case((x, *others, *vectors), {"epsilon": epsilon}, 4 * ULP * (terms + shift) + 1e-37)

    return case()


@st.composite
def addition(draw: st.DrawFn) -> Case:
    x = draw(floats())
    b = draw(floats(draw(st.sampled_from([x.shape, x.shape[-1:]]))))
    return Case(draw(st.sampled_from([(x, b), (b, x)])), bits=True)


@st.composite
def reshaping(draw: st.DrawFn) -> Case:
    x = draw(floats())
    sizes = [1, *x.shape[::-1]]
    keep = draw(st.booleans())
    sizes = [0, *x.shape[1:]] if keep else sizes
    if draw(st.booleans()):
        sizes[draw(st.integers(0, len(sizes) - 1))] = -1
    return Case((x, np.array(sizes, np.int64)), bits=True, constants=(1,))


@st.composite
def splitting(draw: st.DrawFn, where: str) -> Case:
    x = draw(floats())
    ends = sorted(draw(st.lists(st.integers(0, x.shape[-1]), max_size=3)))
    lengths = np.diff([0, *ends, x.shape[-1]])
    axis = draw(st.sampled_from([-1, x.ndim - 1]))
    if where == "attribute":
        return Case((x,), {"axis": axis, "split": tuple(lengths.tolist())}, bits=True)
    if draw(st.booleans()) or x.shape[-1] % 2:
        return Case((x, lengths.astype(np.int64)), {"axis": axis}, bits=True, constants=(1,))
    return Case((x,), {"axis": axis, "num_outputs": 2}, bits=True)


@st.composite
def quantization(draw: st.DrawFn, *, back: bool = False, dynamic: bool = False) -> Case:
    x = draw(floats().filter(lambda x: (np.isfinite(x).all() and np.ptp(x) > 0) or not dynamic))
    if dynamic:
        return Case((x,), bits=True)
    kind = draw(st.sampled_from([np.uint8, np.int8]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = np.asarray(draw(st.floats(2**-20, 2**20, width=32)), np.float32)
    zero = generator.integers(0, 256, ()).astype(np.uint8).view(kind)
    if back:
        x = generator.integers(0, 256, x.shape).astype(np.uint8).view(kind)
    return Case((x, scale, np.asarray(zero)), bits=True)


@st.composite
def looked_up(draw: st.DrawFn, /, **attributes: Any) -> Case:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from([np.uint8, np.int8]))
    x = generator.integers(0, 256, (3, 500)).astype(np.uint8).view(kind).T
    steps = [np.asarray(v, np.float32) for v in (draw(st.floats(2**-10, 1, width=32)), 1 / 256)]
    zeros = generator.integers(0, 256, 2).astype(np.uint8).view(kind)
    return Case((x, steps[0], zeros[:1], steps[1], zeros[1:]), attributes, bits=True)


@st.composite
def product(draw: st.DrawFn, *, gemm: bool = False) -> Case:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    inner, columns = draw(st.integers(1, 60)), draw(st.integers(1, 90))
    lead = (draw(st.integers(1, 20)),) if gemm else tuple(
        draw(st.lists(st.integers(1, 6), min_size=2, max_size=3))
    )  # fmt: skip
    a = generator.standard_normal((*lead, inner)).astype(np.float32)
    turned = gemm and draw(st.booleans())
    shape = (columns, inner) if turned else (inner, columns)
    b = generator.standard_normal(shape).astype(np.float32)
    b[generator.random(shape) < generator.choice([0, 0.5, 0.95])] = 0
    bound = (inner + 4) * ULP * float((np.abs(a) @ np.abs(b.T if turned else b)).max() + 1)
    constants = (1,) if gemm or draw(st.booleans()) else ()
    if not gemm:
        return Case((a, b), {}, bound, constants=constants)
    c = generator.standard_normal(columns).astype(np.float32)
    return Case((a, b, *[c] * draw(st.integers(0, 1))), {"transB": int(turned)}, bound,
                constants=constants)  # fmt: skip


@st.composite
def integers(draw: st.DrawFn, order: str) -> Case:
    """Inputs of a product of 8-bit integers by their letters, in the operator's order."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from([np.uint8, np.int8]))
    lead = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    inner, columns = draw(st.integers(1, 300)), draw(st.integers(1, 40))

    def bytes_of(*shape: int, kind: Any = kind) -> Array:
        return np.asarray(generator.integers(0, 256, shape).astype(np.uint8).view(kind))

    many = draw(st.booleans())
    values: dict[str, Any] = {
        "a": bytes_of(*lead, inner, kind=np.uint8),
        "x": generator.standard_normal((*lead, inner)).astype(np.float32),
        "z": bytes_of(kind=np.uint8),
        "s": np.asarray(generator.random(), np.float32),
        "w": bytes_of(inner, columns),
        "W": bytes_of(*(columns,) * many),
        "S": generator.random((columns,) * many).astype(np.float32),
        "b": generator.standard_normal(columns).astype(np.float32),
        "y": np.asarray(200 * generator.random() + 1, np.float32),
        "Y": bytes_of(kind=np.uint8),
    }
    constants = tuple(i for i, letter in enumerate(order) if letter in "wW")
    return Case(tuple(values[letter] for letter in order), bits=True, constants=constants)


@st.composite
def trees(draw: st.DrawFn) -> Case:
    rows, features, targets = (draw(st.integers(1, 3)) for _ in range(3))
    attributes = Tree(draw, features, targets).attributes()
    attributes["aggregate_function"] = draw(st.integers(0, 3))
    return Case((tree_table(draw, rows, features),), attributes, bits=True)


@st.composite
def voting_trees(draw: st.DrawFn, kind: str) -> Case:
    rows, features, owners = (draw(st.integers(1, 3)) for _ in range(3))
    grown = VotingTrees(draw, features, list(range(owners)), st.integers(-4, 4))
    attributes = grown.attributes(kind, draw(st.booleans()))
    attributes["post_transform"] = draw(st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"]))
    attributes["base_values"] = (0.25,) * owners
    if kind == "target":
        attributes["aggregate_function"] = draw(st.sampled_from(["SUM", "AVERAGE", "MIN", "MAX"]))
        attributes["n_targets"] = owners
    else:
        attributes["classlabels_int64s"] = (7, 5, 6)[:owners]
    return Case((tree_table(draw, rows, features),), attributes, bits=True)


@st.composite
def recurrent(
    draw: st.DrawFn, operator: Callable[..., Any], gates: int, default: list[Any], *choices: str
) -> Case:
    states = 2 if operator is ops.lstm else 1
    layer = draw(recurrent_layers(gates, default, states=states))
    attributes = layer.attributes | {name: draw(st.integers(0, 1)) for name in choices}
    y = operator(*layer.arguments, **attributes).y
    bound = 256 * ULP * (1 + np.abs(y).max(initial=0))
    return Case(tuple(layer.arguments), attributes, bound, constants=(1, 2))


@st.composite
def quantized_lstm(draw: st.DrawFn) -> Case:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    time, batch, size = (draw(st.integers(1, 9)) for _ in range(3))
    hidden, kind = draw(st.integers(1, 70)), draw(st.sampled_from([np.uint8, np.int8]))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    count, per_column = 1 + (direction == "bidirectional"), draw(st.booleans())
    each = (count, 4 * hidden) if per_column else (count,)

    def octets(*shape: int) -> Array:
        return np.asarray(generator.integers(0, 256, shape).astype(np.uint8).view(kind))

    def numbers(*shape: int) -> Array:
        return np.asarray(generator.standard_normal(shape), np.float32)

    def maybe(value: Array) -> Array | None:
        return value if draw(st.booleans()) else None

    inputs = (
        numbers(time, batch, size), octets(count, size, 4 * hidden),
        octets(count, hidden, 4 * hidden), maybe(numbers(count, 8 * hidden)),
        maybe(generator.integers(0, time + 1, batch).astype(np.int32)),
        maybe(numbers(count, batch, hidden)), maybe(numbers(count, batch, hidden)),
        maybe(numbers(count, 3 * hidden)), np.abs(numbers(*each)) / 99, octets(*each),
        np.abs(numbers(*each)) / 99, octets(*each),
    )  # fmt: skip
    attributes = {"direction": direction, "input_forget": draw(st.integers(0, 1))}
    return Case(inputs, attributes, constants=(1, 2, 8, 9, 10, 11), bits=True)


@st.composite
def convolution(draw: st.DrawFn, /, order: str, *, bits: bool = True, **options: Any) -> Case:
    inputs, attributes, bound, constants = draw(convolutions(order, **options))
    return Case(inputs, attributes, bound, constants=constants, bits=bits)


MS = ops.microsoft
CASES: dict[Callable[..., Any], tuple[str, str, Strategy]] = {
    ops.gelu: ("Gelu", "", activation() | activation(approximate="tanh")),
    ops.erf: ("Erf", "", activation()),
    ops.swish: ("Swish", "", activation() | activation(alpha=1.5)),
    ops.softmax: ("Softmax", "", softmax_case()),
    ops.softmax_1: ("Softmax", "old", softmax_case()),
    ops.add: ("Add", "", addition()),
    ops.sub: ("Sub", "", addition()),
    ops.mul: ("Mul", "", addition()),
    ops.tanh: ("Tanh", "", activation(bits=True)),
    ops.relu: ("Relu", "", activation(bits=True)),
    ops.reshape: ("Reshape", "", reshaping()),
    ops.split: ("Split", "", splitting("input")),
    ops.joining.split_13: ("Split", "", splitting("input")),
    ops.joining.split_2: ("Split", "", splitting("attribute")),
    ops.quantize_linear: ("QuantizeLinear", "", quantization()),
    ops.dequantize_linear: ("DequantizeLinear", "", quantization(back=True)),
    ops.dynamic_quantize_linear: ("DynamicQuantizeLinear", "", quantization(dynamic=True)),
    ops.layer_normalization: ("LayerNormalization", "", normalization(False, True, False)),
    ops.rms_normalization: ("RMSNormalization", "", normalization(False, False, False)),
    ops.matmul: ("MatMul", "", product()),
    ops.gemm: ("Gemm", "", product(gemm=True)),
    ops.conv: ("Conv", "", convolution("xf", bits=False) | convolution("xfb", bits=False)),
    ops.conv_integer: ("ConvInteger", "", convolution("Xw") | convolution("XwzW")),
    ops.qlinear_conv: (
        "QLinearConv", "", convolution("XszwSWyY") | convolution("XszwSWyYB")
    ),
    MS.qlinear_conv: (
        "QLinearConv", "com.microsoft",
        convolution("XszwSWyY", channels_last=True) | convolution("XszwSWyYB", channels_last=True),
    ),
    MS.fused_conv: (
        "FusedConv", "com.microsoft",
        convolution("xfb", bits=False) | convolution("xfbr", bits=False),
    ),
    ops.matmul_integer: ("MatMulInteger", "", integers("awzW")),
    ops.qlinear_matmul: ("QLinearMatMul", "", integers("aszwSWyY")),
    ops.rnn: ("RNN", "", recurrent(ops.rnn, 1, [math.tanh])),
    ops.gru: ("GRU", "", recurrent(ops.gru, 3, [sigmoid, math.tanh], "linear_before_reset")),
    ops.lstm: (
        "LSTM", "", recurrent(ops.lstm, 4, [sigmoid, math.tanh, math.tanh], "input_forget")
    ),
    ops.tree_ensemble: ("TreeEnsemble", "ai.onnx.ml", trees()),
    ops.tree_ensemble_regressor: ("TreeEnsembleRegressor", "ai.onnx.ml", voting_trees("target")),
    ops.tree_ensemble_classifier: ("TreeEnsembleClassifier", "ai.onnx.ml", voting_trees("class")),
    MS.gelu: ("Gelu", "com.microsoft", activation()),
    MS.bias_gelu: ("BiasGelu", "com.microsoft", activation(bias=True)),
    MS.fast_gelu: ("FastGelu", "com.microsoft", activation() | activation(bias=True)),
    MS.quick_gelu: ("QuickGelu", "com.microsoft", activation() | activation(alpha=1.5)),
    MS.simplified_layer_normalization: (
        "SimplifiedLayerNormalization", "", normalization(False, False, False)
    ),
    MS.skip_layer_normalization: (
        "SkipLayerNormalization", "com.microsoft",
        normalization(True, True, False) | normalization(True, True, True),
    ),
    MS.skip_simplified_layer_normalization: (
        "SkipSimplifiedLayerNormalization", "com.microsoft",
        normalization(True, False, False) | normalization(True, False, True),
    ),
    MS.dynamic_quantize_lstm: ("DynamicQuantizeLSTM", "com.microsoft", quantized_lstm()),
    MS.qlinear_sigmoid: ("QLinearSigmoid", "com.microsoft", looked_up()),
    MS.qlinear_leaky_relu: ("QLinearLeakyRelu", "com.microsoft", looked_up(alpha=0.1)),
    MS.matmul_integer_to_float: (
        "MatMulIntegerToFloat", "com.microsoft", integers("awsSzWb")
    ),
}  # fmt: skip


def plain(formula: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(formula, "__wrapped__", formula)


def kernel_for(
    formula: Callable[..., Any], case: Case, op_type: str, domain: str, storage: Storage
) -> Any:
    """The kernel as a plan makes it: around the case's constants, in front of its attributes."""
    found = REPLACING[plain(formula)]
    names = tuple("" if x is None else f"x{i}" for i, x in enumerate(case.inputs))
    node = Node(op_type, names, ("y",), case.attributes, domain, opset=28)
    constants = tuple(x if i in case.constants else None for i, x in enumerate(case.inputs))
    prepared = found.prepare(node, constants, storage) if found.prepare else None
    return partial(prepared.call if prepared else found.function, **case.attributes), found


def first(result: Any) -> Array:
    return np.asarray(result[0] if isinstance(result, tuple) else result)


def check(formula: Callable[..., Any], data: st.DataObject) -> None:
    """Assert that a kernel does what its operator does, however and over whatever it is called."""
    op_type, domain, strategy = {plain(f): entry for f, entry in CASES.items()}[formula]
    case = data.draw(strategy)
    storage = data.draw(st.sampled_from(get_args(Storage)))
    call, kernel = kernel_for(formula, case, op_type, domain, storage)
    with np.errstate(all="ignore"):
        result = call(*case.inputs)
        assert result is not NotImplemented
        expected = formula(*case.inputs, **case.attributes)
        if case.bits:
            several = result if isinstance(result, tuple) else (result,)
            wanted = expected if isinstance(expected, tuple) else (expected,)
            for found, right in zip(several, wanted, strict=True):
                assert found.dtype == right.dtype
                np.testing.assert_array_equal(found, right)
        else:
            exact = exactly(formula, *case.inputs, **case.attributes)
            assert_within(first(result), exact, case.absolute, case.relative)
        # The same on two threads, and over each input that it can write to.
        with threads(2):
            np.testing.assert_array_equal(first(call(*case.inputs)), first(result))
        for place in kernel.overwrites:
            copies = [None if x is None else x.copy() for x in case.inputs]
            over = call(*copies, out=copies[place])
            np.testing.assert_array_equal(first(over), first(result))


# Inputs that a kernel must leave to its operator, since it would do something else with them.
STRANGE: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (ops.gelu, (np.float32(1),), {}),
    (ops.gelu, (np.ones(3),), {}),
    (ops.softmax, (np.float32(1),), {"axis": -1}),
    (ops.softmax, (np.ones((2, 3), np.float32),), {"axis": 0}),
    (ops.softmax_1, (np.ones((2, 3, 4), np.float32),), {"axis": 1}),
    (ops.add, (np.ones((2, 1), np.float32), np.ones(3, np.float32)), {}),
    (ops.add, (np.ones(3), np.ones(3)), {}),
    (ops.sub, (np.ones((2, 1), np.float32), np.ones(3, np.float32)), {}),
    (ops.mul, (np.ones(3), np.ones(3)), {}),
    (ops.tanh, (np.ones(3),), {}),
    (ops.relu, (np.float32(1),), {}),
    (ops.reshape, (np.ones(3), np.array([3])), {}),
    (ops.split, (np.ones((2, 3)), np.array([1, 1])), {}),
    (ops.layer_normalization, (np.ones((2, 1), np.float32), np.ones(3, np.float32)), {}),
    (ops.layer_normalization, (np.ones((2, 3), np.float32), np.ones(3, np.float32)), {"axis": 0}),
    (
        ops.layer_normalization,
        (np.ones((2, 3), np.float32), np.ones(3, np.float32)),
        {"stash_type": 11},
    ),
    (ops.rms_normalization, (np.ones((2, 0), np.float32), np.ones(0, np.float32)), {}),
    (MS.bias_gelu, (np.ones((2, 1), np.float32), np.ones(3, np.float32)), {}),
    (
        MS.skip_layer_normalization,
        (np.ones(3, np.float32), np.ones((2, 3), np.float32), np.ones(3, np.float32)),
        {},
    ),
    (ops.quantize_linear, (np.ones(3, np.float32), np.ones(3, np.float32)), {}),
    (ops.quantize_linear, (np.ones(3, np.float32), np.zeros((), np.float32)), {}),
    (ops.dequantize_linear, (np.ones(3, np.uint8), np.ones(3, np.float32)), {}),
    (ops.dynamic_quantize_linear, (np.full(3, np.nan, np.float32),), {}),
    (ops.matmul, (np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)), {}),
    (ops.conv, (np.ones((1, 1, 3), np.float32), np.ones((1, 1, 2), np.float32)), {}),
    (ops.conv_integer, (np.ones((1, 1, 3), np.uint8), np.ones((1, 1, 2), np.uint8)), {}),
    (ops.matmul_integer, (np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)), {}),
    (MS.qlinear_sigmoid, (np.ones(3, np.uint8), *[np.ones((), np.float32)] * 4), {}),
]


def kernels_of(module: ModuleType) -> list[Callable[..., Any]]:
    """The formulas of the operators for which a module has kernels."""
    return [f for f, kernel in REPLACING.items() if made_in(module, kernel.function)]


def made_in(module: ModuleType, function: Callable[..., Any]) -> bool:
    return function.__module__ == module.__name__


def strange_to(module: ModuleType) -> list[tuple[Callable[..., Any], tuple[Any, ...], Any]]:
    """What a module's kernels decline."""
    return [case for case in STRANGE if plain(case[0]) in kernels_of(module)]


def check_declined(
    formula: Callable[..., Any], inputs: tuple[Any, ...], attributes: dict[str, Any]
) -> None:
    """Assert that a kernel leaves these inputs to its operator."""
    arrays = tuple(map(np.asarray, inputs))
    assert REPLACING[plain(formula)].function(*arrays, **attributes) is NotImplemented
