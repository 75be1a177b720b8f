"""Graphs that end earlier, or take other sizes, than their file says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedx.errors import ModelError
from embedx.model.onnx_file import read_model
from embedx.rewrite.cut import truncate, with_free_lengths
from embedx.rewrite.layers import find_layers
from embedx.rewrite.normal import (
    sort_nodes,
)
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
