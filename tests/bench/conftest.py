"""A tiny model folder, and a document of measurements on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embedx.bench import bench
from tests.tiny import cached

PEERS = ("onnxruntime", "onnx.reference")


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cached(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="package")
def document(folder: Path) -> dict[str, Any]:
    pytest.importorskip("onnxruntime")
    return bench(
        folder,
        peers=[*PEERS, *PEERS],
        shapes=[(1, 4), (2, 8)],
        texts=["the cat", "a dog sat on the mat", "!"],
        cold=True,
        busy=True,
        iterations=1,
    )
