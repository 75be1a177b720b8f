"""Pieces of a model, and how they grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from embedx.model.onnx_file import read_model
from embedx.oracle.opened import opened
from embedx.oracle.pieces import Piece, cut, smallest, whole
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from tests.tiny import bert

EDGE = "Softmax_58_out"


def renamed(model: onnx.ModelProto, end: str) -> onnx.ModelProto:
    """The model with other names of all edges that nodes make, but for the output."""
    names = {name: name + end for node in model.graph.node for name in node.output}
    names.pop("last_hidden_state")
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model


def test_a_cut_graph_makes_of_the_same_values_the_same() -> None:
    graph = normal_form(read_model(bert().SerializeToString()))
    engine = Engine(graph, precision="exact")
    feeds = dict(zip(engine.input_names, engine.generate_random_inputs(2, 5), strict=True))
    values: dict[str, Any] = {}
    for visit in engine.walk(feeds):
        values.update(zip(visit.step.node.outputs, visit.outputs, strict=False))
    given = {name: values[name] for name in ("MatMul_47_out", "MatMul_51_out", "Mul_3_out")}
    piece = cut(graph, EDGE, given, np.dtype(np.float32))
    assert [v.name for v in piece.inputs] == [*given]
    assert {n.op_type for n in piece.nodes} <= {
        "Add", "Reshape", "Transpose", "MatMul", "Div", "Softmax",
    }  # fmt: skip
    (result,) = Engine(piece, precision="exact").run(None, given)
    assert np.array_equal(result, values[EDGE])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 40])
def test_a_piece_grows_until_it_shows(size: int) -> None:
    seen: list[int] = []

    def shows(piece: Piece) -> bool:
        seen.append(len(piece.graph.nodes))
        return seen[-1] >= size

    with opened(bert(), None, "embedx:plain", None, None, inner=True) as it:
        piece = smallest(it, EDGE, 0, shows)
    assert piece is not None
    assert len(piece.graph.nodes) == min(n for n in seen if n >= size)
    assert len(seen) <= 12
    assert piece.output == EDGE
    assert size > 1 or [n.name for n in piece.graph.nodes] == ["Softmax_58"]


def test_a_piece_that_never_shows_is_none() -> None:
    with opened(bert(), None, "embedx:plain", None, None, inner=True) as it:
        assert smallest(it, EDGE, 0, lambda piece: False) is None
        assert whole(it, "last_hidden_state", 0).graph is it.reference.graph


def test_the_candidates_piece_has_the_names_of_the_reference() -> None:
    """Even where these names are those of other edges in the candidate's file."""
    candidate = renamed(bert(), "_other")
    for node in candidate.graph.node:
        for names in (node.input, node.output):
            names[:] = ["Add_57_out" if n == "MatMul_21_out_other" else n for n in names]
    with opened(bert(), candidate, "embedx:plain", None, None, inner=True) as it:
        assert it.pairs()[EDGE] == f"{EDGE}_other"
        piece = smallest(it, EDGE, 0, lambda piece: len(piece.graph.nodes) > 1)
    assert piece is not None
    assert piece.theirs is not None
    ours, theirs = (Engine(g, precision="exact") for g in (piece.graph, piece.theirs))
    assert set(theirs.input_names) <= set(piece.feeds)
    results = [engine.run(None, piece.feeds)[0] for engine in (ours, theirs)]
    assert np.array_equal(*results)
