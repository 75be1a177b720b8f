"""Every public module has its test file, and every test file its module: the trees are alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_imports import MODULES

TESTS = Path(__file__).parent

CROSS_CUTTING = {
    "ops/test_coverage.py": "ONNX's schemas, against the whole of ops",
    "ops/test_every_operator.py": "properties that all operators have",
    "ops/test_extremes.py": "properties that all operators have",
    "ops/test_readme.py": "what ops/README.md says",
    "ops/test_style.py": "what every operator's code and docstring have",
    "server/test_fuzz.py": "requests made from the server's own documentation",
    "server/test_layers.py": "the order of the server's modules",
    "server/test_load.py": "many clients of a running server at once",
    "server/test_page.py": "the page, which is no module, in a browser",
    "test_default_model.py": "the model that embedx brings",
    "test_forms.py": "one model stored and run in several ways",
    "test_hostile.py": "files and inputs that mean harm, through the whole of embedx",
    "test_imports.py": "the order of all modules",
    "test_layout.py": "the order of all tests",
    "test_models.py": "models of real size, through the whole of embedx",
    "test_packaging.py": "what is installed",
    "test_readme.py": "what README says",
    "test_rules.py": "all rewrites, and graphs that they nearly match",
    "test_signatures.py": "all operators' signatures against their schemas",
}
"""Tests that no single module answers for, and what they are about."""


def file_of(name: str) -> str:
    *wing, module = name.split(".")
    return "/".join([*wing, f"test_{module.lstrip('_')}.py"])


MIRRORED = {file_of(name): name for name in MODULES}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_has_its_test_file(name: str) -> None:
    if not name.rpartition(".")[2].startswith("_"):
        assert (TESTS / file_of(name)).is_file(), f"tests/{file_of(name)} is missing"


@pytest.mark.parametrize(
    "path", sorted(p.relative_to(TESTS).as_posix() for p in TESTS.rglob("test_*.py"))
)
def test_every_test_file_has_its_module(path: str) -> None:
    assert path in MIRRORED or path in CROSS_CUTTING, (
        f"tests/{path} belongs to no module; move its tests to those of the modules that they "
        "test, or say in CROSS_CUTTING what they are about"
    )


@pytest.mark.parametrize("path", CROSS_CUTTING)
def test_what_is_listed_is_there_and_is_cross_cutting(path: str) -> None:
    assert (TESTS / path).is_file(), f"tests/{path} is not there any more"
    assert path not in MIRRORED, f"tests/{path} is that of {MIRRORED[path]}"


def test_each_folder_is_a_package() -> None:
    for path in TESTS.rglob("test_*.py"):
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"
