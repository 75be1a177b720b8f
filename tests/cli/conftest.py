"""A tiny model folder, and the command line called in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embedx.cli.main import main
from tests.tiny import bert, deployment


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployment(tmp_path_factory.mktemp("tiny"), bert(head=True), pooling={})


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call
