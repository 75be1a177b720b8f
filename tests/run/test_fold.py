"""What constants alone decide is decided once."""

from __future__ import annotations

import numpy as np
import pytest

from embedx.errors import NodeError
from embedx.run.engine import Engine
from embedx.run.fold import fold_constants
from tests.models import graph as parsed

ONES = np.ones(3, np.float32)


def test_no_constant_node_is_left_and_the_result_is_the_same() -> None:
    graph = parsed(
        """g (float[N] x) => (float[N] z) {
        a = Constant<value = float[1] {2}>()  b = Exp(a)  c = Shape(b)
        d = ConstantOfShape<value = float[1] {3}>(c)  y = Mul(x, b)  z = Add(y, d) }"""
    )
    folded = fold_constants(graph)
    assert [n.op_type for n in folded.nodes] == ["Mul", "Add"]
    np.testing.assert_allclose(Engine(graph).run([ONES])[0], np.exp(np.float32(2)) + 3)


def test_bombs_and_random_numbers_are_left_to_the_run() -> None:
    graph = parsed(
        """g () => (float[A] y, float[B] r) <int64[1] n = {100000000}> {
        y = ConstantOfShape(n)  r = RandomNormal<shape = [3]>() }"""
    )
    assert len(fold_constants(graph).nodes) == 2


def test_what_fails_is_left_to_the_run_which_names_it() -> None:
    graph = parsed(
        "g () => (float y) <int64 a = {1}, int64 b = {0}> { c = Div(a, b) y = Cast<to = 1>(c) }"
    )
    assert len(fold_constants(graph).nodes) == 2
    with pytest.raises(NodeError, match="Div"):
        Engine(graph).run([])


def test_defaults_that_can_be_overridden_are_no_constants() -> None:
    graph = parsed("g (float[1] w = {1}) => (float[1] z) { z = Neg(w) }")
    assert len(fold_constants(graph).nodes) == 1


def test_folded_values_are_nobodys_to_change() -> None:
    folded = fold_constants(parsed("g () => (float z) <float w = {1}> { z = Neg(w) }"))
    (value,) = (v for k, v in folded.initializers.items() if k == "z")
    assert isinstance(value, np.ndarray)
    assert not value.flags.writeable
    (output,) = Engine(folded).run([])
    assert output.flags.writeable
