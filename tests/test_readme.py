"""README says what is true: its commands run and its code prints what it says."""

from __future__ import annotations

import contextlib
import io
import json
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embedx.cli.main import main
from tests.environment import environment
from tests.tiny import deployment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [
    *ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md"),
    *ROOT.glob(".github/*.md"),
]  # fmt: skip


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("embedx")]


def files_for(place: Path) -> Path:
    """A folder with the files that README's examples name."""
    deployment(place / "my-model")
    shutil.copy(place / "my-model" / "model.onnx", place / "int8.onnx")
    (place / "texts.txt").write_text("one text\nanother text\n")
    return place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return files_for(tmp_path)


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run one after the other: some read what others have written."""
    return files_for(tmp_path_factory.mktemp("readme"))


@pytest.mark.parametrize("line", [c for c in commands() if "serve" not in c])
def test_commands_run(line: str, one_place: Path) -> None:
    words = shlex.split(line)
    done = subprocess.run(
        [sys.executable, "-m", "embedx", *words[1:]],
        capture_output=True, text=True, cwd=one_place, env=environment(), timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout or "-o" in words


def test_the_server_runs_as_told_and_takes_the_configuration(place: Path) -> None:
    pytest.importorskip("uvicorn", reason="the server needs its extra")
    from embedx.server.config import read_server_config
    from tests.server.process import serving

    (line,) = (c for c in commands() if c.startswith("embedx serve"))
    assert line == "embedx serve --port 5543"
    with serving(place) as server:
        status, body = server.post("/v1/embeddings", {"input": "a text"})
    assert status == 200
    assert len(json.loads(body)["data"][0]["embedding"]) == 256
    (code,) = blocks("yaml", (ROOT / "embedx/server/README.md").read_text("utf-8"))
    (place / "config.yaml").write_text(code)
    (endpoint,) = read_server_config(place / "config.yaml").endpoints
    assert endpoint.extraction_strategy == "reduce_mean"


@pytest.mark.parametrize("code", blocks("python"))
def test_code_prints_what_the_comments_say(code: str, place: Path) -> None:
    main(["truncate", "-o", "encoder.onnx"])
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    said = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert out.getvalue().splitlines() == said


def test_the_planted_mistake_is_found_as_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = next(c for c in blocks("python") if "changed.onnx" in c)
    (told,) = blocks("text")
    (command,) = re.findall(r"`embedx (compare encoder.onnx [^`]*)`", README)
    main(["truncate", "-o", "encoder.onnx"])
    exec(compile(code, "README.md", "exec"), {})
    capsys.readouterr()
    assert main(command.split()) == 1
    said = capsys.readouterr().out
    figure = r"\d\.\d+e[+-]\d+"  # random numbers are other ones in other versions of NumPy
    assert re.sub(figure, "", said).startswith(re.sub(figure, "", told))


def test_the_first_two_commands_set_up_and_test() -> None:
    first, second = re.findall(r"^pip install.*$", README, re.MULTILINE)[:2]
    assert first.startswith("pip install . && embedx similar ")
    assert second == 'pip install ".[test]" && python -m pytest'


def test_the_first_command_ranks_as_a_reader_would() -> None:
    (line,) = re.findall(r"^pip install \. && embedx (.*)$", README, re.MULTILINE)
    command, query, near, far = shlex.split(line)
    done = subprocess.run(
        [sys.executable, "-m", "embedx", command, query, far, near],
        capture_output=True, text=True, env=environment(), timeout=300,
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first.endswith(near)
    assert second.endswith(far)
    assert float(first.split()[0]) > 2 * float(second.split()[0])


@pytest.mark.parametrize("file", [p.relative_to(ROOT).as_posix() for p in DOCUMENTS])
def test_links_lead_to_files(file: str) -> None:
    path = ROOT / file
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


WINGS = "model rewrite kernels run text observe oracle peers bench server cli ops".split()


def named_in(document: str) -> list[str]:
    """What a document calls by a dotted name that begins with a wing."""
    text = (ROOT / document).read_text("utf-8")
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)[`(]", text)
    return sorted({n for n in names if n.partition(".")[0] in WINGS and not n.endswith(".py")})


@pytest.mark.parametrize("name", named_in("embedx/README.md"))
def test_what_the_house_names_exists(name: str) -> None:
    pkgutil.resolve_name(f"embedx.{name}")


def test_readme_is_short() -> None:
    assert README.count("\n") < 200
