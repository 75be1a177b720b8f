"""``embedx bench``: what it takes and prints."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from embedx.bench import measurements
from embedx.cli.main import main
from tests.tiny import bert, deployment


def test_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, texts = tmp_path / "page.html", tmp_path / "texts.txt"
    texts.write_text("the cat\n\na dog\n")
    shared = ["bench", str(folder), "--iterations", "1"]
    assert main([*shared, "--shapes", "1x4", "--html", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["measurements"][0]["batch"]) == (1, 1)
    ElementTree.fromstring(page.read_text())
    assert main([*shared, "--texts", str(texts)]) == 0
    assert "2 texts, tokenized and embedded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vs", "tensorflow"], "no runtime 'tensorflow'"),
        (["--shapes", "8y128"], "shapes are BATCHxTOKENS"),
        (["--shapes", "0x4"], "shapes are BATCHxTOKENS"),
        (["--shapes", ""], "shapes are BATCHxTOKENS"),
        (["--threads", "0"], "threads must be at least 1"),
        (["--iterations", "0"], "iterations must be at least 1"),
        (["--cold", "--load"], "--load repeats --shapes"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["bench", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_peer(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "find_spec", lambda name: None)
    assert main(["bench", str(folder), "--vs", "onnxruntime"]) == 2
    assert "pip install onnxruntime" in capsys.readouterr().err


def test_texts_are_needed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    assert main(["bench", str(folder), "--texts", str(tmp_path / "empty.txt")]) == 4


def test_peers_read_tokenizer_json(tmp_path: Path) -> None:
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    assert main(["bench", str(folder), "--cold", "--vs", "onnx.reference"]) == 3


def test_what_a_model_cannot_run_is_told_in_its_own_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(folder), "--shapes", "1x999"]) == 5
    assert "Add" in capsys.readouterr().err


def test_what_is_measured_is_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = bert()
    for value in proto.graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = 16
    folder = deployment(tmp_path, proto)
    assert main(["bench", str(folder), "--shapes", "2x8", "--iterations", "1"]) == 2
    assert "the model takes 2x16 tokens only, not 2x8" in capsys.readouterr().err
