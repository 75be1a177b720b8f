"""No list is kept by hand: what operators, goldens, documentation and tests owe one another."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import embedx.ops
from embedx.difference import CLOSE, ROUNDING
from embedx.ops import Op, registered, resolve
from embedx.oracle.golden import LOOSER, Case, read_cases

ROOT = Path(__file__).parents[2]
GOLDEN, OPS = ROOT / "golden", ROOT / "ops"
FILES = {path.stem: path for path in sorted(GOLDEN.glob("ops/*.json"))}
CASES = {name: read_cases(path) for name, path in FILES.items()}
BEHAVIOURS = list(registered())
ORACLES = re.compile(
    r"onnxruntime \d+\.\d+\.\d+|exact integer arithmetic|mpmath 50 digits"
    r"|onnx backend suite \d+\.\d+\.\d+"
)
# On some machines onnxruntime saturates the sums of products of these by int8 weights.
INTEGER_PRODUCTS = {
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "com.microsoft.DynamicQuantizeMatMul",
    "com.microsoft.MatMulIntegerToFloat",
    "com.microsoft.QAttention",
    "com.microsoft.QGemm",
    "com.microsoft.QLinearConv",
}


def file_of(entry: Op) -> str:
    return f"{entry.domain}.{entry.name}".lstrip(".")


def each_behaviour(test: Callable[[Op], None]) -> Any:
    return pytest.mark.parametrize("entry", BEHAVIOURS, ids=lambda entry: entry.title)(test)


def each_file(test: Callable[[str], None]) -> Any:
    return pytest.mark.parametrize("name", FILES)(test)


# Goldens.


@each_behaviour
def test_behaviour_has_a_golden_case(entry: Op) -> None:
    cases = CASES.get(file_of(entry), [])
    served = [case for case in cases if resolve(case.name, case.opset, case.domain) == entry]
    assert served, f"add a case to golden/cases, then: python golden/record.py {file_of(entry)}"


@each_file
def test_file_belongs_to_an_operator(name: str) -> None:
    assert name in {file_of(entry) for entry in BEHAVIOURS}


@each_file
def test_cases_have_names_of_their_own_and_known_oracles(name: str) -> None:
    names = [case.id for case in CASES[name]]
    assert sorted(set(names)) == sorted(names)
    assert [case.oracle for case in CASES[name] if not ORACLES.fullmatch(case.oracle)] == []


@each_file
def test_file_is_strict_json_with_one_case_a_line(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    lines = text.splitlines()
    assert (lines[0], lines[-1], text[-1]) == ("[", "]", "\n")
    for line in lines[1:-1]:
        json.loads(line.removesuffix(","), parse_constant=pytest.fail)
    assert len(lines) == len(CASES[name]) + 2


@each_file
def test_onnxruntime_is_not_asked_for_products_of_int8(name: str) -> None:
    assert [
        case.id for case in CASES[name] if name in INTEGER_PRODUCTS and _by_saturation(case)
    ] == []


def _by_saturation(case: Case) -> bool:
    signed = any(getattr(x, "dtype", None) == "int8" for x in case.inputs)
    return signed and case.oracle.startswith("onnxruntime")


def test_every_golden_model_is_listed_once() -> None:
    listed = [case.model for cases in CASES.values() for case in cases if case.model is not None]
    assert sorted(listed) == sorted(path.name for path in (GOLDEN / "models").iterdir())


def test_golden_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in FILES.values()) < 1_500_000


def test_looser_tolerances_are_those_of_operators_and_have_reasons() -> None:
    assert LOOSER.keys() <= {file_of(entry) for entry in BEHAVIOURS}
    assert list(LOOSER) == sorted(LOOSER)
    assert all(reason and tolerance in (ROUNDING, CLOSE) for tolerance, reason in LOOSER.values())


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.py")), ids=lambda path: path.name)
def test_no_oracle_imports_what_it_judges(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {module.partition(".")[0] for module in modules} & {"embedx", "ops"}


# Functions.


@each_behaviour
def test_function_is_exported(entry: Op) -> None:
    package = embedx.ops.microsoft if ".microsoft." in entry.formula.__module__ else embedx.ops
    name = entry.formula.__name__
    assert name in package.__all__
    assert getattr(package, name) is entry.function


@each_behaviour
def test_function_is_documented(entry: Op) -> None:
    text = inspect.getdoc(entry.formula) or ""
    assert text.partition("\n")[0].endswith(".")
    assert ">>> " in text
    assert re.search(r"^Spec: .*\.$", text, re.MULTILINE)


# Modules.


@pytest.mark.parametrize("path", sorted(OPS.rglob("*.py")), ids=lambda path: path.stem)
def test_module_stays_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize(
    "name",
    sorted(p.stem for p in OPS.iterdir() if p.stem[0] not in "_." and p.suffix in ("", ".py")),
)
def test_module_has_a_test_module(name: str) -> None:
    tests = ROOT / "tests/ops"
    assert (tests / f"test_{name}.py").exists() or (tests / name).is_dir()
