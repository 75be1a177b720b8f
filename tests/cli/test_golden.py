"""``embedx golden record`` and ``check``, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.tiny import bert


@pytest.fixture
def golden(run: Any, folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "texts.txt").write_text("the cat sat\n\na dog\n")
    code, out, err = run(
        "golden", "record", folder, "-o", tmp_path / "g", "--texts", tmp_path / "texts.txt"
    )
    assert (code, err) == (0, "")
    assert out == f"{tmp_path / 'g'}: data sets: 1, by embedx:exact\n"
    return tmp_path / "g"


def test_what_was_recorded_passes_on_every_engine(run: Any, golden: Path) -> None:
    assert (golden / "model.onnx").is_file()
    code, out, _ = run("golden", "check", golden)
    assert code == 0
    assert out.startswith("IDENTICAL")
    _, out, _ = run("golden", "check", golden, "--with", "embedx")
    recorded, given = out.split("What embedx gives for the recorded inputs:\n\n")
    assert recorded.startswith(f"The values recorded in {golden}:\n\nIDENTICAL")
    assert "candidate  embedx" in given
    code, out, _ = run("golden", "check", golden, "--with", "embedx", "--json")
    found = json.loads(out)
    assert (code, found["schema"], found["exit"]) == (0, "embedx.golden/1", 0)
    assert found["comparisons"][0]["verdict"] == "identical"
    assert found["comparisons"][1]["candidate"].startswith("embedx")


def test_another_model_fails(run: Any, golden: Path, tmp_path: Path) -> None:
    other = bert(head=True)
    weight = next(t for t in other.graph.initializer if len(t.dims) == 2 and t.dims[0] == 16)
    array = onnx.numpy_helper.to_array(weight) * np.float32(1.01)
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(other, tmp_path / "other.onnx")
    code, out, _ = run("golden", "check", golden, tmp_path / "other.onnx")
    assert code == 1
    assert out.split()[0] in ("SUSPICIOUS", "IMPOSSIBLE")
    code, out, _ = run("golden", "check", golden, tmp_path / "other.onnx", "--json")
    assert (code, json.loads(out)["exit"]) == (1, 1)


def test_the_model_may_be_left_out(run: Any, folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("golden", "record", folder, "-o", tmp_path / "g", "--no-model", "--json")
    assert code == 0
    assert json.loads(out)["model"] is False
    assert json.loads(out)["data_sets"] == 1
    assert not (tmp_path / "g" / "model.onnx").exists()
    assert run("golden", "check", tmp_path / "g")[0] == 4
    assert run("golden", "check", tmp_path / "g", folder)[0] == 0


def test_files_of_others_are_refused(run: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "model.onnx").write_bytes(b"of somebody else")
    code, _, err = run("golden", "record", folder, "-o", tmp_path / "g")
    assert code == 2
    assert "did not write; choose another folder, or empty it" in err
    assert [p.read_bytes() for p in (tmp_path / "g").iterdir()] == [b"of somebody else"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["record", "{m}"], 2, "-o"),
        (["record", "{m}", "-o", "g", "--with", "nothing"], 2, "'nothing'"),
        (["record", "{m}", "-o", "g", "--inputs", "nowhere.npz"], 4, "nowhere.npz"),
        (["record", "nowhere.onnx", "-o", "g"], 4, "nowhere.onnx"),
        (["record", "{m}", "-o", "g", "--inputs", "a", "--texts", "b"], 2, "not allowed with"),
        (["check", "nowhere"], 4, "nowhere has no model.onnx"),
        ([], 2, "COMMAND"),
    ],
)
def test_mistakes_are_explained(
    arguments: list[str],
    code: int,
    said: str,
    run: Any,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [word.format(m=folder) for word in arguments]
    try:
        found, _, err = run("golden", *given)
    except SystemExit as ended:  # argparse ends so
        found, err = ended.code, capfd.readouterr().err
    assert found == code
    assert said in err
    assert not (tmp_path / "g").exists()
