"""Graphs that end earlier, or take other sizes, than their file says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedx.errors import ConfigError, ModelError
from embedx.model.onnx_file import read_model
from embedx.rewrite.cut import reshaped, truncate, with_free_lengths
from embedx.rewrite.layers import find_layers
from embedx.rewrite.normal import sort_nodes
from embedx.run.engine import Engine
from tests.models import graph as parsed
from tests.tiny import bert


@pytest.mark.parametrize("layer", [0, 1])
def test_truncation_gives_what_the_whole_graph_had_there(layer: int) -> None:
    graph = sort_nodes(read_model(bert(head=True)))
    edge = find_layers(graph)[layer]
    seen: dict[str, Any] = {}
    whole = Engine(graph)
    feeds = whole.generate_random_inputs(2, 6)
    whole.run(feeds, observe=lambda node, i, o: seen.update(zip(node.outputs, o, strict=True)))
    cut = Engine(truncate(graph, edge))
    np.testing.assert_array_equal(cut.run(feeds)[0], seen[edge])
    assert len(cut.plan.steps) < len(whole.plan.steps)


def test_truncation_at_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="no edge 'nowhere'"):
        truncate(read_model(bert()), "nowhere")


def test_freed_lengths_accept_any() -> None:
    graph = parsed("g (float[batch,4] x) => (float[batch,4] z) { z = Neg(x) }")
    freed = Engine(with_free_lengths(graph, 4))
    assert freed.run([np.zeros((1, 7), np.float32)])[0].shape == (1, 7)


TWO = "g (float[batch,4] x, int64[N] i) => (float[batch,4] z, int64[N] j) {z = Neg(x) j = Neg(i)}"


@pytest.mark.parametrize(
    ("batch", "shapes", "found"),
    [
        (None, None, ["float32[batch, 4]", "int64[N]"]),
        (3, None, ["float32[3, 4]", "int64[3]"]),
        (None, [(2, 4), (7,)], ["float32[2, 4]", "int64[7]"]),
        (3, [(2, 4), (7,)], ["float32[3, 4]", "int64[3]"]),
    ],
)
def test_declared_sizes_are_replaced(batch: int | None, shapes: Any, found: list[str]) -> None:
    graph = reshaped(parsed(TWO), batch, shapes)
    assert [str(v.type) for v in graph.inputs] == found


@pytest.mark.parametrize("shapes", [[], [(2, 4)], [(2, 4), (7,), (1,)], [(2, 4), (7, 1)]])
def test_shapes_for_other_inputs_are_refused(shapes: Any) -> None:
    with pytest.raises(ConfigError, match="input_shapes"):
        reshaped(parsed(TWO), None, shapes)


def test_truncation_at_an_output_keeps_its_type_and_drops_the_other() -> None:
    graph = truncate(parsed(TWO), "j")
    assert [(v.name, str(v.type)) for v in graph.outputs] == [("j", "int64[N]")]
    assert [node.outputs for node in graph.nodes] == [("j",)]
