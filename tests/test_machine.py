"""What is said of the machine."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embedx
from embedx.machine import machine


def test_date_processor_and_versions_are_told() -> None:
    found = machine()
    assert found["date"] == date.today().isoformat()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["versions"]["embedx"] == embedx.__version__
    assert found["versions"]["numpy"] == np.__version__


def test_packages_that_are_not_installed_are_left_out() -> None:
    assert "no-such-package" not in machine(["no-such-package", "pytest"])["versions"]
    assert machine(["pytest"])["versions"]["pytest"] == pytest.__version__


def test_a_processor_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text

    def refused(path: Path, *options: Any, **named: Any) -> str:
        if path == Path("/proc/cpuinfo"):
            raise OSError
        return read(path, *options, **named)

    monkeypatch.setattr(Path, "read_text", refused)
    assert machine()["cpu"]
