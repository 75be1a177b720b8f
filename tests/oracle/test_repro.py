"""Repros: tests that fail while a fault is there, and pass when it is not."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from embedx.errors import ConfigError
from embedx.model.onnx_file import read_model
from embedx.oracle.bisect import bisect
from embedx.oracle.data_sets import read_data_sets
from embedx.oracle.repro import check_place, write_repro
from embedx.run.engine import Engine
from tests.models import model
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


def test_the_report_shows_the_elements_that_differ_the_worst_first(tmp_path: Path) -> None:
    write_repro(bisected(faults.scaled_column, "embedx"), tmp_path)
    report = (tmp_path / "report.md").read_text()
    table = [line for line in report.splitlines() if line.startswith("| [")]
    shown = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table]
    graph = read_model(tmp_path / "model.onnx")
    (data,) = read_data_sets(tmp_path, graph)
    (exact,) = map(np.asarray, data.outputs.values())
    (wrong,) = map(np.asarray, Engine(tmp_path / "candidate.onnx").run(None, data.inputs))
    assert len(shown) == 8
    offs = []
    for place, expected, actual in shown:
        index = tuple(json.loads(place))
        assert float(expected) == pytest.approx(float(exact[index]))
        assert float(actual) == pytest.approx(float(wrong[index]))
        offs.append(abs(float(expected) - float(actual)))
    assert offs == sorted(offs, reverse=True)
    assert offs[0] == pytest.approx(np.abs(exact - wrong).max())
    assert "4 times what rounding explains" in report
    assert "4 times what rounding explains" in (tmp_path / "test_repro.py").read_text()


def product(weight: NDArray[np.float32]) -> onnx.ModelProto:
    made = model("agraph (float[N, 8] x) => (float[N, 8] y) <float[8, 8] w> { y = MatMul(x, w) }")
    made.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return made


def test_one_small_element_that_is_wrong_alone_is_the_one_that_is_shown(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(8, 8)).astype(np.float32)
    weight[:, 0] *= np.float32(1e-7)
    wrong = weight.copy()
    wrong[:, 0] *= 2
    x = random.normal(size=(4, 8)).astype(np.float32)
    write_repro(bisect(product(weight), product(wrong), with_="embedx", inputs={"x": x}), tmp_path)
    report, test = ((tmp_path / n).read_text() for n in ("report.md", "test_repro.py"))
    for text in (report, test):
        assert "half of how far off this element was" in text
        assert "4 times" not in text
    (place,) = re.findall(r"\nPLACE = \((\d+), 0\)", test)
    assert f"element [{place}, 0] of `y` is off by" in report
    assert not passes(tmp_path)
    shutil.copy(tmp_path / "model.onnx", tmp_path / "candidate.onnx")
    assert passes(tmp_path)


def test_integers_that_differ_are_told_in_words(tmp_path: Path) -> None:
    least, most = (
        model(f"agraph (float[N, 3] x) => (int64[N, 1] y) {{ y = Arg{m}<axis=1>(x) }}")
        for m in ("Min", "Max")
    )
    x = np.array([[1, 2, 3], [1, 1, 1]], np.float32)
    write_repro(bisect(least, most, with_="embedx", inputs={"x": x}), tmp_path)
    report = (tmp_path / "report.md").read_text()
    said = " ".join(report.split())
    assert "1 of the 2 elements of `y` differ; element [0, 0] is 2 instead of 0" in said
    assert "| [0, 0] | `0` | `2` |" in report


def test_another_shape_is_told_in_words(tmp_path: Path) -> None:
    kept, gone = (
        model(f"agraph (float[N, 3] x) => (float y) {{ y = ReduceMax<axes=[1], keepdims={k}>(x) }}",
              opset=13)
        for k in (1, 0)
    )  # fmt: skip
    for made in (kept, gone):
        made.graph.output[0].type.tensor_type.ClearField("shape")
    x = np.array([[1, 2, 3], [1, 1, 1]], np.float32)
    write_repro(bisect(kept, gone, with_="embedx", inputs={"x": x}), tmp_path)
    said = " ".join((tmp_path / "report.md").read_text().split())
    assert "`y` has the shape [2] instead of [2, 1]" in said


def test_a_folder_of_others_stays_as_it_is(tmp_path: Path) -> None:
    found = bisected(faults.scaled_column, "embedx")
    (tmp_path / "test_repro.py").write_text("of somebody else")
    with pytest.raises(ConfigError, match=r"test_repro\.py that embedx bisect did not write"):
        write_repro(found, tmp_path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["of somebody else"]
    for _ in range(2):
        write_repro(found, tmp_path / "mine")
    (tmp_path / "mine" / "test_repro.py").write_text("mended by hand")
    with pytest.raises(ConfigError, match="has changed since"):
        check_place(tmp_path / "mine")


def test_the_folder_of_a_model_that_is_read_is_refused(tmp_path: Path) -> None:
    write_repro(bisected(faults.scaled_column, "embedx"), tmp_path)
    check_place(tmp_path, tmp_path.parent / "model.onnx", bert(), None)
    for named in (tmp_path, tmp_path / "candidate.onnx"):
        with pytest.raises(ConfigError, match="the model's own folder"):
            check_place(tmp_path, "model.onnx", named)


def test_where_nothing_parts_there_is_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no repro to write"):
        write_repro(bisect(bert(), with_="embedx"), tmp_path / "repro")
    assert not (tmp_path / "repro").exists()
