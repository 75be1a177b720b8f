"""``embedx inspect``, ``truncate`` and ``ops``."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx import Engine, Pipeline
from tests.cli.process import TERMINATED, needs_sigterm, process
from tests.models import model
from tests.tiny import HIDDEN, bert


def test_inspect_shows_what_is_there_and_what_is_missing(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    code, out, _ = run("inspect", folder)
    assert code == 0
    for fact in (
        "opsets      ai.onnx 17",
        "input       input_ids: int64[batch, sequence]",
        "MatMul",
        "layer         1",
    ):
        assert fact in out
    proto = bert()
    proto.graph.node.append(
        onnx.helper.make_node("Zap", ["last_hidden_state"], ["z"], domain="my.own")
    )
    proto.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    path = tmp_path / "unknown.onnx"
    path.write_bytes(proto.SerializeToString())
    _, out, _ = run("inspect", path)
    assert "my.own::Zap  NOT SUPPORTED" in out
    _, out, _ = run("inspect", path, "--json")
    facts = json.loads(out)
    assert [op["name"] for op in facts["operators"] if not op["supported"]] == ["Zap"]
    assert len(facts["layers"]) == 2


def test_inspect_shows_the_plan_and_how_matrices_are_stored(run: Any, tmp_path: Path) -> None:
    weight = np.zeros((200, 100), np.float32)
    weight[::10, 0] = 1
    proto = model(
        "g (float[N, 200] x) => (float[N, 100] z) { y = MatMul(x, w) h = Relu(y) z = Neg(h) }"
    )
    proto.graph.node[1].name = "rectify"
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    _, out, _ = run("inspect", path, "--plan")
    assert [line.split()[2] for line in out.splitlines()] == ["MatMul", "Relu", "Neg"]
    assert "covers rectify" in out
    assert "[w: 200x100, " in out
    _, out, _ = run("inspect", path, "--plan", "--json")
    assert json.loads(out)["plan"][0]["matrix"] == "w"
    _, out, _ = run("inspect", path)
    assert "product     w: 200x100, " in out


def test_inspect_shows_the_sites_and_what_is_absent(run: Any, folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("inspect", folder, "--sites")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["site", "embeddings.output"]
    assert ["site", "layers.1.output"] in [line[:2] for line in lines]
    assert out.count("(batch, head, query, key)") == 4
    _, out, _ = run("inspect", folder, "--sites", "--json")
    facts = json.loads(out)
    assert [site["name"] for site in facts["sites"]] == [line[1] for line in lines]
    assert facts["absent"] == {}
    path = tmp_path / "no_layers.onnx"
    path.write_bytes(model("g (float[N] x) => (float[N] y) { y = Relu(x) }").SerializeToString())
    _, out, _ = run("inspect", path, "--sites")
    assert out.split()[:2] == ["absent", "layers.0.output"]


def test_what_truncate_has_written_can_be_embedded(run: Any, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    assert run("truncate", folder, "--layer", "0", "-o", path)[0] == 0
    code, _, err = run("embed", "-m", path, "the cat")
    assert (code, "--tokenizer" in err) == (3, True)
    first = Pipeline.create(
        model_path=folder, emb_extraction_layer=0, extraction_strategy="mean", sequence_length=16
    )
    for options in ([], ["--extraction-strategy", "mean"]):
        code, out, _ = run("embed", "-m", path, "--tokenizer", folder, "the cat", *options)
        assert code == 0
        np.testing.assert_allclose(json.loads(out), first("the cat").embeddings, rtol=1e-6)


@pytest.mark.parametrize("external", [False, True])
def test_truncate_writes_a_valid_smaller_model(
    run: Any, folder: Path, tmp_path: Path, external: bool
) -> None:
    path = tmp_path / "cut.onnx"
    extra = ["--external-data"] if external else []
    code, out, _ = run("truncate", folder, "--layer", "0", "-o", path, *extra)
    assert code == 0
    assert "ends at" in out
    onnx.checker.check_model(str(path), full_check=True)
    engine = Engine(path)
    assert engine.output_shapes == [("batch", "sequence", HIDDEN)]
    feeds = engine.generate_random_inputs(2, 5)
    pipeline = Pipeline.create(model_path=folder, emb_extraction_layer=0)
    np.testing.assert_array_equal(engine.run(feeds)[0], pipeline.text_model.engine.run(feeds)[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_truncate_writes_through_links_and_into_pipes(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    target, link, pipe = (tmp_path / name for name in ("real.onnx", "link.onnx", "pipe"))
    link.symlink_to(target)
    target.write_bytes(b"")
    target.chmod(0o600)
    assert run("truncate", folder, "--layer", "0", "-o", link)[0] == 0
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert len(Engine(link).graph.nodes) > 0
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert run("truncate", folder, "--layer", "0", "-o", pipe)[0] == 0
    reader.join(10)
    assert found == [target.read_bytes()]
    code, _, error = run("truncate", folder, "-o", pipe, "--external-data")
    assert (code, "no data can lie beside" in error) == (2, True)
    assert {*tmp_path.iterdir()} == {target, link, pipe}


def test_truncate_never_writes_into_its_own_weights(run: Any, folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert run("truncate", folder, "--layer", "1", "-o", first, "--external-data")[0] == 0
    (tmp_path / "b.onnx.data").symlink_to("a.onnx.data")
    code, _, error = run("truncate", first, "--layer", "0", "-o", second, "--external-data")
    assert (code, "a.onnx.data belongs to the model itself" in error) == (2, True)
    assert not second.exists()


@needs_sigterm
def test_sigterm_leaves_nothing_of_a_truncated_model(folder: Path, tmp_path: Path) -> None:
    arguments = ["truncate", folder, "--layer", "0", "-o", tmp_path / "a.onnx"]
    inside = tmp_path / "scratch"
    inside.mkdir()
    assert process(arguments, before=TERMINATED, TMPDIR=str(inside)) == (143, b"", "")
    assert [*tmp_path.rglob("*")] == [inside]


def test_ops_lists_and_shows(run: Any) -> None:
    _, out, _ = run("ops")
    assert "| Softmax | 1, 13 | `ops.softmax` |" in out
    _, out, _ = run("ops", "softmax")
    assert "Softmax-13" in out
    assert "Softmax-1 " in out
    assert "np.exp(input" in out
    _, out, _ = run("ops", "Softmax", "--json")
    assert [b["operator"] for b in json.loads(out)["behaviours"]] == ["Softmax-13", "Softmax-1"]
    _, out, _ = run("ops", "--json")
    assert {"domain": "ai.onnx", "name": "Relu", "since": [6]} in json.loads(out)["operators"]
