"""``embedx serve``: how it starts in vain, and how it is told to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import process


def test_without_its_extra_it_says_what_to_install(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedx.server.run", None)
    code, out, err = run("serve", "m")
    assert (code, out) == (2, "")
    assert "pip install '.[server]'" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["/nowhere"], 4, "no such file or folder: /nowhere"),
        (["m", "--num-workers", "0"], 2, "num_workers is 0, expected at least 1"),
        (["m", "--sequence-length", "0"], 2, "sequence_length is 0, expected at least 1"),
        (["--config-file", "/nowhere.yaml"], 2, "cannot read /nowhere.yaml"),
    ],
)
def test_failures_are_one_line_and_an_exit_code(
    arguments: list[object], code: int, message: str
) -> None:
    pytest.importorskip("fastapi", reason="the server needs its extra")
    found, out, err = process(["serve", "--port", "0", *arguments])
    assert (found, out) == (code, b"")
    (line,) = err.splitlines()
    assert message in line


def test_a_taken_address_is_named(folder: Path) -> None:
    pytest.importorskip("fastapi", reason="the server needs its extra")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found, _, err = process(["serve", folder, "--port", port])
    assert found == 2
    assert f"cannot listen on 127.0.0.1:{port}: " in err
