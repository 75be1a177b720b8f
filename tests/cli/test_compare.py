"""``embedx compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx import Engine
from tests.oracle.faults import scaled_column
from tests.tiny import bert


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    right, wrong = tmp_path / "right.onnx", tmp_path / "wrong.onnx"
    onnx.save(bert(), right)
    other = bert()
    scaled_column(other)
    onnx.save(other, wrong)
    return right, wrong


def test_a_healthy_model_passes_and_a_faulty_one_fails(run: Any, files: tuple[Path, Path]) -> None:
    right, wrong = files
    code, out, err = run("compare", right)
    assert (code, err) == (0, "")
    assert out.startswith("ROUNDING")
    code, out, _ = run("compare", right, wrong)
    assert code == 1
    assert out.startswith("SUSPICIOUS")
    assert f"next: embedx compare {right} {wrong} --with embedx --level nodes" in out
    code, out, _ = run("compare", right, wrong, "--level", "nodes")
    assert code == 1
    assert "attention.self.query" in out


def test_the_line_can_be_moved(run: Any, files: tuple[Path, Path]) -> None:
    assert run("compare", *files, "--allow", "suspicious")[0] == 0
    assert run("compare", files[0], "--fail-on", "rounding")[0] == 1
    assert run("compare", files[0], "--fail-on", "suspicious")[0] == 0


def test_json_is_one_document(run: Any, files: tuple[Path, Path]) -> None:
    code, out, _ = run("compare", *files, "--json")
    found = json.loads(out)
    assert (code, found["exit"], found["schema"]) == (1, 1, "embedx.compare/1")
    assert found["first"] is None


def test_several_engines_are_blamed(run: Any, files: tuple[Path, Path]) -> None:
    code, out, _ = run("compare", files[0], "--with", "embedx", "--with", "embedx:plain")
    assert code == 0
    assert out.rstrip().endswith("is explained.")
    both = ("--with", "embedx", "--with", "embedx:plain", "--json")
    document = json.loads(run("compare", *files, *both)[1])
    assert len(document["others"]) == 1
    assert len(document["moved"]) == 2


def test_pages_and_exports_are_written(run: Any, files: tuple[Path, Path], tmp_path: Path) -> None:
    written = {
        "--html": tmp_path / "page.html",
        "--model-explorer": tmp_path / "nodes.json",
        "--perfetto": tmp_path / "trace.json",
        "--verification-info": tmp_path / "info.json",
    }
    options = [word for pair in written.items() for word in pair]
    assert run("compare", *files, "--level", "nodes", *options)[0] == 1
    assert written["--html"].read_text().startswith("<!DOCTYPE html>")
    for path in list(written.values())[1:]:
        json.loads(path.read_text())
    code, _, err = run("compare", files[0], "--html", tmp_path / "no" / "page.html")
    assert code == 2
    assert "cannot write" in err


def test_texts_and_inputs(run: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("the cat sat\n\na dog\n")
    assert run("compare", folder, "--texts", tmp_path / "texts.txt")[0] == 0
    engine = Engine(folder / "model.onnx", precision="exact")
    feeds = dict(zip(engine.input_names, engine.generate_random_inputs(2, 5), strict=True))
    np.savez(tmp_path / "in.npz", **feeds)
    np.savez(tmp_path / "out.npz", **engine.mapped_run(feeds))
    code, out, _ = run(
        "compare", folder, tmp_path / "out.npz", "--inputs", tmp_path / "in.npz",
    )  # fmt: skip
    assert code == 0
    assert out.startswith("IDENTICAL")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no-such.onnx"], 4, "no such file"),
        (["{right}", "--with", "tensorrt"], 2, "no engine 'tensorrt'"),
        (["{right}", "no-such.npz", "--inputs", "no-such.npz"], 4, "no-such.npz"),
        (["{right}", "--texts", "no-such.txt"], 4, "cannot read no-such.txt"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    run: Any, files: tuple[Path, Path], arguments: list[str], code: int, message: str
) -> None:
    words = [word.replace("{right}", str(files[0])) for word in arguments]
    found, _, err = run("compare", *words)
    assert found == code
    assert message in err
    assert err.count("\n") == 1


def test_a_level_that_does_not_exist_is_refused(run: Any, files: tuple[Path, Path]) -> None:
    with pytest.raises(SystemExit):
        run("compare", files[0], "--level", "layers")
