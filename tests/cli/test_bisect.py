"""``embedx bisect``, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.oracle import faults
from tests.tiny import bert


def test_a_difference_ends_with_one_and_leaves_a_repro(run: Any, tmp_path: Path) -> None:
    onnx.save(faults.scaling(), tmp_path / "model.onnx")
    np.savez(tmp_path / "x.npz", x=faults.large())
    call = ("bisect", tmp_path / "model.onnx", "--inputs", tmp_path / "x.npz")
    code, out, err = run(*call, "--repro", tmp_path / "repro")
    assert (code, err) == (1, "")
    assert out.startswith("They part (")
    assert "made by    onnxruntime's MatMulScaleFusion\n" in out
    assert out.endswith(f"\nrepro      {tmp_path / 'repro' / 'report.md'}\n")
    assert (tmp_path / "repro" / "test_repro.py").is_file()

    code, out, _ = run(*call, "--json")
    found = json.loads(out)
    assert (code, found["schema"], found["exit"]) == (1, "embedx.bisect/1", 1)
    assert found["first"]["node"] == "product"
    assert found["cause"]["kind"] == "optimizers"
    assert found["cause"]["names"] == ["MatMulScaleFusion"]
    assert found["input"] == {"index": 0, "feeds": {"x": "float32[4, 8]"}}
    assert found["repro"] is None


def test_another_file_in_another_engine(run: Any, tmp_path: Path) -> None:
    changed = bert()
    faults.other_axis(changed)
    onnx.save(bert(), tmp_path / "model.onnx")
    onnx.save(changed, tmp_path / "candidate.onnx")
    call = ("bisect", tmp_path / "model.onnx", tmp_path / "candidate.onnx", "--with", "embedx")
    code, out, _ = run(*call, "--json")
    assert (code, json.loads(out)["cause"]["names"]) == (1, ["Softmax_58.axis"])


def test_no_difference_ends_with_zero(run: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("the cat sat\n\na dog\n")
    repro = tmp_path / "repro"
    code, out, err = run("bisect", folder, "--texts", tmp_path / "texts.txt", "--repro", repro)
    assert (code, err) == (0, "")
    assert out.startswith("They do not part on 1 input:")
    assert not repro.exists()
    code, out, _ = run("bisect", folder, "--with", "embedx", "--seeds", "2", "--json")
    found = json.loads(out)
    assert (code, found["parted"], found["inputs"], found["first"]) == (0, False, 2, None)


def test_a_folder_of_others_is_refused_before_the_run(run: Any, tmp_path: Path) -> None:
    (tmp_path / "repro").mkdir()
    (tmp_path / "repro" / "test_repro.py").write_text("of somebody else")
    code, _, err = run("bisect", tmp_path / "missing.onnx", "--repro", tmp_path / "repro")
    assert code == 2
    assert "did not write; choose another folder, or empty it" in err
    assert (tmp_path / "repro" / "test_repro.py").read_text() == "of somebody else"


def test_wrong_arguments(run: Any, folder: Path, tmp_path: Path) -> None:
    assert run("bisect", folder, "--with", "nonsense")[0] == 2
    assert run("bisect", tmp_path / "missing.onnx")[0] == 4
    assert run("bisect", folder, "--inputs", tmp_path / "missing.npz")[0] == 4
