"""Every rule against the graph as it was written: where it matches, and where it nearly does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import normal_form
from embedx.rewrite.rule import Rule
from embedx.run.fold import fold_constants
from embedx.run.prepare import RULES, prepare
from tests.differential import difference, feeds_for, graphs, parsed

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.name}-{i}")
    for rule in dict.fromkeys(RULES)
    for i, example in enumerate(rule.examples)
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_a_rule_rewrites_its_examples_and_keeps_what_they_compute(rule: Rule, example: str) -> None:
    model = parsed(example, opset=20)
    graph = normal_form(read_model(model))
    assert str(prepare(graph)) != str(prepare(graph, skip=[rule.name])) or _folds(rule, graph)
    for seed in range(5):
        assert not difference(model, feeds_for(model, example, np.random.default_rng(seed)))


def _folds(rule: Rule, graph: Graph) -> bool:
    """Constants are folded before all rules, too, so leaving the last one out shows nothing."""
    return rule is fold_constants and len(rule(graph).nodes) < len(graph.nodes)


@pytest.mark.parametrize("seed", range(8))
def test_graphs_that_rules_nearly_match_keep_their_meaning(seed: int) -> None:
    for name, model, feeds in itertools.islice(graphs(seed), 250):
        what = difference(model, feeds)
        assert not what, f"{name}: {what}\n{model}"


@pytest.mark.load
def test_twenty_thousand_graphs_keep_their_meaning() -> None:
    for name, model, feeds in itertools.islice(graphs(2026), 20_000):
        what = difference(model, feeds)
        assert not what, f"{name}: {what}\n{model}"
