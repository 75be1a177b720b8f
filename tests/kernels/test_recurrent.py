"""Recurrent layers around prepared weights, against the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.kernels import REPLACING, Prepared, Storage, recurrent
from embedx.model.graph import Array, Node
from embedx.run.engine import Engine
from embedx.run.plan import make_plan
from tests.kernels.cases import check, kernels_of, plain
from tests.strategies import HALVES, DType

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

GATES: dict[str, tuple[Callable[..., Any], int]] = {
    "RNN": (ops.rnn, 1),
    "GRU": (ops.gru, 3),
    "LSTM": (ops.lstm, 4),
}


@pytest.mark.parametrize("formula", kernels_of(recurrent), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


def prepared(name: str, inputs: list[Any], storage: Storage = "auto") -> Prepared | None:
    kernel = REPLACING[plain(GATES[name][0])]
    node = Node(name, tuple(f"x{i}" for i in range(len(inputs))), ("y", "h", "c"), {}, opset=14)
    assert kernel.prepare
    return kernel.prepare(node, (None, *inputs[1:3], *[None] * (len(inputs) - 3)), storage)


def layer(generator: np.random.Generator, gates: int, hidden: int, sizes: tuple[int, int]) -> Any:
    """X, W, R, B and lengths of two directions."""
    time, batch = sizes
    rows = gates * hidden

    def numbers(*shape: int) -> Array:
        return generator.uniform(-1, 1, shape).astype(np.float32)

    lengths = generator.integers(0, time + 1, batch).astype(np.int32)
    # So small that later steps do not enlarge an error of the states.
    w, r = numbers(2, rows, 24) / 4, numbers(2, rows, hidden) / np.float32(2 * hidden**0.5)
    r[generator.random(r.shape) < generator.choice([0, 0.5, 0.98])] = 0
    return [numbers(time, batch, 24), w, r, numbers(2, 2 * rows), lengths]


@pytest.mark.parametrize("name", GATES)
@given(
    st.integers(1, 90), st.integers(1, 20), st.integers(1, 40), st.booleans(),
    st.sampled_from(get_args(Storage)), st.integers(0, 2**32),
)  # fmt: skip
def test_every_output_is_near_the_operator_s_in_float64(
    name: str, hidden: int, time: int, batch: int, whole: bool, storage: Storage, seed: int
) -> None:
    operator, gates = GATES[name]
    inputs = layer(np.random.default_rng(seed), gates, hidden, (time, batch))
    if whole:
        inputs[4] = None
    attributes = {"direction": "bidirectional"}
    kernel = prepared(name, inputs, storage)
    assert kernel
    found = kernel.call(inputs[0], None, None, *inputs[3:], **attributes)
    wide = [x.astype(np.float64) for x in inputs[:4]]
    for array, exact in zip(found, operator(*wide, inputs[4], **attributes), strict=True):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_are_computed_in_float32(half: DType) -> None:
    inputs = layer(np.random.default_rng(0), 4, 8, (5, 3))
    inputs[:4] = [x.astype(half) for x in inputs[:4]]
    kernel = prepared("LSTM", inputs)
    assert kernel
    found = kernel.call(inputs[0], None, None, *inputs[3:], direction="bidirectional")
    for array, right in zip(found, ops.lstm(*inputs, direction="bidirectional"), strict=True):
        assert array.dtype == half
        np.testing.assert_allclose(array.astype(float), right.astype(float), atol=0.01)


def test_weights_that_are_no_constants_or_not_narrow_are_left_to_the_operator() -> None:
    inputs = layer(np.random.default_rng(0), 4, 8, (5, 3))
    assert prepared("LSTM", [inputs[0], None, *inputs[2:]]) is None
    assert prepared("LSTM", [x.astype(np.float64) for x in inputs[:4]]) is None


def test_wrong_inputs_are_refused_as_by_the_operator() -> None:
    inputs = layer(np.random.default_rng(0), 1, 8, (5, 3))
    kernel = prepared("RNN", inputs)
    assert kernel
    for wrong, error in (
        (inputs[0][..., 1:], ValueError),
        (inputs[0].astype(np.float64), TypeError),
    ):
        for call in (kernel.call, ops.rnn):
            with pytest.raises(error, match=r"do not fit|must have one type"):
                call(wrong, *inputs[1:], direction="bidirectional")


def quantized(**changes: Any) -> Prepared | None:
    inputs: dict[str, Any] = {
        "w": np.zeros((1, 3, 8), np.uint8), "r": np.zeros((1, 2, 8), np.uint8), "b": None,
        "lengths": None, "h": None, "c": None, "p": None, "w_scale": np.ones(1, np.float32),
        "w_zero": np.zeros(1, np.uint8), "r_scale": np.ones((1, 8), np.float32),
        "r_zero": np.zeros((1, 8), np.uint8),
    } | changes  # fmt: skip
    node = Node("DynamicQuantizeLSTM", ("x", *inputs), ("y",), domain="com.microsoft")
    kernel = REPLACING[plain(ops.microsoft.dynamic_quantize_lstm)]
    assert kernel.prepare
    return kernel.prepare(node, (None, *inputs.values()), "auto")


def test_quantized_weights_that_do_not_fit_are_left_to_the_operator() -> None:
    kernel = quantized()
    assert kernel
    assert kernel.call(np.ones((1, 1, 3)), None, None) is NotImplemented
    for changes in (
        {"r": None},
        {"w": np.zeros((3, 8), np.uint8)},
        {"w": np.zeros((1, 3, 8), np.int8)},
        {"r_zero": np.zeros(2, np.uint8)},
        {"w_scale": None},
        {"w_scale": np.ones(1)},
    ):
        assert quantized(**changes) is None


@pytest.mark.parametrize("name", GATES)
def test_a_model_with_constant_weights_has_no_use_for_the_arrays(name: str) -> None:
    x, w, r, *_ = layer(np.random.default_rng(0), GATES[name][1], 8, (5, 3))
    given = {"w": w[:1], "r": r[:1]}
    node = onnx.helper.make_node(name, ["x", *given], ["y"], hidden_size=8)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node], "layer",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["t", "n", 24])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(v, n) for n, v in given.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=9,
    )  # fmt: skip
    found, exact = (Engine(model, optimize=fast).run({"x": x})[0] for fast in (True, False))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5)
    plan = make_plan(Engine(model).graph, kernels=True)
    assert all(value is None for value in plan.template)
