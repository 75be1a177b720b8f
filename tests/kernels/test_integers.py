"""Products of 8-bit integers are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from embedx.kernels import integers
from embedx.model.graph import Array
from embedx.run.engine import Engine
from tests.kernels.cases import check, check_declined, floats, kernels_of, strange_to
from tests.models import model

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("formula", kernels_of(integers), ids=lambda f: f.__name__)
@given(st.data())
def test_kernel(formula: Any, data: st.DataObject) -> None:
    check(formula, data)


@pytest.mark.parametrize(("formula", "inputs", "attributes"), strange_to(integers))
def test_a_kernel_declines(formula: Any, inputs: Any, attributes: dict[str, Any]) -> None:
    check_declined(formula, inputs, attributes)


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
