"""The bench command: what it reports. How long anything takes is not tested."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx import ConfigError, Engine
from embedx.bench import as_html, as_json, as_text, bench, measurements, parsed_shapes, turns
from embedx.bench.turns import interleaved, one_core_busy, summary
from embedx.cli.main import main
from embedx.difference import differences
from embedx.html import Bar, plot
from embedx.observe.profile import profiled, sgemm_peak
from embedx.peers.process import Side
from tests.tiny import bert, deployment

PEERS = ("onnxruntime", "onnx.reference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = deployment(tmp_path_factory.mktemp("tiny"))
    blob = (folder / "model.onnx").rename(folder.parent / "blob")  # as Hugging Face's cache has it
    (folder / "model.onnx").symlink_to(blob)
    return folder


@pytest.fixture(scope="module")
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


def test_every_kind_is_measured(document: dict[str, Any]) -> None:
    kinds = [m["kind"] for m in document["measurements"]]
    shape = ["run", "run beside a busy process", "operators"]
    assert kinds == [*shape, *shape, "texts", "cold start"]
    assert document["measurements"][3]["inputs"]["input_ids"] == [2, 8]
    assert document["machine"]["versions"]["embedx"]


def test_sides_are_compared(document: dict[str, Any]) -> None:
    for measurement in document["measurements"]:
        if measurement["kind"] == "operators":
            continue
        ours, *peers = measurement["sides"]
        assert [ours["side"], *(p["side"] for p in peers)] == ["embedx", *PEERS]
        assert "embedx_speed" not in ours
        for peer in peers:
            ratio = peer["median_seconds"] / ours["median_seconds"]
            assert math.isclose(peer["embedx_speed"], ratio)
        if measurement["kind"] in ("run", "texts"):
            assert all(p["max_abs_difference"] < 1e-5 for p in peers)
            assert all(s["load_seconds"] > 0 and s["texts_per_second"] > 0 for s in (ours, *peers))
            assert ours["peak_bytes"] is None or ours["peak_bytes"] > 2**20
        if measurement["kind"].endswith("busy process"):
            assert all(s["slowdown"] > 0 for s in (ours, *peers))


def test_json_has_a_line_for_each_measurement(document: dict[str, Any]) -> None:
    text = as_json(document)
    assert json.loads(text) == {"schema_version": 1, **document}
    lines = [line.rstrip(",") for line in text.splitlines() if line.startswith('{"kind"')]
    assert [json.loads(line) for line in lines] == document["measurements"]


def test_text_names_sides_and_operators(document: dict[str, Any]) -> None:
    text = as_text(document)
    for word in ("embedx", *PEERS, "x as fast", "MatMul", "GFLOP/s", "2x8 tokens, 1 thread"):
        assert word in text


def test_html_is_well_formed_and_needs_nothing_else(document: dict[str, Any]) -> None:
    page = as_html(document)
    root = ElementTree.fromstring(page)
    assert root.tag == "html"
    assert len(root.findall(".//{http://www.w3.org/2000/svg}svg")) > len(document["measurements"])
    assert "<script" not in page
    assert "src=" not in page


def test_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, texts = tmp_path / "page.html", tmp_path / "texts.txt"
    texts.write_text("the cat\n\na dog\n")
    shared = ["bench", str(folder), "--iterations", "1"]
    assert main([*shared, "--shapes", "1x4", "--html", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema_version"], found["measurements"][0]["batch"]) == (1, 1)
    ElementTree.fromstring(page.read_text())
    assert main([*shared, "--texts", str(texts)]) == 0
    assert "2 texts, tokenized and embedded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vs", "tensorflow"], "no runtime 'tensorflow'"),
        (["--shapes", "8y128"], "shapes are BATCHxTOKENS"),
        (["--shapes", "0x4"], "shapes are BATCHxTOKENS"),
        (["--shapes", ""], "shapes are BATCHxTOKENS"),
        (["--threads", "0"], "threads must be at least 1"),
        (["--iterations", "0"], "iterations must be at least 1"),
        (["--cold", "--load"], "--load repeats --shapes"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["bench", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_peer(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "find_spec", lambda name: None)
    assert main(["bench", str(folder), "--vs", "onnxruntime"]) == 2
    assert "pip install onnxruntime" in capsys.readouterr().err


def test_texts_are_needed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    assert main(["bench", str(folder), "--texts", str(tmp_path / "empty.txt")]) == 4


def test_peers_read_tokenizer_json(tmp_path: Path) -> None:
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    assert main(["bench", str(folder), "--cold", "--vs", "onnx.reference"]) == 3


def test_what_a_model_cannot_run_is_told_in_its_own_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(folder), "--shapes", "1x999"]) == 5
    assert "Add" in capsys.readouterr().err


def test_what_is_measured_is_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = bert()
    for value in proto.graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = 16
    folder = deployment(tmp_path, proto)
    assert main(["bench", str(folder), "--shapes", "2x8", "--iterations", "1"]) == 2
    assert "the model takes 2x16 tokens only, not 2x8" in capsys.readouterr().err


def test_a_side_that_cannot_open_the_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "feeds.npz", x=np.ones(1))
    job = {
        "model": str(tmp_path),
        "threads": 1,
        "feeds": str(tmp_path / "feeds.npz"),
        "names": ["x"],
    }
    with pytest.raises(ConfigError, match=r"^onnx.reference cannot run this: IsADirectoryError"):
        Side("onnx.reference", job)


def test_a_side_that_ends(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "feeds.npz", x=np.ones(1))
    job = {
        "model": str(folder / "model.onnx"),
        "threads": 1,
        "feeds": str(tmp_path / "feeds.npz"),
        "names": ["x"],
    }
    with Side("onnx.reference", job) as side:
        side._process.kill()
        side._process.wait()
        with pytest.raises(ConfigError, match="its process ended with code -9"):
            side.run()


def test_shapes() -> None:
    assert parsed_shapes("1x16, 8x128") == [(1, 16), (8, 128)]


def test_measurements_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_REST", 0)
    order: list[str] = []

    def run(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    lasting = {"a": 1.0, "b": 2.0, "c": 30.0}
    times = interleaved({name: partial(run, name, s) for name, s in lasting.items()})
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 5, "b": 3, "c": 1}
    assert "".join(order) == "abc" + "aabaabab"
    assert interleaved({"c": partial(run, "c", 30.0)}, 2) == {"c": [30.0, 30.0]}


def test_summary_is_of_medians() -> None:
    ours, theirs = summary({"embedx": [1.0, 9.0, 2.0], "onnxruntime": [1.0]})
    assert (ours["median_seconds"], ours["quartile_seconds"]) == (2.0, [1.5, 5.5])
    assert (theirs["embedx_speed"], theirs["runs"]) == (0.5, 1)


def test_differences_where_results_compare() -> None:
    a, b = np.array([1.0, 2.0]), np.array([1.0, 2.5], np.float32)
    found = differences([a, a], [a, b])
    assert found == {"max_abs_difference": 0.5, "mean_abs_difference": 0.125}
    for other in (np.array([np.nan, 0.0]), np.ones(3), np.array(["a", "b"])):
        assert set(differences([a], [other]).values()) == {None}


def test_profile_counts_steps_and_leaves_no_trace() -> None:
    engine, original = Engine(bert()), np.matmul
    plan = engine.plan
    found = profiled(engine, engine.generate_random_inputs(2, 8), 1, 2)
    assert engine.plan is plan
    assert np.matmul is original
    *operators, between = found["operators"]
    assert sum(o["count"] for o in operators) == between["count"] == len(plan.steps)
    assert found["products"]["gflops"] > 0
    assert found["products"]["share"] > 0


def test_peak_of_two_threads() -> None:
    assert sgemm_peak(2, size=64) > 0


def test_one_core_is_busy_only_inside() -> None:
    with one_core_busy() as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_plots_escape_names_and_survive_zeros() -> None:
    root = ElementTree.fromstring(plot([Bar("<a>", 0.0, "&", middle=(0.0, 0.0))], even=None))
    assert [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")] == ["<a>", "&"]
