"""Nodes that do not fit their operators, and what their messages advise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from embedx.binding import bind, check_operators
from embedx.errors import ModelError, UnsupportedOpError
from embedx.graph import Node


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
