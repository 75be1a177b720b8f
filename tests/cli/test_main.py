"""The command line: what it prints where, and how it exits."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx import Engine, Pipeline, load
from embedx.cli.main import main
from embedx.cli.texts import lines
from embedx.cli.versions import versions
from tests.models import model
from tests.tiny import HIDDEN, bert, deployment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployment(tmp_path_factory.mktemp("tiny"), bert(head=True), pooling={})


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def process(
    arguments: list[object], *, shell: str = "", before: str = "", **env: str
) -> tuple[int, bytes, str]:
    """The exit code, stdout and stderr of a process; ``shell`` redirects, ``before`` is code."""
    code = f"import sys; {before or 'pass'}; from embedx.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", code]
    # Streams without buffers fail at another moment.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True, timeout=120, env={**environment, **env},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


needs_sigterm = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM to catch")
TERMINATED = "import os, signal; os.fsync = lambda _: os.kill(os.getpid(), signal.SIGTERM)"


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


def test_embed_reads_stdin_and_files(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\na\n")))
    _, stdin, _ = run("embed", "-m", folder, "-")
    plain, lines = tmp_path / "texts.txt", tmp_path / "texts.jsonl"
    plain.write_text("the cat\na\n")
    lines.write_text('"the cat"\n{"text": "a"}\n')
    _, expected, _ = run("embed", "-m", folder, "the cat", "a")
    for path in (plain, lines):
        assert run("embed", "-m", folder, "-i", path)[1] == expected
    assert stdin == expected


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"the cat\na\n", ["the cat", "a"]),
        (b"the cat\r\na", ["the cat", "a"]),
        (b"the cat\ra\r", ["the cat", "a"]),
        (b"\n\r\n\ra", ["", "", "", "a"]),
        (b"\xef\xbb\xbfthe cat\na", ["the cat", "a"]),
        ("the\u2028cat\u2029a\x85b".encode(), ["the\u2028cat\u2029a\x85b"]),
        (b"the\x0bcat\x0ca\x1cb\x1dc\x1ed", ["the\x0bcat\x0ca\x1cb\x1dc\x1ed"]),
        (b"the\0cat\na", ["the\0cat", "a"]),
        ("a\n\ufeffthe cat".encode(), ["a", "\ufeffthe cat"]),
    ],
)
def test_lines_end_at_lf_cr_lf_and_cr_only(tmp_path: Path, data: bytes, texts: list[str]) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(data)
    assert [*lines(str(path))] == texts
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    assert [*lines(str(path))] == texts


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


def test_inspect_shows_what_is_there_and_what_is_missing(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    code, out, _ = run("inspect", folder)
    assert code == 0
    for fact in (
        "opsets      ai.onnx 17",
        "input       input_ids: int64[batch, sequence]",
        "MatMul",
        "layer         1",
    ):
        assert fact in out
    proto = bert()
    proto.graph.node.append(
        onnx.helper.make_node("Zap", ["last_hidden_state"], ["z"], domain="my.own")
    )
    proto.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    path = tmp_path / "unknown.onnx"
    path.write_bytes(proto.SerializeToString())
    _, out, _ = run("inspect", path)
    assert "my.own::Zap  NOT SUPPORTED" in out
    _, out, _ = run("inspect", path, "--json")
    facts = json.loads(out)
    assert [op["name"] for op in facts["operators"] if not op["supported"]] == ["Zap"]
    assert len(facts["layers"]) == 2


def test_inspect_shows_the_plan_and_how_matrices_are_stored(run: Any, tmp_path: Path) -> None:
    weight = np.zeros((200, 100), np.float32)
    weight[::10, 0] = 1
    proto = model(
        "g (float[N, 200] x) => (float[N, 100] z) { y = MatMul(x, w) h = Relu(y) z = Neg(h) }"
    )
    proto.graph.node[1].name = "rectify"
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    _, out, _ = run("inspect", path, "--plan")
    assert [line.split()[2] for line in out.splitlines()] == ["MatMul", "Relu", "Neg"]
    assert "covers rectify" in out
    assert "[w: 200x100, " in out
    _, out, _ = run("inspect", path, "--plan", "--json")
    assert json.loads(out)["plan"][0]["matrix"] == "w"
    _, out, _ = run("inspect", path)
    assert "product     w: 200x100, " in out


def test_what_truncate_has_written_can_be_embedded(run: Any, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    assert run("truncate", folder, "--layer", "0", "-o", path)[0] == 0
    code, _, err = run("embed", "-m", path, "the cat")
    assert (code, "--tokenizer" in err) == (3, True)
    first = Pipeline.create(
        model_path=folder, emb_extraction_layer=0, extraction_strategy="mean", sequence_length=16
    )
    for options in ([], ["--extraction-strategy", "mean"]):
        code, out, _ = run("embed", "-m", path, "--tokenizer", folder, "the cat", *options)
        assert code == 0
        np.testing.assert_allclose(json.loads(out), first("the cat").embeddings, rtol=1e-6)


@pytest.mark.parametrize("external", [False, True])
def test_truncate_writes_a_valid_smaller_model(
    run: Any, folder: Path, tmp_path: Path, external: bool
) -> None:
    path = tmp_path / "cut.onnx"
    extra = ["--external-data"] if external else []
    code, out, _ = run("truncate", folder, "--layer", "0", "-o", path, *extra)
    assert code == 0
    assert "ends at" in out
    onnx.checker.check_model(str(path), full_check=True)
    engine = Engine(path)
    assert engine.output_shapes == [("batch", "sequence", HIDDEN)]
    feeds = engine.generate_random_inputs(2, 5)
    pipeline = Pipeline.create(model_path=folder, emb_extraction_layer=0)
    np.testing.assert_array_equal(engine.run(feeds)[0], pipeline.text_model.engine.run(feeds)[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_truncate_writes_through_links_and_into_pipes(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    target, link, pipe = (tmp_path / name for name in ("real.onnx", "link.onnx", "pipe"))
    link.symlink_to(target)
    target.write_bytes(b"")
    target.chmod(0o600)
    assert run("truncate", folder, "--layer", "0", "-o", link)[0] == 0
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert len(Engine(link).graph.nodes) > 0
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    assert run("truncate", folder, "--layer", "0", "-o", pipe)[0] == 0
    reader.join(10)
    assert found == [target.read_bytes()]
    code, _, error = run("truncate", folder, "-o", pipe, "--external-data")
    assert (code, "no data can lie beside" in error) == (2, True)
    assert {*tmp_path.iterdir()} == {target, link, pipe}


def test_truncate_never_writes_into_its_own_weights(run: Any, folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert run("truncate", folder, "--layer", "1", "-o", first, "--external-data")[0] == 0
    (tmp_path / "b.onnx.data").symlink_to("a.onnx.data")
    code, _, error = run("truncate", first, "--layer", "0", "-o", second, "--external-data")
    assert (code, "a.onnx.data belongs to the model itself" in error) == (2, True)
    assert not second.exists()


@needs_sigterm
def test_sigterm_leaves_nothing_of_a_truncated_model(folder: Path, tmp_path: Path) -> None:
    arguments = ["truncate", folder, "--layer", "0", "-o", tmp_path / "a.onnx"]
    inside = tmp_path / "scratch"
    inside.mkdir()
    assert process(arguments, before=TERMINATED, TMPDIR=str(inside)) == (143, b"", "")
    assert [*tmp_path.rglob("*")] == [inside]


def test_ops_lists_and_shows(run: Any) -> None:
    _, out, _ = run("ops")
    assert "| Softmax | 1, 13 | `ops.softmax` |" in out
    _, out, _ = run("ops", "softmax")
    assert "Softmax-13" in out
    assert "Softmax-1 " in out
    assert "np.exp(input" in out
    _, out, _ = run("ops", "Softmax", "--json")
    assert [b["operator"] for b in json.loads(out)["behaviours"]] == ["Softmax-13", "Softmax-1"]
    _, out, _ = run("ops", "--json")
    assert {"domain": "ai.onnx", "name": "Relu", "since": [6]} in json.loads(out)["operators"]


def test_versions_name_what_it_runs_on() -> None:
    names = [line.split()[0] for line in versions().splitlines()]
    assert names[:6] == ["embedx", "python", "numpy", "scipy", "onnx", "tokenizers"]


def test_module_and_pipes(folder: Path) -> None:
    command = [sys.executable, "-m", "embedx"]
    shown = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == versions() + "\n"
    # A reader that stops early is no failure.
    pipe = subprocess.run(
        f"{sys.executable} -m embedx ops | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert pipe.stderr == ""


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")


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


@needs_sigterm
def test_sigterm_leaves_no_temporary_file(folder: Path, tmp_path: Path) -> None:
    """The signal comes when a file is written and has not got its name yet."""
    arguments = ["embed", "-m", folder, "a", "-o", tmp_path / "a.npy"]
    assert process(arguments, before=TERMINATED) == (143, b"", "")
    assert [*tmp_path.iterdir()] == []


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_embed_writes_into_a_pipe(run: Any, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
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
