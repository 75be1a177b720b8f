"""Repros: tests that fail while a fault is there, and pass when it is not."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from embedx.errors import ConfigError
from embedx.model.onnx_file import read_model
from embedx.oracle.bisect import bisect
from embedx.oracle.data_sets import read_data_sets
from embedx.oracle.repro import write_repro
from embedx.run.engine import Engine
from tests.oracle import faults
from tests.oracle.faults import FAULTS, Fault, bisected
from tests.tiny import bert


def passes(folder: Path) -> bool:
    """Whether the test in a repro does."""
    test = runpy.run_path(str(folder / "test_repro.py"))["test_repro"]
    try:
        test()
    except AssertionError:
        return False
    return True


def fails_in_pytest(folder: Path) -> bool:
    """Whether it fails as upstream would run it, and for what it asserts."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_repro.py"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode == 1 and "AssertionError: off by inf" in done.stdout


@pytest.mark.parametrize("engine", ["embedx", "onnxruntime"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_in_a_file(tmp_path: Path, fault: Fault, engine: str) -> None:
    folder = tmp_path / "repro"
    written = write_repro(bisected(fault, engine), folder)
    assert [p.name for p in written] == [
        "report.md", "test_repro.py", "model.onnx", "candidate.onnx", "test_data_set_0",
    ]  # fmt: skip
    assert not passes(folder)
    shutil.copy(folder / "model.onnx", folder / "candidate.onnx")
    assert passes(folder)


def test_an_optimizer(tmp_path: Path) -> None:
    found = bisect(faults.scaling(), inputs={"x": faults.large()})
    write_repro(found, tmp_path)
    test = tmp_path / "test_repro.py"
    assert "embedx" not in test.read_text()
    assert fails_in_pytest(tmp_path)
    test.write_text(test.read_text().replace("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"))
    assert passes(tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "MatMulScaleFusion" in report.splitlines()[0]
    assert all(f"\n- {word}: " in report for word in ("cpu_features", "onnxruntime", "numpy"))


@pytest.mark.parametrize("behind_add", [False, True])
def test_a_program(tmp_path: Path, behind_add: bool) -> None:
    onnx.save(bert(), tmp_path / "model.onnx")
    engine = faults.faulty_softmax(tmp_path, behind_add=behind_add)
    write_repro(bisect(tmp_path / "model.onnx", with_=engine), tmp_path / "repro")
    assert not passes(tmp_path / "repro")
    script = tmp_path / "engine.py"
    script.write_text(script.read_text().replace("1.01", "1.0"))
    assert passes(tmp_path / "repro")


def test_the_data_are_what_exact_arithmetic_gives(tmp_path: Path) -> None:
    write_repro(bisected(faults.other_epsilon, "embedx"), tmp_path / "repro")
    graph = read_model(tmp_path / "repro" / "model.onnx")
    (data,) = read_data_sets(tmp_path / "repro", graph)
    exact = Engine(graph, precision="exact").mapped_run(data.inputs)
    assert exact.keys() == data.outputs.keys()
    assert all((exact[name] == value).all() for name, value in data.outputs.items())
    onnx.checker.check_model(onnx.load(tmp_path / "repro" / "model.onnx"))


def test_where_nothing_parts_there_is_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no repro to write"):
        write_repro(bisect(bert(), with_="embedx"), tmp_path / "repro")
    assert not (tmp_path / "repro").exists()
