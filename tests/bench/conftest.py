"""A tiny model folder, and a document of measurements on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embedx.bench import bench
from tests.tiny import bert, cached, deployment

PEERS = ("onnxruntime", "onnx.reference")
TEXTS = ["the cat", "a dog sat on the mat", "!"]


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cached(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="package")
def document(folder: Path) -> dict[str, Any]:
    """One model, and all kinds of measurements."""
    pytest.importorskip("onnxruntime")
    return bench(
        [folder],
        peers=[*PEERS, *PEERS],
        shapes=[(1, 4), (2, 8)],
        texts=TEXTS,
        cold=True,
        busy=True,
        iterations=1,
    )


@pytest.fixture(scope="package")
def of_two(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two models, on one thread and on two."""
    pytest.importorskip("onnxruntime")
    other = deployment(tmp_path_factory.mktemp("other"), bert(seed=1))
    return bench(
        [folder, other, folder],
        peers=["onnxruntime"],
        shapes=[(2, 4)],
        texts=TEXTS,
        cold=True,
        threads=[1, 2],
        iterations=2,
    )
