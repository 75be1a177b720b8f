"""The goldens as a suite for any runtime, tried on runtimes with known faults."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import embedx
from embedx.oracle.golden import read_cases
from embedx.oracle.suite import GOLDEN, factory_of, golden_files, main, run_case
from tests.environment import environment


class Faulty:
    """embedx, but for what one of its methods gets wrong."""

    def __init__(self, model: Any) -> None:
        self.engine = embedx.Engine(model, optimize=False)
        self.path = model

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        return self.engine.run(names, feeds)


class OffByTwo(Faulty):
    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        return [y + np.float32(2) for y in super().run(names, feeds)]


class NoDouble(Faulty):
    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        if any(x.dtype == np.float64 for x in feeds.values()):
            raise NotImplementedError("double")
        return super().run(names, feeds)


class Crashing(Faulty):
    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        raise ValueError("out\nof order")


def refuses(model: Any) -> Any:
    raise RuntimeError("no operators at all")


def from_bytes(model: bytes) -> Any:
    return Faulty(onnx.load_from_string(model))


def statuses(operator: str, factory: Any, **options: Any) -> dict[str, tuple[str, str]]:
    cases = read_cases(GOLDEN / "ops" / f"{operator}.json")
    outcomes = [run_case(case, factory, GOLDEN, **options) for case in cases]
    return {outcome.id: (outcome.status, outcome.why) for outcome in outcomes}


@pytest.mark.parametrize("precision", ["plain", "exact"])
def test_embedx_passes_its_goldens(precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"embedx:{precision}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "embedx.suite/1"
    assert found["failed"] == found["unsupported"] == 0
    assert found["passed"] == sum(len(read_cases(p)) for p in golden_files(GOLDEN))


def test_another_runtime_passes_and_what_it_lacks_is_told_from_what_it_gets_wrong() -> None:
    pytest.importorskip("onnxruntime")
    session = factory_of("onnxruntime")
    assert {status for status, _ in statuses("MatMulInteger", session).values()} >= {"passed"}
    assert {status for status, _ in statuses("If", session).values()} == {"passed"}
    lacking = statuses("Celu", session)
    assert {status for status, _ in lacking.values()} == {"passed", "unsupported"}


def test_a_wrong_result_is_shown_beside_the_right_one() -> None:
    found = statuses("Relu", OffByTwo)
    assert found["float32"][0] == "failed"
    assert re.search(r"output 0, element \[\d\]: 2\.0 instead of 0\.0", found["float32"][1])


def test_what_is_not_implemented_is_no_failure() -> None:
    found = statuses("Relu", NoDouble)
    assert found["float64"] == ("unsupported", "NotImplementedError: double")
    assert found["float32"] == ("passed", "")


def test_other_exceptions_are_failures() -> None:
    assert set(statuses("Relu", Crashing).values()) == {("failed", "ValueError: out of order")}


def test_a_factory_may_want_bytes() -> None:
    assert set(statuses("If", from_bytes, as_bytes=True).values()) == {("passed", "")}
    assert {status for status, _ in statuses("If", from_bytes).values()} == {"unsupported"}


def test_counts_and_the_first_failure_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests.oracle.test_suite:OffByTwo", "--operators", "Relu,If"]) == 1
    relu, first, *rest = capsys.readouterr().out.splitlines()
    cases = read_cases(GOLDEN / "ops" / "Relu.json")
    empty = sum(
        getattr(case.outputs[0], "size", 1) == 0 for case in cases
    )  # nothing can be wrong there
    assert relu == f"Relu: {empty} passed, {len(cases) - empty} failed, 0 not supported"
    assert "(opset " in first
    assert rest[-1].endswith("2 operators in tests.oracle.test_suite:OffByTwo")


def test_a_runtime_that_runs_nothing_does_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests.oracle.test_suite:refuses", "--operators", "Relu"]) == 1
    assert "RuntimeError: no operators at all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_module:factory"], "No module named 'no_such_module'"),
        (["json:nothing"], "no attribute 'nothing'"),
        (["json:__name__"], "cannot be called"),
        (["onnxrumtime"], "known are onnxruntime, "),
        (["embedx", "--operators", "NoSuch"], "'NoSuch'"),
        (["embedx", "--golden", "nowhere"], "--golden FOLDER"),
    ],
)
def test_mistakes_are_explained(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "embedx.oracle.suite", "embedx", "--operators", "Add", "Mul"],
        capture_output=True, text=True, timeout=120, env=environment(),
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Mul: " in done.stdout
