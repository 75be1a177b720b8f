"""Imports point one way, and importing embedx is cheap."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "embedx"

# The one line of embedx/README.md that draws the wings from left to right.
LINE = re.search(r"^    (ops \|.*)$", (PACKAGE / "README.md").read_text("utf-8"), re.MULTILINE)
LAYERS = [layer.split(", ") for layer in (LINE[1] if LINE else "").split(" | ")]
OWNERS = {
    "onnx": ("model.", "backend"),  # which is the interface of that package, implemented
    "tokenizers": ("text.tokens",),
    "fastapi": ("server.",),
    "uvicorn": ("server.",),
}
"""The wings, or the modules of them, that alone may import a foreign package."""


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def modules() -> dict[str, Path]:
    """The modules of embedx by their names without ``embedx.``; not those that only run."""
    paths = [*PACKAGE.rglob("*.py"), *(PACKAGE / "ops").rglob("*.py")]
    names = {p: p.relative_to(PACKAGE).with_suffix("").parts for p in paths}
    return {
        ".".join(parts): path
        for path, parts in names.items()
        if parts[-1] not in ("__init__", "__main__")
    }


MODULES = modules()
WINGS = {name.partition(".")[0] for name in MODULES}


def own_imports(name: str) -> set[str]:
    """The modules and packages of embedx that a module imports, without ``embedx.``."""
    path = MODULES[name]
    return {m.removeprefix("embedx.") for m in imports_of(path) if m.startswith("embedx.")}


def test_every_wing_has_its_place() -> None:
    placed = [wing for layer in LAYERS for wing in layer]
    assert len(placed) == len(set(placed))
    assert set(placed) >= WINGS


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_import_leftwards_only(name: str) -> None:
    wing = name.partition(".")[0]
    place = next(i for i, layer in enumerate(LAYERS) if wing in layer)
    allowed = {other for layer in LAYERS[:place] for other in layer} | {wing}
    used = {imported.partition(".")[0] for imported in own_imports(name)}
    assert used & WINGS <= allowed


@pytest.mark.parametrize("wing", sorted(WINGS))
def test_no_wing_imports_in_a_circle(wing: str) -> None:
    inside = {name for name in MODULES if name.startswith(f"{wing}.")}
    waiting = {name: own_imports(name) & inside - {name} for name in inside}
    while free := [name for name, needs in waiting.items() if not needs]:
        for name in free:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(free)
    assert not waiting


@pytest.mark.parametrize("name", sorted(MODULES))
def test_private_modules_stay_inside_their_wing(name: str) -> None:
    wing = name.partition(".")[0]
    for imported in own_imports(name) & MODULES.keys():
        private = any(part.startswith("_") for part in imported.split("."))
        assert not private or imported.startswith(f"{wing}."), imported


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_each_foreign_package_has_one_owner(package: str) -> None:
    users = {
        name
        for name, path in MODULES.items()
        if any(m.split(".")[0] == package for m in imports_of(path))
    }
    # Type hints may name a foreign class without loading it.
    assert all(name.startswith(OWNERS[package]) for name in users - {"run.engine"})


def test_operators_import_nothing_of_embedx() -> None:
    for name, path in MODULES.items():
        roots = {m.split(".")[0] for m in imports_of(path)}
        foreign = roots & {"embedx", "ops", "onnx", "tokenizers"}
        assert not (name.startswith("ops.") and foreign), name


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    return {name.split(".")[0] for name in result.stdout.split()}


def test_importing_embedx_loads_numpy_at_most() -> None:
    heavy = {
        "onnx",
        "scipy",
        "tokenizers",
        "ml_dtypes",
        "google",
        "tqdm",
        "threadpoolctl",
        "yaml",
        "fastapi",
    }
    assert not loaded_by("import embedx") & heavy
    assert not loaded_by("import embedx.ops") & heavy


def test_names_are_loaded_when_used() -> None:
    assert "onnx" in loaded_by("from embedx import Engine")
    assert "embedx" in loaded_by("import embedx; embedx.Pipeline")
