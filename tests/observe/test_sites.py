"""Sites are found by structure, and their values are what their names say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedx.model.graph import Array, Graph, Value
from embedx.model.onnx_file import read_model
from embedx.observe.sites import Site, absent_sites, canonical, find_sites
from embedx.rewrite.layers import find_layers
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from tests.tiny import HEADS, HIDDEN, INNER, bert

SIZE = HIDDEN // HEADS


def loaded(model: Any) -> Graph:
    return normal_form(read_model(model))


def values(graph: Graph, sites: dict[str, Site], feeds: Any) -> dict[str, Array]:
    """The sites' values in canonical order."""
    edges = dict.fromkeys(site.edge for site in sites.values())
    engine = Engine(replace(graph, outputs=tuple(Value(edge) for edge in edges)), optimize=False)
    found = dict(zip(edges, engine.run(feeds), strict=True))
    return {name: canonical(site, found[site.edge]) for name, site in sites.items()}


@pytest.mark.parametrize("opset", [11, 14, 17, 20])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_every_site_of_a_plain_encoder_is_found(opset: int, pre_norm: bool) -> None:
    graph = loaded(bert(opset=opset, pre_norm=pre_norm, layers=2))
    sites = find_sites(graph)
    assert not absent_sites(graph)
    parts = "attention.q attention.k attention.v attention.scores attention.probs "
    parts += "attention.context attention.output mlp.hidden mlp.output output"
    expected = [f"layers.{i}.{part}" for i in (0, 1) for part in parts.split()]
    assert list(sites) == ["embeddings.output", *expected]
    assert [sites[f"layers.{i}.output"].edge for i in (0, 1)] == find_layers(graph)
    feeds = Engine(graph).generate_random_inputs(2, 5)
    found = values(graph, sites, feeds)
    for name, value in found.items():
        last = name.rpartition(".")[2]
        shape = {
            **dict.fromkeys("qkv", (2, HEADS, 5, SIZE)),
            **dict.fromkeys(("scores", "probs"), (2, HEADS, 5, 5)),
            "hidden": (2, 5, INNER),
        }.get(last, (2, 5, HIDDEN))
        assert value.shape == shape, name
    for i in (0, 1):
        at = {part: found[f"layers.{i}.attention.{part}"] for part in ("q", "k", "v", "scores")}
        np.testing.assert_allclose(
            at["q"] @ at["k"].swapaxes(-1, -2) / np.sqrt(SIZE), at["scores"], atol=1e-5
        )
        probs = found[f"layers.{i}.attention.probs"]
        np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-6)
        mixed = (probs @ at["v"]).swapaxes(1, 2).reshape(2, 5, HIDDEN)
        np.testing.assert_allclose(mixed, found[f"layers.{i}.attention.context"], atol=1e-5)
