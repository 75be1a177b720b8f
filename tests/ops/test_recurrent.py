"""Recurrent layers against the standard's equations, one sequence, time and neuron at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, gru, gru_3, lstm, lstm_1, rnn, rnn_1
from tests.assertions import assert_close, assert_equal
from tests.strategies import FLOATS, HALVES, DType

F32 = np.dtype(np.float32)
Function = Callable[[float], float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Each with the numbers that it takes from the lists.
FUNCTIONS: dict[str, tuple[Callable[..., float], int]] = {
    "Affine": (lambda x, a, b: a * x + b, 2),
    "Elu": (lambda x, a: x if x >= 0 else a * math.expm1(x), 1),
    "HardSigmoid": (lambda x, a, b: min(max(a * x + b, 0), 1), 2),
    "LeakyRelu": (lambda x, a: x if x >= 0 else a * x, 1),
    "Relu": (lambda x: max(x, 0), 0),
    "ScaledTanh": (lambda x, a, b: a * math.tanh(b * x), 2),
    "Sigmoid": (sigmoid, 0),
    "Softplus": (lambda x: math.log1p(math.exp(x)), 0),
    "Softsign": (lambda x: x / (1 + abs(x)), 0),
    "Tanh": (math.tanh, 0),
    "ThresholdedRelu": (lambda x, a: x if x > a else 0, 1),
}


@dataclass
class Layer:
    """What a test runs: inputs by name, attributes, and the functions as Python sees them."""

    inputs: dict[str, Any]
    attributes: dict[str, Any]
    functions: list[list[Function]] = field(default_factory=list)

    @property
    def arguments(self) -> list[Any]:
        return list(self.inputs.values())


def with_numbers(function: Callable[..., float], numbers: list[float]) -> Function:
    return lambda x: function(x, *numbers)


def clipped(function: Function) -> Function:
    return lambda x: function(min(max(x, -0.5), 0.5))


def drawn_functions(
    draw: st.DrawFn, count: int, attributes: dict[str, Any], default: list[Function]
) -> list[Function]:
    if draw(st.booleans()):
        return default * (count // len(default))
    names = draw(st.lists(st.sampled_from([*FUNCTIONS]), min_size=count, max_size=count))
    alphas, betas, functions = [], [], []
    for i, name in enumerate(names):
        function, takes = FUNCTIONS[name]
        numbers = [0.25 * (i + 1), 0.5][:takes]
        alphas += numbers[:1]
        betas += numbers[1:]
        functions.append(with_numbers(function, numbers))
    attributes["activations"] = tuple(
        name.lower() if i % 2 else name for i, name in enumerate(names)
    )
    attributes |= {"activation_alpha": tuple(alphas), "activation_beta": tuple(betas)}
    return functions


@st.composite
def layers(draw: st.DrawFn, gates: int, default: list[Function], *, states: int = 1) -> Layer:
    time, batch, size, hidden = (draw(st.integers(1, 3)) for _ in range(4))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    cells = 1 + (direction == "bidirectional")
    rng = np.random.default_rng(draw(st.integers(0, 999)))

    def numbers(*shape: int) -> Array:
        return (rng.integers(-8, 9, shape) / 8).astype(np.float32)

    def maybe(*shape: int) -> Array | None:
        return numbers(*shape) if draw(st.booleans()) else None

    lengths = rng.integers(0, time + 1, batch).astype(np.int32) if draw(st.booleans()) else None
    inputs: dict[str, Any] = {
        "x": numbers(time, batch, size),
        "w": numbers(cells, gates * hidden, size),
        "r": numbers(cells, gates * hidden, hidden),
        "b": maybe(cells, 2 * gates * hidden),
        "lengths": lengths,
        "h": maybe(cells, batch, hidden),
    }
    if states == 2:
        inputs |= {"c": maybe(cells, batch, hidden), "p": maybe(cells, 3 * hidden)}
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": hidden}
    clip = draw(st.sampled_from([None, 0.5]))
    each = drawn_functions(draw, cells * len(default), attributes, default)
    if clip is not None:
        attributes["clip"] = clip
        each = [clipped(f) for f in each]
    count = len(default)
    return Layer(inputs, attributes, [each[k * count : (k + 1) * count] for k in range(cells)])


Cell = Callable[..., tuple[list[float], ...]]


def unrolled(layer: Layer, cell: Cell, states: int) -> tuple[Array, list[Array]]:
    x, lengths = layer.inputs["x"], layer.inputs["lengths"]
    time, batch, _ = x.shape
    cells, hidden = len(layer.functions), layer.attributes["hidden_size"]
    y = np.zeros((time, cells, batch, hidden))
    finals = [np.zeros((cells, batch, hidden)) for _ in range(states)]
    for k in range(cells):
        backwards = layer.attributes["direction"] == "reverse" or k == 1
        for n in range(batch):
            length = time if lengths is None else int(lengths[n])
            given = [layer.inputs[name] for name in ("h", "c")[:states]]
            now = tuple([0.0] * hidden if s is None else s[k, n].tolist() for s in given)
            for t in range(length)[:: -1 if backwards else 1]:
                now = cell(k, x[t, n].tolist(), *now)
                y[t, k, n] = now[0]
            for final, state in zip(finals, now, strict=True):
                final[k, n] = state
    return y, finals


def gate(layer: Layer, k: int, row: int, x: list[float], h: list[float]) -> tuple[float, float]:
    """``x w + b`` and ``h r + b`` of one row of the weights."""
    w, r, b = (layer.inputs[name] for name in "wrb")
    rows = w.shape[1]
    first, second = (0.0, 0.0) if b is None else (float(b[k, row]), float(b[k, rows + row]))
    return (
        sum(a * c for a, c in zip(x, w[k, row].tolist(), strict=True)) + first,
        sum(a * c for a, c in zip(h, r[k, row].tolist(), strict=True)) + second,
    )


def check(found: Any, layer: Layer, cell: Cell) -> None:
    y, finals = unrolled(layer, cell, len(found) - 1)
    for array, exact in zip(found, [y, *finals], strict=True):
        assert_close(array, exact, F32, ulps=64, floor=64)


@given(layers(1, [math.tanh]))
def test_rnn(layer: Layer) -> None:
    def cell(k: int, x: list[float], h: list[float]) -> tuple[list[float], ...]:
        return ([layer.functions[k][0](sum(gate(layer, k, i, x, h))) for i in range(len(h))],)

    check(rnn(*layer.arguments, **layer.attributes), layer, cell)


@given(layers(3, [sigmoid, math.tanh]), st.booleans())
def test_gru(layer: Layer, linear_before_reset: bool) -> None:
    def cell(k: int, x: list[float], h: list[float]) -> tuple[list[float], ...]:
        f, g = layer.functions[k]
        size = len(h)
        z = [f(sum(gate(layer, k, i, x, h))) for i in range(size)]
        r = [f(sum(gate(layer, k, size + i, x, h))) for i in range(size)]
        reset = [a * b for a, b in zip(r, h, strict=True)]
        after = []
        for i in range(size):
            xh, hh = gate(layer, k, 2 * size + i, x, h if linear_before_reset else reset)
            candidate = g(xh + (r[i] * hh if linear_before_reset else hh))
            after.append((1 - z[i]) * candidate + z[i] * h[i])
        return (after,)

    attributes = layer.attributes | {"linear_before_reset": int(linear_before_reset)}
    check(gru(*layer.arguments, **attributes), layer, cell)


@given(layers(4, [sigmoid, math.tanh, math.tanh], states=2), st.booleans())
def test_lstm(layer: Layer, input_forget: bool) -> None:
    p = layer.inputs["p"]

    def cell(k: int, x: list[float], h: list[float], c: list[float]) -> tuple[list[float], ...]:
        f, g, out = layer.functions[k]
        size = len(h)
        outputs, after = [], []
        for j in range(size):
            pi, po, pf = [0.0] * 3 if p is None else p[k, j::size].tolist()
            i = f(sum(gate(layer, k, j, x, h)) + pi * c[j])
            forget = f(sum(gate(layer, k, 2 * size + j, x, h)) + pf * c[j])
            new = g(sum(gate(layer, k, 3 * size + j, x, h)))
            after.append((1 - i if input_forget else forget) * c[j] + i * new)
            o = f(sum(gate(layer, k, size + j, x, h)) + po * after[-1])
            outputs.append(o * out(after[-1]))
        return outputs, after

    attributes = layer.attributes | {"input_forget": int(input_forget)}
    check(lstm(*layer.arguments, **attributes), layer, cell)


@given(layers(4, [sigmoid, math.tanh, math.tanh], states=2))
def test_layout_1_has_the_batch_first(layer: Layer) -> None:
    x, w, r, b, lengths, h, c, p = layer.arguments
    h, c = (None if state is None else state.swapaxes(0, 1) for state in (h, c))
    found = lstm(x.swapaxes(0, 1), w, r, b, lengths, h, c, p, **layer.attributes, layout=1)
    expected = lstm(*layer.arguments, **layer.attributes)
    assert_equal(found.y, expected.y.transpose(2, 0, 1, 3))
    assert_equal(found.y_h, expected.y_h.swapaxes(0, 1))
    assert_equal(found.y_c, expected.y_c.swapaxes(0, 1))


@given(layers(1, [math.tanh]), layers(3, [sigmoid, math.tanh]))
def test_old_forms_are_the_same(plain: Layer, gated: Layer) -> None:
    pairs: list[tuple[Any, Any, Layer]] = [(rnn_1, rnn, plain), (gru_3, gru, gated)]
    for old, new, layer in pairs:
        expected = new(*layer.arguments, **layer.attributes)
        found = old(*layer.arguments, **layer.attributes, output_sequence=1)
        for array, other in zip(found, expected, strict=True):
            assert_equal(array, other)


@given(layers(4, [sigmoid, math.tanh, math.tanh], states=2))
def test_old_lstm_is_the_same(layer: Layer) -> None:
    found = lstm_1(*layer.arguments, **layer.attributes, output_sequence=0)
    for array, other in zip(found, lstm(*layer.arguments, **layer.attributes), strict=True):
        assert_equal(array, other)


X, W1 = np.ones((2, 1, 1), np.float32), np.ones((1, 1, 1), np.float32)


def test_a_sequence_that_has_ended_gives_zeros_and_keeps_its_state() -> None:
    x = np.ones((3, 2, 1), np.float32)
    lengths = np.array([1, 3], np.int32)
    found = rnn(x, W1, W1, None, lengths, activations=("Relu",))
    assert found.y[:, 0, :, 0].tolist() == [[1, 1], [0, 2], [0, 3]]
    assert found.y_h.ravel().tolist() == [1, 3]
    backwards = rnn(x, W1, W1, None, lengths, activations=("Relu",), direction="reverse")
    assert backwards.y[:, 0, :, 0].tolist() == [[1, 3], [0, 2], [0, 1]]


def test_a_sequence_without_elements_returns_what_it_began_with() -> None:
    h = np.full((1, 1, 1), 7, np.float32)
    found = rnn(X, W1, W1, None, np.array([0], np.int32), h)
    assert found.y.ravel().tolist() == [0, 0]
    assert_equal(found.y_h, h)
    assert_equal(h, np.full((1, 1, 1), 7, np.float32))


def test_missing_numbers_are_those_of_the_operators() -> None:
    x = np.full((1, 1, 1), -1, np.float32)
    for name, expected in (("LeakyRelu", -0.01), ("Elu", math.expm1(-1)), ("HardSigmoid", 0.3)):
        found = rnn(x, W1, W1, activations=(name,)).y.item()
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_output_has_the_type_of_x(dtype: DType) -> None:
    weights = [np.ones((1, 4, 1), dtype)] * 2
    assert {v.dtype for v in lstm(X.astype(dtype), *weights)} == {dtype}


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_are_kept_wide_over_time(half: DType) -> None:
    # In float16 itself the state would stop growing at 2048, in bfloat16 at 256.
    x = np.ones((3000, 1, 1), half)
    one = np.ones((1, 1, 1), half)
    assert_equal(rnn(x, one, one, activations=("Relu",)).y_h, (3000 * one[:]).astype(half))


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ((X, W1, W1), {"direction": "backward"}, "direction is one of"),
        ((X, W1, W1), {"direction": "bidirectional"}, "do not fit"),
        ((X, W1, W1), {"hidden_size": 2}, "hidden_size"),
        ((X, W1, W1), {"activations": ("Gelu",)}, "no activation"),
        ((X, W1, W1, np.ones((1, 1), np.float32)), {}, "B "),
        ((X, W1, W1, None, np.array([3])), {}, "sequence_lens"),
        ((X, W1, W1, None, np.array([-1])), {}, "sequence_lens"),
        ((X, W1, W1, None, np.array([1, 1])), {}, "sequence_lens"),
        ((X, W1, W1, None, None, np.ones((1, 2, 1), np.float32)), {}, "initial state"),
    ],
)
def test_refusals(inputs: tuple[Any, ...], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rnn(*inputs, **attributes)


def test_other_refusals() -> None:
    four = np.ones((1, 4, 1), np.float32)
    with pytest.raises(ValueError, match="activations, expected 3"):
        lstm(X, four, four, activations=("Tanh",))
    with pytest.raises(ValueError, match="P has shape"):
        lstm(X, four, four, None, None, None, None, np.ones((1, 4), np.float32))
    with pytest.raises(TypeError, match="insert a Cast"):
        rnn(X, W1, W1.astype(np.float64))
