"""What is printed where, and what happens if it cannot be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.process import full, process


@full
@pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("arguments", [["embed", "a"], ["ops"], ["--help"], ["--version"]])
def test_a_full_stdout_is_one_line_and_code_5(arguments: list[str], env: dict[str, str]) -> None:
    code, _, error = process([*arguments], shell=">/dev/full", **env)
    assert (code, error) == (5, "embedx: cannot write to stdout: No space left on device\n")


@full
@pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_full_stderr_keeps_the_code(env: dict[str, str]) -> None:
    assert process(["ops", "Nothing"], shell="2>/dev/full", **env) == (2, b"", "")
    assert process(["nothing"], shell="2>/dev/full", **env) == (2, b"", "")


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes streams")
def test_closed_streams(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert process(["embed", "-m", folder, "a", "-o", path], shell=">&- 2>&- <&-") == (0, b"", "")
    assert json.loads(path.read_bytes())
    assert process(["ops"], shell=">&-")[::2] == (
        5,
        "embedx: cannot write to stdout: it is closed\n",
    )
    code, _, error = process(["embed", "-"], shell="<&-")
    assert (code, error) == (4, "embedx: cannot read stdin: it is closed\n")
    assert process(["ops", "Nothing"], shell="2>&-")[0] == 2
