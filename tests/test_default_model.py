"""The model in the package: small, sparse, near its teacher, and whole."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from scipy.stats import spearmanr

from embedx import Engine, Pipeline, load
from embedx.model.onnx_file import read_model
from embedx.observe.inspection import inspect_model
from embedx.text.deployment import read_deployment
from embedx.text.embedder import Embedder
from embedx.text.locate import find_model

PATH = find_model(None)
HELD_OUT = Path(__file__).parent.parent / "golden" / "default_model" / "heldout.tsv"


def held_out() -> Iterator[tuple[str, str, float, str]]:
    """Pairs of sentences that training never saw, the teacher's cosine, and the kind of pair."""
    with HELD_OUT.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row[0] != "sentence_a":
                yield row[0], row[1], float(row[2]), row[3]


@pytest.fixture(scope="module")
def model() -> Embedder:
    return load()


def test_it_orders_unseen_pairs_as_its_teacher_does(model: Embedder) -> None:
    first, second, teacher, kinds = zip(*held_out(), strict=True)
    a, b = (model.encode(list(side), normalize_embeddings=True) for side in (first, second))
    ours = (a * b).sum(axis=1)
    assert len(ours) >= 1000
    assert spearmanr(ours, teacher)[0] >= 0.93
    # Nearly all that is left in pairs of one kind is the fine order of like similarities.
    for kind, least in (("technical random", 0.78), ("technical near", 0.76)):
        chosen = np.array(kinds) == kind
        assert spearmanr(ours[chosen], np.array(teacher)[chosen])[0] >= least


def test_it_finds_what_a_reader_would(model: Embedder) -> None:
    documents = [
        "The server closes idle connections after thirty seconds.",
        "Delete the files in the cache directory to free disk space.",
        "A man is playing a guitar on the street.",
    ]
    queries = ["network timeout", "How do I remove old temporary files?", "A musician performs."]
    similarities = model.similarity(model.encode(queries), model.encode(documents))
    assert similarities.argmax(axis=1).tolist() == [0, 1, 2]


def test_four_of_five_weights_of_every_encoder_matrix_are_zero() -> None:
    facts = inspect_model(read_model(PATH), PATH, read_deployment(PATH))
    encoder = [m for m in facts["weights"]["matrices"] if "encoder.layer" in m["name"]]
    assert len(encoder) == 24
    assert min(m["zeros"] for m in encoder) >= 0.8
    assert len(facts["layers"]) == 4
    assert sum(p.stat().st_size for p in PATH.parent.rglob("*") if p.is_file()) <= 6e6


def test_onnxruntime_agrees_in_its_precise_mode(model: Embedder) -> None:
    options = onnxruntime.SessionOptions()
    # Without it, processors that lack VNNI saturate sums of products in 16 bits.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(PATH, options, providers=["CPUExecutionProvider"])
    engine = Engine(PATH)
    cosines = []
    for a, *_ in list(held_out())[::25]:
        (tokens,) = model.tokenize([a])
        ids = np.array([tokens.ids])
        feeds = {
            "input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0
        }  # fmt: skip
        (ours,), (theirs,) = engine.run(feeds), session.run(None, feeds)
        x, y = ours.mean(axis=1)[0], theirs.mean(axis=1)[0]
        cosines.append(x @ y / np.sqrt((x @ x) * (y @ y)))
    # In some texts a last bit of difference flips a rounding to 8 bits, and that others.
    assert np.median(cosines) >= 0.99999
    assert min(cosines) >= 0.99


def test_the_head_is_cut_off_unless_asked_for() -> None:
    options: dict[str, Any] = {"task": "embedding_extraction", "extraction_strategy": "reduce_mean"}
    text = "The generalized embedding extraction Pipeline is the best!"
    widths = [
        len(Pipeline.create(**options, emb_extraction_layer=layer)(text).embeddings[0])
        for layer in (-1, 0, None)
    ]
    assert widths == [256, 256, 384]
    config = Pipeline.create(**options).to_config()
    assert Pipeline.from_config(config).to_config() == config
