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


@pytest.mark.parametrize("name", ["embedx", "onnxruntime", "onnx.reference", "openvino"])
def test_a_run_is_measured_and_its_results_are_handed_over(tmp_path: Path, name: str) -> None:
    pytest.importorskip(name.partition(".")[0])
    proto = model("g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) z = Add(x, x) }")
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    x = np.array([1.5, -2], np.float32)
    job = {"side": name, "model": str(path), "threads": 1, "feeds": stored(tmp_path, x=x)}
    results = tmp_path / "results.npz"
    loaded, measured, handed = asked({**job, "names": ["x"]}, "run", str(results))
    assert loaded["load_seconds"] > 0
    assert measured["seconds"] > 0
    assert 0 <= measured["cpu_seconds"] <= measured["cpu_seconds_so_far"]
    assert measured["peak_bytes"] is None or measured["peak_bytes"] > 2**20
    assert handed == {}
    with np.load(results) as file:
        y, z = file.values()
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(z, 2 * x)


@pytest.fixture
def text_job(tmp_path: Path) -> dict[str, Any]:
    folder = deployment(tmp_path / "model", bert())
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    return {
        "model": str(folder / "model.onnx"), "threads": 1, "length": 6, "folder": str(folder),
        "tokenizer": str(folder / "tokenizer.json"), "output": "last_hidden_state",
        "texts": str(tmp_path / "texts.json"), "batches": "naive",
        "inputs": dict.fromkeys(Engine(folder / "model.onnx").input_names, "int64"),
    }  # fmt: skip


TEXTS = ["a dog sat on the mat and ran", "the cat", "!"] * 13  # more than a batch


@pytest.mark.parametrize(
    ("name", "batches", "needed"),
    [
        ("embedx", "naive", "numpy"),
        ("onnxruntime", "naive", "onnxruntime"),
        ("onnxruntime", "sorted", "onnxruntime"),
        ("openvino", "sorted", "openvino"),
        ("sentence-transformers", "naive", "optimum"),
    ],
)
def test_texts_give_the_embeddings_of_embedx_on_every_side(
    tmp_path: Path, text_job: dict[str, Any], name: str, batches: str, needed: str
) -> None:
    pytest.importorskip(needed)
    wanted = load(text_job["folder"], pooling_mode="mean", max_seq_length=6).encode(TEXTS)
    results = tmp_path / "results.npz"
    answers = asked({**text_job, "side": name, "batches": batches}, "once", str(results))
    assert "error" not in answers[0], answers
    with np.load(results) as file:
        np.testing.assert_allclose(next(iter(file.values())), wanted, rtol=0, atol=1e-5)


def test_sorted_batches_are_padded_less(
    text_job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    class Session:
        def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
            shapes.append(feeds["input_ids"].shape)
            return [np.zeros((*feeds["input_ids"].shape, 2), np.float32)]

    monkeypatch.setattr(side, "opener", lambda *_: lambda path: Session())
    for batches in ("naive", "sorted"):
        made = side.plain_script({**text_job, "side": "any", "length": 99, "batches": batches})
        assert made(TEXTS).shape == (39, 2)
    assert shapes == [(32, 10), (7, 10), (32, 10), (7, 10)]
    shapes.clear()
    few = side.plain_script({**text_job, "side": "any", "length": 99, "batches": "sorted"})
    few(TEXTS[:1] + ["the cat"] * 32)
    assert shapes == [(32, 4), (1, 10)]


def test_a_short_run_is_repeated_unless_one_is_asked_for(
    text_job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[None] = []

    def work() -> list[Any]:
        runs.append(None)
        return []

    monkeypatch.setattr(side, "prepared_texts", lambda job: (work, 0.0))
    monkeypatch.setattr(side, "answer", lambda **facts: None)
    monkeypatch.setattr(sys, "stdin", ["once\n"])
    side.main(text_job)
    assert len(runs) == 1
    monkeypatch.setattr(sys, "stdin", ["run\n"])
    side.main(text_job)
    assert len(runs) > 2


def test_what_a_library_prints_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("print('welcome')\nimport os\nos.write(1, b'hello')\n")
    job = {"side": "openvino", "model": "none", "threads": 1, "names": ["x"]}
    place = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = sys.argv[2:]"
    script = f"{place}; import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    job |= {"feeds": stored(tmp_path, x=np.ones(1))}
    done = subprocess.run(
        [sys.executable, "-c", script, "", json.dumps(job)],
        capture_output=True, text=True, check=True, timeout=60, input="",
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert "AttributeError" in json.loads(line)["error"]


def test_what_goes_wrong_is_the_answer(tmp_path: Path) -> None:
    job = {"side": "embedx", "model": str(tmp_path / "none.onnx"), "threads": 1, "names": ["x"]}
    (answer,) = asked({**job, "feeds": stored(tmp_path, x=np.ones(1))}, "run")
    assert answer["error"].startswith("InputError: ")
    assert "none.onnx" in answer["error"]


def test_a_peers_process_loads_nothing_of_embedx() -> None:
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "embedx" not in {name.partition(".")[0] for name in done.stdout.split()}
