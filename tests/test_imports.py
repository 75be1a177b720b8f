"""Imports point one way, and importing embedx is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From left to right; a module imports only from what stands before it.
LAYERS = [
    ["errors", "ops", "workers", "limits"],
    ["graph", "output_file", "sizes"],
    ["external_data", "config_file", "edges", "schemas", "wire"],
    ["tensor_proto", "roles", "shape_rules"],
    ["onnx_file", "kernels", "rewrite", "element_types", "patterns", "rule"],
    ["fusion", "precision", "simplify", "layers"],
    ["fuse_activations", "fuse_attention", "fuse_normalization", "fuse_products", "binding"],
    ["fold"],
    ["prepare", "execute"],
    ["plan", "feeds", "random_feeds", "timing"],
    ["engine"],
    ["deployment", "buckets"],
    ["tokens", "pooling"],
    ["text_model"],
    ["pipeline", "embedder"],
    ["golden", "inspection", "catalogue"],
    ["bench"],
    ["server"],
    ["cli"],
]
OWNERS = {
    "onnx": {"onnx_file", "schemas"},
    "tokenizers": {"tokens"},
    "fastapi": {"server"},
    "uvicorn": {"server"},
}


def imports_of(*paths: Path) -> set[str]:
    """Dotted names that files import, wherever in them."""
    found: set[str] = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def modules() -> dict[str, list[Path]]:
    """The files of each module; a package is one module."""
    found: dict[str, list[Path]] = {}
    for path in (ROOT / "embedx").rglob("*.py"):
        name = path.relative_to(ROOT / "embedx").parts[0].removesuffix(".py")
        if path.stem != "__main__" and not name.startswith("__"):  # scripts come last of all
            found.setdefault(name, []).append(path)
    return {"ops": list((ROOT / "ops").rglob("*.py"))} | found


def test_every_module_has_a_layer() -> None:
    assert set(modules()) == {name for layer in LAYERS for name in layer}


@pytest.mark.parametrize("name", sorted(modules()))
def test_modules_import_from_the_left_only(name: str) -> None:
    place = next(i for i, layer in enumerate(LAYERS) if name in layer)
    allowed = {module for layer in LAYERS[:place] for module in layer} | {name}
    parts = (m.split(".") for m in imports_of(*modules()[name]))
    own = {p[1] for p in parts if p[0] == "embedx" and len(p) > 1}
    assert own & set(modules()) <= allowed


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_each_foreign_package_has_one_owner(package: str) -> None:
    users = {
        name
        for name, paths in modules().items()
        if any(m.split(".")[0] == package for m in imports_of(*paths))
    }
    # Type hints may name a foreign class without loading it.
    assert users - {"engine"} <= OWNERS[package]


def test_operators_import_nothing_of_embedx() -> None:
    for path in modules()["ops"]:
        roots = {m.split(".")[0] for m in imports_of(path)}
        assert not roots & {"embedx", "ops", "onnx", "tokenizers"}, path


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
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
