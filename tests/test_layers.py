"""Layers are found by structure, whatever they are called and however they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedx.engine import Engine
from embedx.errors import ConfigError
from embedx.fold import fold_constants
from embedx.graph import Graph
from embedx.layers import edge_of, find_layers
from embedx.onnx_file import read_model
from embedx.rewrite import sort_nodes, truncate
from tests.models import model
from tests.tiny import bert


def loaded(**options: object) -> Graph:
    return sort_nodes(read_model(bert(**options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("opset", [11, 17, 20])
@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_head_is_cut_off_where_the_headless_model_ends(
    opset: int, pre_norm: bool, layers: int
) -> None:
    headed = loaded(opset=opset, pre_norm=pre_norm, layers=layers, head=True)
    plain = Engine(loaded(opset=opset, pre_norm=pre_norm, layers=layers))
    found = find_layers(headed)
    assert len(found) == layers
    feeds = plain.generate_random_inputs(2, 7)
    np.testing.assert_array_equal(
        Engine(truncate(headed, found[-1])).run(feeds)[0], plain.run(feeds)[0]
    )


def test_without_a_head_the_last_layer_is_the_output() -> None:
    assert find_layers(loaded())[-1] == "last_hidden_state"


def test_names_do_not_matter() -> None:
    proto = bert(prefix="", head=True)
    for node in proto.graph.node:
        node.name = ""
    renamed = sort_nodes(read_model(proto))
    assert find_layers(renamed) == find_layers(loaded(head=True))


def test_folding_constants_changes_nothing() -> None:
    assert find_layers(fold_constants(loaded(head=True))) == find_layers(loaded(head=True))


def test_layers_are_named_by_index_node_or_edge() -> None:
    graph = loaded(head=True)
    first, last = find_layers(graph)
    makers = graph.producers()
    assert edge_of(graph, 0) == edge_of(graph, -2) == edge_of(graph, first) == first
    assert edge_of(graph, -1) == edge_of(graph, makers[last].name) == last


@pytest.mark.parametrize("layer", [2, -3])
def test_layers_that_do_not_exist_are_refused(layer: int) -> None:
    with pytest.raises(ConfigError, match="the model has 2 layers"):
        edge_of(loaded(), layer)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no node or edge 'nothing'"):
        edge_of(loaded(), "nothing")


def test_a_graph_without_layers_ends_at_its_output() -> None:
    graph = read_model(model("g (float[N] x) => (float[N] z) { z = Neg(x) }"))
    assert find_layers(graph) == []
    assert edge_of(graph, -1) is None
    with pytest.raises(ConfigError, match="has 0 layers"):
        edge_of(graph, 0)


def test_the_file_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bert(head=True).SerializeToString())
    before = path.read_bytes()
    Engine(truncate(sort_nodes(read_model(path)), find_layers(sort_nodes(read_model(path)))[0]))
    assert path.read_bytes() == before
