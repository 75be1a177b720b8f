"""Rewrites keep what a graph computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import ModelError
from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import (
    drop_dead,
    inline_functions,
    normal_form,
    renamed,
    sort_nodes,
    unused_suffix,
    with_fed,
    with_own_names,
)
from embedx.run.engine import Engine
from tests.models import model

ONES = np.ones(3, np.float32)


def loaded(text: str, **options: Any) -> Graph:
    return sort_nodes(inline_functions(read_model(model(text, **options))))


def test_drop_dead_keeps_what_outputs_and_branches_need() -> None:
    graph = loaded(
        """g (bool c, float[N] x) => (float[N] z) <float[3] unused = {1, 2, 3}> {
        dead = Exp(x)  needed = Neg(x)
        z = If(c) <then_branch = t () => (float[N] a) { a = Identity(needed) },
                   else_branch = e () => (float[N] b) { b = Identity(x) }> }"""
    )
    kept = drop_dead(graph)
    assert [n.op_type for n in kept.nodes] == ["Neg", "If"]
    assert not kept.initializers
    assert kept.inputs == graph.inputs


FUNCTIONS = """
<domain: "local", opset_import: ["" : 12, "local" : 1]>
rows <axis> (x) => (y) { y = Softmax<axis: int = @axis>(x) }
<domain: "local", opset_import: ["" : 17, "local" : 1]>
twice <axis: int = 1> (x, extra) => (y, x) { h = local.rows<axis: int = @axis>(x)  y = Add(h, h) }
"""


def test_functions_are_inlined_with_their_own_opset_defaults_and_omissions() -> None:
    graph = loaded(
        'g (float[2,2,2] x) => (float[2,2,2] y) { y, "" = local.twice(x) }',
        functions=FUNCTIONS,
        imports=', "local" : 1',
    )
    assert [n.op_type for n in graph.nodes] == ["Softmax", "Add"]
    (y,) = Engine(graph).run([np.zeros((2, 2, 2), np.float32)])
    # At opset 12 Softmax normalises the four numbers behind axis 1 together.
    np.testing.assert_allclose(y, 0.5)


def test_a_function_may_pass_an_input_through() -> None:
    graph = loaded(
        "g (float[2,2] x) => (float[2,2] y, float[2,2] z) { y, z = local.twice<axis = 0>(x) }",
        functions=FUNCTIONS,
        imports=', "local" : 1',
    )
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    np.testing.assert_array_equal(Engine(graph).run([x])[1], x)


@pytest.mark.parametrize(
    ("functions", "call", "message"),
    [
        (
            '<domain: "local", opset_import: ["local" : 1]> f (x) => (y) { y = local.f(x) }',
            "local.f(x)",
            "calls itself",
        ),
        (
            '<domain: "", opset_import: ["" : 17]> Neg (x) => (y) { y = Abs(x) }',
            "Neg(x)",
            "redefines",
        ),
        (FUNCTIONS, "local.rows<other = 1>(x)", "which its function lacks"),
        (FUNCTIONS, "local.rows<axis = 1>(x, x)", "more inputs"),
    ],
)
def test_bad_functions_are_refused(functions: str, call: str, message: str) -> None:
    text = f"g (float[2,2] x) => (float[2,2] y) {{ y = {call} }}"
    with pytest.raises(ModelError, match=message):
        loaded(text, functions=functions, imports=', "local" : 1')


def test_functions_that_unfold_without_end_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedx.rewrite.normal.MAX_NODES", 1000)
    bodies = "".join(
        f'<domain: "local", opset_import: ["" : 17, "local" : 1]> '
        f"f{i} (x) => (y) {{ h = local.f{i + 1}(x)  y = local.f{i + 1}(h) }}\n"
        for i in range(20)
    )
    bodies += '<domain: "local", opset_import: ["" : 17]> f20 (x) => (y) { y = Neg(x) }'
    with pytest.raises(ModelError, match="unfold to more than 1000"):
        loaded(
            "g (float[N] x) => (float[N] y) { y = local.f0(x) }",
            functions=bodies,
            imports=', "local" : 1',
        )


def test_an_input_that_nothing_reads_keeps_its_default() -> None:
    proto = model("g (float[3] x, float[3] w) => (float[3] z) { z = Neg(x) }")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(ONES, "w"))
    np.testing.assert_array_equal(Engine(proto).run([ONES])[0], -ONES)


SHADOWING = """g (bool c, float[N] x) => (float[N] z, float[N] later) {
    z = If(c) <then_branch = t () => (float[N] a) { later = Neg(x) a = Mul(later, later) },
               else_branch = e () => (float[N] a) { y = Add(x, x) x = Neg(y) a = Mul(x, y) }>
    later = Abs(x) }"""


@pytest.mark.parametrize(("choice", "expected"), [(True, 9), (False, -36)])
def test_names_of_a_subgraph_hide_those_outside(choice: bool, expected: float) -> None:
    graph = normal_form(read_model(model(SHADOWING)))
    for optimize in (True, False):
        z, later = Engine(graph, optimize=optimize).run([np.array(choice), ONES * -3])
        np.testing.assert_array_equal(z, ONES * expected)
        np.testing.assert_array_equal(later, ONES * 3)


def test_each_name_has_one_meaning_afterwards() -> None:
    graph = with_own_names(read_model(model(SHADOWING)))
    outer = {name for node in graph.nodes for name in node.outputs} | {"c", "x"}
    for body in graph.nodes[0].subgraphs.values():
        assert outer.isdisjoint(name for node in body.nodes for name in node.outputs)


def test_a_loop_whose_body_names_its_inputs_like_values_outside() -> None:
    text = """g (float[N] x, int64 n) => (float[N] y) {
    y = Loop(n, "", x) <body = b (int64 n, bool go, float[N] x) => (bool on, float[N] y) {
        on = Identity(go)  y = Add(x, x) }> }"""
    (y,) = Engine(model(text)).run([ONES, np.array(3)])
    np.testing.assert_array_equal(y, ONES * 8)


def test_what_is_fed_is_no_constant_and_what_is_not_is_one() -> None:
    graph = loaded("g (float[3] x, float[3] w = {1, 2, 3}) => (float[3] z) { z = Mul(x, w) }")
    assert graph.constants == {}
    unfed = with_fed(graph, set())
    assert [v.name for v in unfed.inputs] == ["x"]
    assert list(unfed.constants) == ["w"]
    fed = with_fed(graph, {"w"})
    assert [v.name for v in fed.inputs] == ["x", "w"]
    assert not fed.initializers


@pytest.mark.parametrize("taken", ["x", "c", "y", "a", "w"])
def test_a_suffix_for_new_edges_is_one_that_no_edge_has(taken: str) -> None:
    text = """g (float[N] x, bool c) => (float[N] z) <float[1] w = {1}> {
        y = Add(x, w)
        z = If (c) <then_branch = t () => (float[N] a) { a = Neg(y) },
                    else_branch = e () => (float[N] b) { b = Abs(y) }> }"""
    graph = read_model(model(text))
    assert unused_suffix(graph, "new") == "~new"

    def named(name: str) -> str:
        return f"{name}~new" if name == taken else name

    other = replace(
        graph,
        inputs=tuple(replace(v, name=named(v.name)) for v in graph.inputs),
        initializers={named(k): v for k, v in graph.initializers.items()},
        nodes=tuple(renamed(node, named, {}) for node in graph.nodes),
    )
    assert unused_suffix(other, "new") == "~~new"
