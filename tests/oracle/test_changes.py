"""What two graphs differ in, and putting it back."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.oracle.changes import changes, put_back
from embedx.oracle.inputs import made_up_feeds
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from embedx.run.fold import fold_constants
from tests.oracle.faults import FAULTS, Fault
from tests.tiny import bert


def graph_of(model: onnx.ModelProto) -> Graph:
    return fold_constants(normal_form(read_model(model.SerializeToString())), "exact")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_change_is_found_and_put_back(fault: Fault) -> None:
    changed = bert()
    fault(changed)
    ours, theirs = graph_of(bert()), graph_of(changed)
    found = changes(ours, theirs)
    assert [change.name for change in found] == [FAULTS[fault][1]]
    assert same_results(ours, put_back(ours, theirs, found))
    assert not same_results(ours, theirs)


def test_each_of_several_changes_is_put_back_alone() -> None:
    changed = bert()
    for fault in FAULTS:
        fault(changed)
    ours, theirs = graph_of(bert()), graph_of(changed)
    found = changes(ours, theirs)
    assert {c.name for c in found} == {name for _, name in FAULTS.values()}
    for change in found:
        rest = changes(ours, put_back(ours, theirs, [change]))
        assert [c.name for c in rest] == [c.name for c in found if c is not change]
    assert same_results(ours, put_back(ours, theirs, found))


def test_equal_graphs_with_other_names_differ_in_nothing() -> None:
    other = bert()
    names = {name: f"other_{i}" for i, n in enumerate(other.graph.node) for name in n.output}
    names.pop("last_hidden_state")
    for node in other.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = ""
    assert changes(graph_of(bert()), graph_of(other)) == []


def small(nodes: list[onnx.NodeProto], **weights: object) -> Graph:
    """A graph from x, float[3], to y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy")
    values = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "small", [x], [y], values)
    opset = helper.make_opsetid("", 17)
    return graph_of(helper.make_model(graph, opset_imports=[opset], ir_version=8))


def test_a_constant_that_two_nodes_share_wrongly_is_put_back_at_one() -> None:
    def made(*names: str, **weights: object) -> Graph:
        add = helper.make_node("Add", ["x", names[0]], ["s"])
        return small([add, helper.make_node("Mul", ["s", names[1]], ["y"])], **weights)

    ours = made("a", "b", a=[1, 2, 3], b=[4, 5, 6])
    theirs = made("a", "a", a=[1, 2, 3])
    (change,) = changes(ours, theirs)
    assert (change.ours, change.theirs, change.uses) == ("b", "a", (("y", 1),))
    assert same_results(ours, put_back(ours, theirs, [change]))


def test_an_output_of_another_node_is_put_back() -> None:
    ours = small([helper.make_node("Relu", ["x"], ["y"])])
    theirs = small([helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Exp", ["r"], ["y"])])
    (change,) = changes(ours, theirs)
    assert "Exp 'y' stands in the place of Relu 'y'" in change.why
    assert same_results(ours, put_back(ours, theirs, [change]))


def test_exchanged_inputs_are_put_back() -> None:
    def made(*inputs: str) -> Graph:
        exp = helper.make_node("Exp", ["x"], ["e"])
        return small([exp, helper.make_node("Sub", inputs, ["y"])])

    ours, theirs = made("x", "e"), made("e", "x")
    (change,) = changes(ours, theirs)
    assert change.why == "the inputs of Sub 'y' are in another order"
    assert same_results(ours, put_back(ours, theirs, [change]))


def same_results(one: Graph, other: Graph) -> bool:
    engines = [Engine(graph, precision="exact") for graph in (one, other)]
    (feeds,) = made_up_feeds(engines[0])
    a, b = (engine.run(None, feeds) for engine in engines)
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
