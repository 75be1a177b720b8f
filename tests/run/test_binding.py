"""Nodes that do not fit their operators, and what their messages advise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedx.errors import ModelError, UnsupportedOpError
from embedx.model.graph import Node
from embedx.run.binding import bind, check_operators


def node(op_type: str, domain: str = "") -> Node:
    return Node(op_type, ("x", "s"), ("y",), {}, domain, "last", opset=17, index=7)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("epsion", "; did you mean 'epsilon'?"),
        ("Axis", "; did you mean 'axis'?"),
        ("stash", "; did you mean 'stash_type'?"),
        ("momentum", "; at opset 17 there is axis, epsilon, stash_type"),
    ],
)
def test_unknown_attributes_are_refused_with_the_nearest_one(attribute: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        bind(replace(node("LayerNormalization"), attributes={attribute: 1}))
    expected = f"LayerNormalization 'last' (node 7) has the attribute {attribute!r}{message}"
    assert str(caught.value) == expected


def test_unknown_operators_are_refused_with_the_nearest_ones() -> None:
    nodes = [node("LayerNorm"), node("QuickGelu"), node("Gelu", "com.example"), node("Xyz")]
    with pytest.raises(UnsupportedOpError) as caught:
        check_operators(nodes)
    message = str(caught.value)
    for expected in (
        "LayerNorm in domain ai.onnx; did you mean LayerNormalization? (1 times: last)",
        "QuickGelu in domain ai.onnx; did you mean com.microsoft::QuickGelu?",
        "Gelu in domain com.example; did you mean Gelu?",
        "Xyz in domain ai.onnx (1 times",
    ):
        assert expected in message


def split(opset: int, outputs: int, lengths: str = "", **attributes: Any) -> Node:
    made = tuple(f"y{i}" for i in range(outputs))
    return Node("Split", ("x", lengths), made, attributes, name="last", opset=opset, index=7)


@pytest.mark.parametrize("given", [1, 3, 2**31])
def test_split_has_the_outputs_that_it_tells(given: int) -> None:
    with pytest.raises(ModelError, match=rf"Split 'last' \(node 7\) has 2 outputs, .* {given}$"):
        bind(split(18, 2, num_outputs=given))


@pytest.mark.parametrize("opset", [2, 13])
def test_before_opset_18_the_outputs_of_split_told_their_number(opset: int) -> None:
    call = bind(replace(split(opset, 2), inputs=("x",)))
    assert [piece.tolist() for piece in call(np.arange(4))] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="cannot be cut into 2 equal pieces"):
        call(np.arange(3))


@pytest.mark.parametrize("opset", [13, 18])
def test_split_makes_no_more_pieces_than_it_has_outputs(opset: int) -> None:
    call = bind(split(opset, 2, "lengths"))
    assert [len(piece) for piece in call(np.arange(4), np.array([1, 3]))] == [1, 3]
    with pytest.raises(ValueError, match="3 lengths for 2 outputs"):
        call(np.arange(4), np.array([1, 1, 2]))


def test_since_opset_18_split_must_be_told_what_to_do() -> None:
    with pytest.raises(ValueError, match="neither the lengths nor the number of pieces"):
        bind(split(18, 2))(np.arange(4), None)
