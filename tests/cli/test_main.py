"""The command line: what it prints where, and how it exits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedx.cli.main import main
from embedx.cli.versions import versions
from tests.cli.process import needs_sigterm


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["embed", "-m", "/nowhere", "a"], 4, "no such file"),
        (["embed", "-m", "FOLDER"], 4, "no texts"),
        (["embed", "-m", "FOLDER", "-i", "/nowhere"], 4, "cannot read /nowhere"),
        (["embed", "-m", "FOLDER", "a", "-o", "/nowhere/x"], 2, "cannot write /nowhere/x: No such"),
        (["embed", "-m", "FOLDER", "a", "-o", "FOLDER"], 2, "Is a directory"),
        (["embed", "-m", "FOLDER", "a", "-o", "BROKEN/x"], 2, "Not a directory"),
        (["embed", "-m", "FOLDER", "-i", "FOLDER"], 4, "Is a directory"),
        (["embed", "-m", "FOLDER", "-i", "BROKEN"], 4, "is not UTF-8 (byte 0)"),
        (["embed", "-m", "FOLDER", "-i", "UTF16"], 4, "it looks like UTF-16"),
        (
            ["embed", "-m", "FOLDER", "a", "-o", "o.csv", "--format", "npy"],
            2,
            "o.csv is named as csv",
        ),
        (["embed", "-m", "FOLDER", "a", "-o", "o.npy", "--json"], 2, "o.npy is named as npy"),
        (["embed", "-m", "FOLDER", "a", "--json", "--format", "csv"], 2, "--json is not --format"),
        (["embed", "-m", "FOLDER", "a", "--extraction-strategy", "best"], 2, "extraction_strategy"),
        (["inspect", "BROKEN"], 3, "not an ONNX model"),
        (["truncate", "FOLDER", "--layer", "7", "-o", "OUT"], 2, "the model has 2 layers"),
        (["truncate", "FOLDER", "-o", "MODEL"], 2, "never written to"),
        (["truncate", "FOLDER", "-o", "LINK"], 2, "never written to"),
        (["truncate", "FOLDER", "-o", "FOLDER"], 2, "Is a directory"),
        (["truncate", "FOLDER", "-o", "/nowhere/x.onnx"], 2, "cannot write"),
        (["ops", "Nothing"], 2, "no operator 'Nothing'"),
        (["ops", ""], 2, "no operator ''"),
        (["bench", "FOLDER", "--html", "/nowhere/x"], 2, "cannot write /nowhere/x: No such"),
    ],
)
def test_failures_are_one_line_and_an_exit_code(
    run: Any, folder: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\xff" * 9)
    (tmp_path / "utf16").write_text("a", "utf-16")
    (tmp_path / "link.onnx").symlink_to(folder / "model.onnx")
    places = {
        "FOLDER": folder,
        "UTF16": tmp_path / "utf16",
        "LINK": tmp_path / "link.onnx",
        "BROKEN/x": broken / "x",
        "BROKEN": broken,
        "OUT": tmp_path / "o.onnx",
        "MODEL": folder / "model.onnx",
    }
    found, out, err = run(*(places.get(a, a) for a in arguments))
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    zero = ["embed", "a", "--sequence-length", "0"]
    for arguments in ([], ["nothing"], ["embed", "--unknown"], zero):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
    assert "usage: embedx" in capsys.readouterr().err


def test_a_bug_exits_with_70(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("embedx.text.embedder.load", broken)
    code, _, err = run("embed", "-m", folder, "a")
    assert code == 70
    assert "please report" in err


def test_interruption_exits_with_130(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("embedx.text.embedder.load", interrupted)
    assert run("embed", "-m", folder, "a")[0] == 130


def test_module_and_pipes(folder: Path) -> None:
    command = [sys.executable, "-m", "embedx"]
    shown = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout == versions() + "\n"
    # A reader that stops early is no failure.
    pipe = subprocess.run(
        ["sh", "-c", '"$@" ops | head -1', "sh", *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert pipe.stderr == ""


@needs_sigterm
def test_sigterm_is_left_to_whoever_has_taken_it(run: Any, folder: Path, tmp_path: Path) -> None:
    def mine(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        assert run("embed", "-m", folder, "a")[0] == 0
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert run("embed", "-m", folder, "a")[0] == 0
    assert signal.getsignal(signal.SIGTERM) is before
