"""A rule says what it needs, and reaches the graphs that it is to reach."""

from __future__ import annotations

import pytest

from embedx.model.graph import Graph
from embedx.rewrite.rule import rule


def test_a_rule_says_what_it_needs_and_shows_it() -> None:
    def unexplained(graph: Graph) -> Graph:
        return graph

    def unshown(graph: Graph) -> Graph:
        """Nothing becomes nothing."""
        return graph

    with pytest.raises(TypeError, match="unexplained needs a docstring"):
        rule("g () => (float y) { y = Constant<value_float = 1>() }")(unexplained)
    with pytest.raises(TypeError, match="unshown needs"):
        rule()(unshown)
