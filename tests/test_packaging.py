"""What the wheel and the sdist hold, and that embedx runs from each and from a bare checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEFAULT_MODEL = "config.json model.onnx modules.json tokenizer.json 1_Pooling/config.json".split()

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the git checkout")


def command(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, as they are now, committed elsewhere."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in command("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        source = ROOT / name
        if name and source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name, follow_symlinks=False)
    command("git", "init", "-q", cwd=folder)
    command("git", "add", "-A", cwd=folder)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command("git", *author, "commit", "-q", "-m", "all", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def built(checkout: Path) -> Path:
    """The folder with the wheel and the sdist."""
    code = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
    command(sys.executable, "-c", code, cwd=checkout)
    return checkout / "dist"


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("embedx/ops/matmul.py", "embedx/ops/microsoft/__init__.py", "embedx/py.typed"):
        assert name in names
    assert {f"embedx/default_model/{name}" for name in DEFAULT_MODEL} <= set(names)
    assert "embedx/server/page/index.html" in names
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "embedx").rglob("*.py")}
    assert {name for name in names if name.startswith("embedx/") and name.endswith(".py")} == {
        *(name for name in sources if "__pycache__" not in name),
        *(f"embedx/{p.relative_to(ROOT)}" for p in (ROOT / "ops").rglob("*.py")),
    }
    tops = {name.split("/")[0] for name in names}
    assert all(top == "embedx" or top.endswith(".dist-info") for top in tops)
    assert wheel.stat().st_size < 7e6


def test_the_sdist_holds_what_the_tests_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("README.md", "LICENSE", "pyproject.toml", "golden/README.md", "ops/matmul.py"):
        assert name in names
    assert "tests/test_packaging.py" in names


def test_the_installed_wheel_runs(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "site"
    command(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target",
        target, wheel, cwd=tmp_path,
    )  # fmt: skip
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import embedx, embedx.ops as o, numpy;"
        "print(embedx.__file__); print(o.relu(numpy.array([-1.0, 2.0])))"
    )
    place, result = command(sys.executable, "-c", code, cwd=tmp_path).splitlines()
    assert Path(place).is_relative_to(target)
    assert result == "[0. 2.]"


def test_a_bare_checkout_runs(checkout: Path) -> None:
    assert "embedx 0" in command(sys.executable, "-m", "embedx", "--version", cwd=checkout)
