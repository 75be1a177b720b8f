"""A runtime in a process of its own that fails or ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedx import ConfigError
from embedx.peers.process import Side
from tests.tiny import cached


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cached(tmp_path_factory.mktemp("tiny"))


def test_a_side_that_cannot_open_the_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "feeds.npz", x=np.ones(1))
    job = {
        "model": str(tmp_path),
        "threads": 1,
        "feeds": str(tmp_path / "feeds.npz"),
        "names": ["x"],
    }
    with pytest.raises(ConfigError, match=r"^onnx.reference cannot run .*: IsADirectoryError"):
        Side("onnx.reference", job)


def test_a_side_that_ends(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "feeds.npz", x=np.ones(1))
    job = {
        "model": str(folder / "model.onnx"),
        "threads": 1,
        "feeds": str(tmp_path / "feeds.npz"),
        "names": ["x"],
    }
    with Side("onnx.reference", job) as side:
        side._process.kill()
        side._process.wait(30)
        with pytest.raises(ConfigError, match="its process ended with code -9"):
            side.run()
