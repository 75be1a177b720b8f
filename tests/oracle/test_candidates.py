"""Whatever can be judged."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import ConfigError, InputError, NodeError
from embedx.model.onnx_file import read_model
from embedx.oracle.candidates import Stored, candidate_of, with_outputs
from embedx.rewrite.normal import normal_form
from tests.models import model

TEXT = """g (float[N] x) => (float[N] y) {
    t = Neg(x)  u = Identity(t)  half = Constant<value_float = 0.5>()
    v = Mul(u, half)  y = Add(v, x) }"""
FEEDS = {"x": np.array([1.5, -2], np.float32)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(model(TEXT), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def values(path: Path, engine: str, folder: Path, edges: list[str], **options: Any) -> Any:
    graph = normal_form(read_model(path))
    found = candidate_of(path, graph, engine, folder, inner=edges != ["y"], **options)
    try:
        return dict(found.values(FEEDS, edges, {})), found.shown()
    finally:
        found.close()


@pytest.mark.parametrize(
    "engine", ["embedx", "embedx:exact", "embedx:plain", "onnxruntime", "onnx.reference"]
)
def test_each_engine_gives_outputs(engine: str, path: Path, tmp_path: Path) -> None:
    pytest.importorskip(engine.partition(":")[0].partition(".")[0])
    found, shown = values(path, engine, tmp_path, ["y"])
    assert found["y"].tolist() == [0.75, -1]
    assert "y" in shown


@pytest.mark.parametrize("engine", ["embedx:plain", "onnxruntime:off", "onnx.reference"])
def test_inner_values_come_in_order(engine: str, path: Path, tmp_path: Path) -> None:
    pytest.importorskip(engine.partition(":")[0].partition(".")[0])
    found, shown = values(path, engine, tmp_path, ["t", "v", "y"])
    assert list(found) == ["t", "v", "y"]
    assert found["v"].tolist() == [-0.75, 1]
    assert {"t", "u", "v", "y"} <= shown


def test_an_optimizing_runtime_shows_what_it_makes(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    found, shown = values(path, "onnxruntime", tmp_path, ["v", "y"])
    assert "u" not in shown
    assert found["v"].tolist() == [-0.75, 1]


PROGRAM = """
import sys
import numpy as np
model, inputs, outputs = sys.argv[1:]
with np.load(inputs) as file:
    np.savez(outputs, y=file["x"] * 7)
"""


def test_any_program_can_be_asked(path: Path, tmp_path: Path) -> None:
    (tmp_path / "a program.py").write_text(PROGRAM)
    words = [sys.executable, str(tmp_path / "a program.py"), "{model}", "{inputs}", "{outputs}"]
    found, _ = values(path, f"cmd:{shlex.join(words)}", tmp_path, ["y"])
    assert found["y"].tolist() == [10.5, -14]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("cmd:nothing", r"is given as cmd:PROGRAM \{model\} \{inputs\} \{outputs\}"),
        ("cmd:no-such-program {inputs} {outputs}", "cannot run no-such-program"),
        ("cmd:false {inputs} {outputs}", "false ended with code 1"),
        ("cmd:true {inputs} {outputs}", "true has not written"),
    ],
)
def test_programs_that_fail_are_named(
    command: str, message: str, path: Path, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, NodeError), match=message):
        values(path, command, tmp_path, ["y"])


def test_a_program_gets_a_copy_of_the_model(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    (tmp_path / "program.py").write_text(f"{PROGRAM}open(model, 'ab').write(b'more')")
    words = [sys.executable, str(tmp_path / "program.py"), "{model}", "{inputs}", "{outputs}"]
    values(path, f"cmd:{shlex.join(words)}", tmp_path, ["y"])
    assert path.read_bytes() == before


def test_inputs_that_a_candidate_does_not_have_are_left_out(path: Path, tmp_path: Path) -> None:
    graph = normal_form(read_model(path))
    found = candidate_of(path, graph, "embedx", tmp_path, inner=False)
    assert dict(found.values({**FEEDS, "more": FEEDS["x"]}, ["y"], {}))["y"].tolist() == [0.75, -1]


@pytest.mark.parametrize("engine", ["embedx:fast", "onnxruntime:most", "tensorrt", "openvino:off"])
def test_unknown_engines_are_refused(engine: str, path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine|runs as"):
        values(path, engine, tmp_path, ["y"])


def test_stored_values_are_those_of_one_run_after_the_other() -> None:
    stored = Stored("file", [{"y": 1, "t": 2}, {"y": 3}])
    assert stored.shown() == {"y"}
    assert dict(stored.values({}, ["y", "t"], {})) == {"y": 1, "t": 2}
    assert dict(stored.values({}, ["y", "t"], {})) == {"y": 3}


def test_values_are_asked_for_in_groups_that_fit(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from embedx.oracle import candidates

    asked = []

    def counted(graph: Any, edges: Any, folder: Path) -> Path:
        asked.append(list(edges))
        return with_outputs(graph, edges, folder)

    monkeypatch.setattr(candidates, "with_outputs", counted)
    graph = normal_form(read_model(path))
    found = candidate_of(path, graph, "onnxruntime:off", tmp_path, inner=True)
    sizes = {"t": 2**25, "v": 2**25, "y": 2**25}
    assert [k for k, _ in found.values(FEEDS, ["t", "v", "y"], sizes)] == ["t", "v", "y"]
    found.close()
    assert asked == [["t", "v"]]


def test_other_runtimes_take_tensors_alone(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = normal_form(read_model(path))
    found = candidate_of(path, graph, "onnxruntime:off", tmp_path, inner=False)
    with pytest.raises(InputError, match="'x' is no tensor"):
        list(found.values({"x": [1]}, ["y"], {}))
