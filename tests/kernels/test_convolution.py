"""Convolutions with constant filters against their operators, and against whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from embedx.errors import NodeError
from embedx.kernels import convolution
from embedx.model.graph import Array
from embedx.run.engine import Engine
from tests.kernels.cases import check, check_declined, kernels_of, strange_to
from tests.models import model

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(convolution), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


@pytest.mark.parametrize(("formula", "inputs", "attributes"), strange_to(convolution))
def test_a_kernel_declines(formula: Any, inputs: Any, attributes: dict[str, Any]) -> None:
    check_declined(formula, inputs, attributes)


def engine_of(text: str, weights: dict[str, Any], **options: Any) -> Engine:
    proto = model(text)
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()
    )
    return Engine(proto, **options)


@pytest.mark.parametrize(("channels", "group"), [(8, 1), (700, 1), (1400, 2), (600, 600)])
@pytest.mark.parametrize("length", [3, 40])
@given(st.integers(0, 2**32), st.booleans())
def test_sums_of_integers_are_exact(
    channels: int, group: int, length: int, seed: int, extreme: bool
) -> None:
    generator = np.random.default_rng(seed)
    values = np.array([0, 1, 254, 255]) if extreme else np.arange(256)
    x = generator.choice(values, (2, channels, length)).astype(np.uint8)
    w = generator.choice(values, (group * 2 if group < 9 else group, channels // group, 3))
    zeros = np.array([255 * (seed % 2), 0], np.uint8)
    text = f"""g (uint8[B, {channels}, L] x) => (int32[B, F, M] y) {{
      y = ConvInteger<group = {group}>(x, w, xz, wz)
    }}"""
    constants = {"w": w.astype(np.uint8), "xz": zeros[0], "wz": zeros[1]}
    seen = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64) - int(zeros[0]), 3, -1)
    split = seen.reshape(2, group, channels // group, length - 2, 3)
    filters = w.reshape(group, -1, channels // group, 3)
    expected = np.einsum("bgclk,gfck->bgfl", split, filters).reshape(2, len(w), -1)
    for cores in (1, 2):
        (found,) = engine_of(text, constants, num_cores=cores).run([x])
        np.testing.assert_array_equal(found, expected)


def test_a_sum_beyond_32_bits_wraps_around() -> None:
    x, w = np.full((1, 40000, 1), 255, np.uint8), np.full((1, 40000, 1), 255, np.uint8)
    text = "g (uint8[1, C, 1] x) => (int32[1, 1, 1] y) { y = ConvInteger(x, w) }"
    (found,) = engine_of(text, {"w": w}).run([x])
    assert found.item() == 255 * 255 * 40000 - 2**32


CONV = "g (float[B, C, L] x) => (float[B, F, M] y) { y = Conv<group = 2>(x, w, b) }"


@pytest.mark.parametrize(
    ("x", "w", "b"),
    [
        (np.ones((1, 3, 5)), np.ones((2, 2, 3)), np.ones(2)),
        (np.ones((1, 4, 5)), np.ones((2, 2, 9)), np.ones(2)),
        (np.ones((1, 4, 5)), np.ones((3, 2, 3)), np.ones(3)),
        (np.ones((1, 4, 5)), np.ones((2, 2, 3)), np.ones(3)),
    ],
)
def test_what_does_not_fit_is_refused_alike(x: Array, w: Array, b: Array) -> None:
    x, w, b = (v.astype(np.float32) for v in (x, w, b))
    said = []
    for optimize in (True, False):
        with pytest.raises(NodeError) as caught:
            engine_of(CONV, {"w": w, "b": b}, optimize=optimize).run([x])
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_scales_of_a_quantized_convolution_are_checked() -> None:
    text = """g (uint8[1, 1, 4] x, float ys) => (uint8[1, 1, 2] y) {
      y = QLinearConv(x, s, z, w, s, z, ys, z)
    }"""
    constants = {"w": np.ones((1, 1, 3), np.uint8), "s": np.float32(1), "z": np.uint8(0)}
    engine = engine_of(text, constants)
    x = np.ones((1, 1, 4), np.uint8)
    assert engine.run([x, np.float32(1)])[0].tolist() == [[[3, 3]]]
    for scale in (0.0, np.inf, np.nan):
        with pytest.raises(NodeError, match="scale"):
            engine.run([x, np.float32(scale)])
