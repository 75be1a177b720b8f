"""One model stored in several forms, run in several ways: the embeddings are the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from embedx import load
from embedx.kernels import Storage
from embedx.model.graph import Array
from embedx.run.engine import Engine
from embedx.text.embedder import Embedder
from embedx.text.modules import Dense, LayerNorm, Module, Normalize, Pooling
from embedx.text.pooling import apply_modules
from tests.tiny import HIDDEN, bert, deployment

WORDS = "the a cat dog sat on mat and ran far away from red blue big".split()
SEQUENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=20)
TEXTS = st.lists(SEQUENCES.map(" ".join), min_size=1, max_size=6)


def pruned(seed: int = 0) -> onnx.ModelProto:
    """The tiny model with 95 % zeros in each matrix that is a product's right operand."""
    proto = bert()
    generator = np.random.default_rng(seed)
    products = {node.input[1] for node in proto.graph.node if node.op_type == "MatMul"}
    for tensor in proto.graph.initializer:
        if tensor.name in products:
            weight = numpy_helper.to_array(tensor).copy()
            weight[generator.random(weight.shape) < 0.95] = 0
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return proto


def as_sparse_initializers(proto: onnx.ModelProto, *, linear: bool) -> onnx.ModelProto:
    """The same model with these matrices in COO form."""
    kept, sparse = [], []
    for tensor in proto.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim != 2 or np.mean(weight == 0) < 0.9:
            kept.append(tensor)
            continue
        places = np.flatnonzero(weight) if linear else np.argwhere(weight)
        values = numpy_helper.from_array(weight[weight != 0], tensor.name)
        indices = numpy_helper.from_array(places.astype(np.int64), f"{tensor.name}_indices")
        sparse.append(helper.make_sparse_tensor(values, indices, weight.shape))
    assert sparse
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.graph.sparse_initializer.extend(sparse)
    return proto


@pytest.mark.parametrize(("storage", "form"), [("dense", "dense"), ("sparse", "csr")])
def test_zeros_are_the_same_however_they_are_stored(storage: Storage, form: str) -> None:
    plain = Engine(pruned(), optimize=False)
    feeds = plain.generate_random_inputs(3, 9)
    (expected,) = plain.run(feeds)
    models = [
        pruned(),
        as_sparse_initializers(pruned(), linear=True),
        as_sparse_initializers(pruned(), linear=False),
    ]
    for proto in models:
        engine = Engine(proto, storage=storage)
        notes = [step.note for step in engine.plan.steps if step.note]
        assert notes
        assert all(f", {form}: asked for" in note for note in notes)
        np.testing.assert_allclose(engine.run(feeds)[0], expected, atol=2e-6)


def test_exact_precision_does_not_depend_on_the_storage() -> None:
    feeds = Engine(pruned()).generate_random_inputs(3, 9)
    found = [
        Engine(pruned(), precision="exact", storage=storage).run(feeds)[0].tobytes()
        for storage in get_args(Storage)
    ]
    assert len(set(found)) == 1


def test_two_processes_choose_alike(tmp_path: Path) -> None:
    onnx.save(pruned(), tmp_path / "model.onnx")
    code = (
        "import sys; from embedx import Engine; e = Engine(sys.argv[1]);"
        "print([s.note for s in e.plan.steps], e.run(e.generate_random_inputs(3, 9))[0].tobytes())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx")]
    first, second = (
        subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
        for _ in range(2)
    )
    assert first == second
    assert b"zeros" in first


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployment(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def native(folder: Path) -> list[Embedder]:
    return [load(folder, num_cores=n) for n in (1, 2)]


@pytest.fixture(scope="module")
def exact(folder: Path) -> list[Embedder]:
    return [load(folder, num_cores=n, precision="exact") for n in (1, 2)]


@given(TEXTS, st.integers(1, 4))
def test_neighbours_and_threads_do_not_matter(
    native: list[Embedder], texts: list[str], batch_size: int
) -> None:
    alone = np.array([native[0].encode(text) for text in texts])
    for model in native:
        together = model.encode(texts, batch_size=batch_size)
        np.testing.assert_allclose(together, alone, atol=1e-6)


@given(TEXTS, st.integers(1, 4))
def test_in_exact_precision_not_a_bit_depends_on_them(
    exact: list[Embedder], texts: list[str], batch_size: int
) -> None:
    alone = np.array([exact[0].encode(text) for text in texts])
    for model in exact:
        np.testing.assert_array_equal(model.encode(texts, batch_size=batch_size), alone)


@given(TEXTS)
def test_nor_does_it_behind_the_graph(exact: list[Embedder], texts: list[str]) -> None:
    generator = np.random.default_rng(0)
    weight, norm = generator.normal(size=(24, HIDDEN)), generator.normal(size=(2, 24))
    modules: list[Module] = [
        Pooling(("mean", "weightedmean")),
        Dense(np.hstack([weight, weight]).astype(np.float32), None, "GELU"),
        LayerNorm(*norm.astype(np.float32)),
        Normalize(),
    ]
    tokens: list[Array] = exact[0].encode(texts, output_value="token_embeddings")
    for length in {len(t) for t in tokens}:
        hidden = np.array([t for t in tokens if len(t) == length])
        alone = [apply_modules(hidden[i : i + 1], modules)[0] for i in range(len(hidden))]
        np.testing.assert_array_equal(apply_modules(hidden, modules), alone)


@given(SEQUENCES, st.integers(0, 7))
def test_padding_does_not_matter(exact: list[Embedder], words: list[str], padding: int) -> None:
    model = exact[0].text_model
    (tokens,) = exact[0].tokenize([" ".join(words)])
    count = len(tokens.ids)
    ((_, short),) = model.embed([tokens], 1)
    ((_, padded),) = model.embed([tokens], 1, pad_to=[count + padding])
    np.testing.assert_array_equal(padded[:, :count], short)
