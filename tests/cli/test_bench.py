"""``embedx bench``: what it takes and prints."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from embedx.cli.main import main
from embedx.peers import known
from tests.tiny import bert, deployment


def test_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, texts = tmp_path / "page.html", tmp_path / "texts.txt"
    texts.write_text("the cat\n\na dog\n")
    shared = ["bench", str(folder), "--iterations", "1"]
    assert main([*shared, "--shapes", "1x4", "--html", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["measurements"][0]["batch"]) == (2, 1)
    ElementTree.fromstring(page.read_text())
    assert main([*shared, "--texts", str(texts)]) == 0
    assert "2 texts of 8 tokens, tokenized and embedded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vs", "tensorflow"], "no runtime 'tensorflow'"),
        (["--shapes", "8y128"], "shapes are BATCHxTOKENS"),
        (["--shapes", "0x4"], "shapes are BATCHxTOKENS"),
        (["--shapes", ""], "shapes are BATCHxTOKENS"),
        (["--threads", "1,0"], "--threads: expected a whole number from 1 on"),
        (["--iterations", "0"], "--iterations: expected a whole number from 1 on"),
        (["--cold", "--load"], "--load repeats --shapes"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert exit_code(["bench", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def exit_code(arguments: list[str]) -> int | str | None:
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


def test_several_models_and_a_table_for_a_markdown_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "README.md"
    page.write_text("# A\n<!-- embedx bench -->\n<!-- /embedx bench -->\nthe end\n")
    other = deployment(tmp_path / "other", bert(seed=1))
    models = ["bench", str(folder), str(other), "--shapes", "1x4", "--iterations", "1"]
    assert main([*models, "--threads", "1,2", "--markdown", str(page)]) == 0
    said = capsys.readouterr().out
    for words in (f"model     {folder}", f"model     {other}", "1x4 tokens, 2 threads"):
        assert words in said
    text = page.read_text()
    assert text.startswith("# A\n<!-- embedx bench -->\nMeasured on ")
    assert f"| work | threads | {folder}: embedx | {other}: embedx |" in text
    assert text.endswith(" |\n<!-- /embedx bench -->\nthe end\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# A\n", "add them where the table is to be"),
        (b"\xff", "is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_markdown_file_without_a_place_is_refused_before_anything_is_measured(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    message: str,
) -> None:
    page = tmp_path / "README.md"
    if content is not None:
        page.write_bytes(content)
    monkeypatch.setattr("embedx.bench.bench", None)
    assert main(["bench", str(folder), "--markdown", str(page)]) == 2
    assert message in capsys.readouterr().err
    assert not page.exists() or page.read_bytes() == content


def test_a_missing_peer(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "find_spec", lambda name: None if name == "optimum" else name)
    assert main(["bench", str(folder), "--vs", "onnxruntime,sentence-transformers"]) == 2
    said = capsys.readouterr().err
    assert "not installed: sentence-transformers; " in said
    assert 'pip install "sentence-transformers[onnx]"' in said


def test_a_peer_for_texts_needs_some(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "find_spec", lambda name: name)
    assert main(["bench", str(folder), "--vs", "sentence-transformers"]) == 2
    assert "try: --texts FILE" in capsys.readouterr().err


def test_texts_are_needed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    assert main(["bench", str(folder), "--texts", str(tmp_path / "empty.txt")]) == 4


@pytest.mark.parametrize(
    ("peer", "file"),
    [("onnx.reference", "tokenizer.json"), ("sentence-transformers", "config.json")],
)
def test_peers_need_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    peer: str,
    file: str,
) -> None:
    monkeypatch.setattr(known, "find_spec", lambda name: name)
    folder = deployment(tmp_path)
    (folder / file).unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    assert main(["bench", str(folder), "--cold", "--vs", peer]) == 3
    assert f"has no {file}, which" in capsys.readouterr().err


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
