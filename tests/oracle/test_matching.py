"""What is known again in another file, and what is not believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.oracle.matching import (
    Sketch,
    cause,
    coarseness,
    lacking,
    matched,
    named_alike,
    sketched,
)
from embedx.oracle.steps import SAME
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from tests.models import graph
from tests.oracle.faults import no_bias, other_epsilon, scaled_column
from tests.tiny import bert

X = np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)
TEXT = """g (float[M, N] x) => (float[M, N] y) {
    a = Exp(x)  b = Neg(a)  c = Sqrt(a)  y = Add(b, c) }"""


def sketches(it: Graph) -> dict[str, Sketch]:
    walk = Engine(it, optimize=False).walk([X])
    return sketched(
        pair for visit in walk for pair in zip(visit.step.node.outputs, visit.outputs, strict=True)
    )


def pairs(one: Graph, other: Graph) -> dict[str, str]:
    return matched(one, other, sketches(one), sketches(other))


def test_edges_of_one_name_and_kind_mean_the_same() -> None:
    assert pairs(graph(TEXT), graph(TEXT)) == {name: name for name in "abcy"}


def test_renumbered_edges_are_known_by_what_they_hold() -> None:
    other = """g (float[M, N] x) => (float[M, N] y) {
        b = Exp(x)  c = Neg(b)  a = Sqrt(b)  y = Add(c, a) }"""
    assert pairs(graph(TEXT), graph(other)) == {"a": "b", "b": "c", "c": "a", "y": "y"}


def test_a_name_is_not_believed_where_the_nodes_are_of_other_kinds() -> None:
    other = "g (float[M, N] x) => (float[M, N] y) { a = Neg(x)  t = Exp(x)  y = Add(a, t) }"
    assert named_alike(graph(TEXT), graph(other)) == {"y": "y"}
    assert pairs(graph(TEXT), graph(other)) == {"y": "y", "a": "t"}


def test_a_wrong_value_of_the_right_name_is_still_the_same_edge() -> None:
    other = graph(TEXT.replace("Sqrt(a)", "Sqrt(x)"))
    found = pairs(graph(TEXT), other)
    assert "c" not in found  # it is made of another edge, and holds something else
    scaled = """g (float[M, N] x) => (float[M, N] y) <float k = {K}> {
        a = Mul(x, k)  y = Neg(a) }"""
    one, ten = (graph(scaled.replace("K", number)) for number in ("1", "10"))
    assert pairs(one, ten) == {"a": "a", "y": "y"}


def test_outputs_go_by_their_order_where_their_names_differ() -> None:
    other = "g (float[M, N] x) => (float[M, N] z) { z = Neg(x) }"
    assert named_alike(graph(TEXT), graph(other)) == {"y": "z"}


def normal(model: onnx.ModelProto) -> Graph:
    return normal_form(read_model(model))


def faulty(fault: object) -> tuple[Graph, Graph]:
    model = bert()
    fault(model)  # type: ignore[operator]
    return normal(bert()), normal(model)


def test_the_cause_is_a_constant_an_attribute_or_a_node_that_lacks() -> None:
    reference, candidate = faulty(scaled_column)
    names = {e: e for e in reference.producers()}
    found = cause(reference.nodes, reference, candidate, names, of_floats=True)
    assert found is not None
    node, told = found
    assert node.op_type == "MatMul"
    assert "differs in 16 of 256 elements" in told

    reference, candidate = faulty(other_epsilon)
    found = cause(reference.nodes, reference, candidate, names, of_floats=True)
    assert found is not None
    assert found[0].op_type == "LayerNormalization"
    assert "epsilon" in found[1]

    reference, candidate = faulty(no_bias)
    assert cause(reference.nodes, reference, candidate, names, of_floats=True) is None
    missing = lacking(reference.nodes, candidate)
    assert missing is not None
    assert missing.op_type == "Add"


def test_a_last_place_is_no_other_weight() -> None:
    reference = normal(bert())
    weights = {
        name: np.nextafter(v, np.float32(9))
        for name, v in reference.initializers.items()
        if isinstance(v, np.ndarray) and v.dtype == np.float32
    }
    candidate = replace(reference, initializers={**reference.initializers, **weights})
    names = {e: e for e in reference.producers()}
    assert cause(reference.nodes, reference, candidate, names, of_floats=True) is None


def test_half_precision_is_coarser_and_the_same_precision_is_not() -> None:
    reference = normal(bert())
    assert coarseness(reference, None, None) is SAME
    assert coarseness(reference, reference, None) is SAME
    halves = {
        name: v.astype(np.float16) if isinstance(v, np.ndarray) and v.size > 1 else v
        for name, v in reference.initializers.items()
        if v.dtype == np.float32
    }
    other = replace(reference, initializers={**reference.initializers, **halves})
    assert coarseness(reference, other, None).unit == 2.0**-11
    assert coarseness(other, reference, None) is SAME
