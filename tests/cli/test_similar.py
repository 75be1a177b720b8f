"""``embedx similar``, its ranking against arithmetic on what encode gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import embedx
from embedx.cli.main import main
from tests.tiny import deployment

TEXTS = ["Show the content of a directory", "I like cake", "Delete\tall  files"]
QUERY = "How do I list all files?"


def test_texts_are_ranked_by_cosine_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", QUERY, *TEXTS]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = embedx.load()
    query, *vectors = (v.astype(np.float64) for v in model.encode([QUERY, *TEXTS]))
    cosines = [v @ query / np.linalg.norm(v) / np.linalg.norm(query) for v in vectors]
    order = np.argsort(cosines)[::-1]
    assert [line[9:] for line in lines] == [" ".join(TEXTS[i].split()) for i in order]
    np.testing.assert_allclose(
        [float(line[:7]) for line in lines], np.sort(cosines)[::-1], atol=1e-4
    )


def test_no_more_than_asked_for_and_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert main(["similar", QUERY, "-i", str(file), "-n", "1", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert main(["similar", QUERY, *TEXTS]) == 0
    assert (found["index"], found["text"]) == (2, TEXTS[2])
    assert capsys.readouterr().out.startswith(f"{found['score']:7.4f}  Delete all files\n")


def test_the_model_may_stand_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment(tmp_path / "my model")
    words = ["a query", "one text", "another text"]
    outputs = []
    for arguments in (
        ["-m", str(tmp_path / "my model"), *words],
        [str(tmp_path / "my model"), *words],
    ):
        assert main(["similar", *arguments]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 2


def test_prompts_of_queries_and_documents_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = deployment(tmp_path / "model")
    prompts = {"prompts": {"query": "the query ", "document": "a text "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert main(["similar", str(folder), "one", "one", "the", "--json"]) == 0
    scores = {r["text"]: r["score"] for r in json.loads(capsys.readouterr().out)["results"]}
    model = embedx.load(folder)
    query = model.encode("the query one", prompt="")
    for text, score in scores.items():
        vector = model.encode(f"a text {text}", prompt="")
        assert score == pytest.approx(float(model.similarity(query, vector)[0, 0]), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a query"], "no texts to rank"),
        (["no/model", "a query", "-i", "texts.txt"], "no/model"),
        (["a query", "-i", "none.txt"], "none.txt"),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a text\n")
    assert main(["similar", *arguments]) == 4
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["./nowhere", "/nowhere", "no.onnx", "hf:nobody/nothing"])
def test_what_can_only_be_a_model_is_no_query(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similar", word, "a query", "a text"]) == 4
    assert word.removeprefix("hf:") in capsys.readouterr().err


def test_blank_lines_are_no_texts_but_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("\n \nthe third\n")
    assert main(["similar", "a query", "-i", str(tmp_path / "texts.txt"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert (found["index"], found["text"]) == (2, "the third")
