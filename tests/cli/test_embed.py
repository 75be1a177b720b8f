"""``embedx embed``: the vectors, and in which form they are written where."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx import Pipeline, load
from tests.cli.process import TERMINATED, needs_sigterm, process
from tests.tiny import HIDDEN


def test_embed_prints_json(run: Any, folder: Path) -> None:
    code, out, err = run("embed", "-m", folder, "the cat", "a")
    assert (code, err) == (0, "")
    assert run("embed", "-m", folder, "the cat", "a", "-o", "-") == (code, out, err)
    np.testing.assert_allclose(json.loads(out), load(folder).encode(["the cat", "a"]), rtol=1e-6)


@pytest.mark.parametrize("form", ["ndjson", "csv", "npy"])
def test_embed_formats(run: Any, folder: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "out"
    code, out, _ = run("embed", "-m", folder, "the cat", "a", "--format", form, "-o", path)
    assert (code, out) == (0, "")
    if form == "npy":
        found = np.load(path)
    else:
        lines = path.read_text().splitlines()
        found = [
            json.loads(line) if form == "ndjson" else [*map(float, line.split(","))]
            for line in lines
        ]
    np.testing.assert_allclose(found, load(folder).encode(["the cat", "a"]), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.npy", b"\x93NUMPY"), ("a.NPY", b"\x93NUMPY"), ("a.json", b"[["), ("a.ndjson", b"["),
        ("a.jsonl", b"["), ("a.txt", b"[["), ("a", b"[["),
    ],
)  # fmt: skip
def test_a_suffix_says_the_format(
    run: Any, folder: Path, tmp_path: Path, name: str, start: bytes
) -> None:
    path = tmp_path / name
    assert run("embed", "-m", folder, "a", "-o", path) == (0, "", "")
    data = path.read_bytes()
    assert data.startswith(start)
    assert data.startswith(b"[[") == (start == b"[[")


def test_a_format_goes_before_a_suffix_that_says_nothing(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.dat"
    assert run("embed", "-m", folder, "a", "--format", "npy", "-o", path)[0] == 0
    assert np.load(path).shape == (1, HIDDEN)


def test_embed_as_a_pipeline(run: Any, folder: Path) -> None:
    arguments = ("embed", "-m", folder, "the cat", "--sequence_length=8")
    _, per_token, _ = run(*arguments, "--emb-extraction-layer", "0")
    _, reduced, _ = run(*arguments, "--extraction_strategy", "reduce_mean")
    assert len(json.loads(per_token)[0]) == 8 * HIDDEN
    pipeline = Pipeline.create(
        model_path=folder, extraction_strategy="reduce_mean", sequence_length=8
    )
    np.testing.assert_allclose(json.loads(reduced), pipeline("the cat").embeddings, rtol=1e-6)
    code, _, err = run(*arguments, "--extraction-strategy", "mean", "--normalize")
    assert code == 2
    assert "--normalize does not go with" in err


def test_embed_options_of_encode(run: Any, folder: Path) -> None:
    _, out, _ = run("embed", "-m", folder, "a", "--truncate-dim", 3, "--normalize", "--json")
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert np.linalg.norm(document["embeddings"][0]) == pytest.approx(1)
    assert len(document["embeddings"][0]) == 3


@needs_sigterm
def test_sigterm_leaves_no_temporary_file(folder: Path, tmp_path: Path) -> None:
    """The signal comes when a file is written and has not got its name yet."""
    arguments = ["embed", "-m", folder, "a", "-o", tmp_path / "a.npy"]
    assert process(arguments, before=TERMINATED) == (143, b"", "")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_embed_writes_into_a_pipe(run: Any, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()), daemon=True)
    reader.start()
    assert run("embed", "-m", folder, "a", "-o", path)[0] == 0
    reader.join(10)
    assert np.shape(json.loads(found[0])) == (1, HIDDEN)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="the system has no /dev/stdout")
@pytest.mark.parametrize("redirect", [">> LOG", "1<> LOG"])
def test_dev_stdout_is_stdout(folder: Path, tmp_path: Path, redirect: str) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    shell = redirect.replace("LOG", f"'{log}'")
    lines = f'(echo first; exec "$@") {shell}' if "<>" in redirect else f'exec "$@" {shell}'
    command = ["sh", "-c", lines, "sh", sys.executable, "-m", "embedx", "embed", "-m", str(folder)]
    subprocess.run(
        [*command, "a", "-o", "/dev/stdout", "--format", "ndjson"], check=True, timeout=60
    )
    first, second = log.read_text().splitlines()
    assert first == ("first" if "<>" in redirect else "before")
    assert len(json.loads(second)) == HIDDEN
