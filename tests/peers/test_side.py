"""What the process of a side answers, seen through the pipe that it talks over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx import Engine, load
from embedx.peers import side
from tests.environment import environment
from tests.models import model
from tests.tiny import bert, deployment

SCRIPT = Path(side.__file__)


def asked(job: dict[str, Any], *questions: str) -> list[dict[str, Any]]:
    """The answers to the job and to each question."""
    lines = "".join(f"{question}\n" for question in questions)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(job)],
        input=lines, capture_output=True, text=True, check=True, timeout=120,
        cwd=SCRIPT.parents[2], env=environment(),
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def stored(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "feeds.npz", **arrays)
    return str(folder / "feeds.npz")


@pytest.mark.parametrize("name", ["embedx", "onnxruntime", "onnx.reference"])
def test_a_run_is_measured_and_its_results_are_handed_over(tmp_path: Path, name: str) -> None:
    pytest.importorskip(name.partition(".")[0])
    proto = model("g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) z = Add(x, x) }")
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    x = np.array([1.5, -2], np.float32)
    job = {"side": name, "model": str(path), "threads": 1, "feeds": stored(tmp_path, x=x)}
    results = tmp_path / "results.npz"
    loaded, measured, handed = asked({**job, "names": ["x"]}, "", str(results))
    assert loaded["load_seconds"] > 0
    assert measured["seconds"] > 0
    assert measured["peak_bytes"] is None or measured["peak_bytes"] > 2**20
    assert handed == {}
    with np.load(results) as file:
        y, z = file.values()
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(z, 2 * x)


def test_texts_give_the_embeddings_of_embedx_on_every_side(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = deployment(tmp_path / "model", bert())
    texts = ["the cat", "a dog sat on the mat and ran", "!"]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    wanted = load(folder, pooling_mode="mean", max_seq_length=6).encode(texts)
    job = {
        "model": str(folder / "model.onnx"), "threads": 1, "length": 6,
        "tokenizer": str(folder / "tokenizer.json"), "output": "last_hidden_state",
        "texts": str(tmp_path / "texts.json"),
        "inputs": dict.fromkeys(Engine(folder / "model.onnx").input_names, "int64"),
    }  # fmt: skip
    for name in ("embedx", "onnxruntime"):
        results = tmp_path / f"{name}.npz"
        asked({**job, "side": name}, "", str(results))
        with np.load(results) as file:
            np.testing.assert_allclose(next(iter(file.values())), wanted, rtol=0, atol=1e-5)


def test_what_goes_wrong_is_the_answer(tmp_path: Path) -> None:
    job = {"side": "embedx", "model": str(tmp_path / "none.onnx"), "threads": 1, "names": ["x"]}
    (answer,) = asked({**job, "feeds": stored(tmp_path, x=np.ones(1))}, "")
    assert answer["error"].startswith("InputError: ")
    assert "none.onnx" in answer["error"]


def test_a_peers_process_loads_nothing_of_embedx() -> None:
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "embedx" not in {name.partition(".")[0] for name in done.stdout.split()}
