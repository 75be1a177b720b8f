"""``embedx quant``: its exit codes, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.quantized import TEXTS, dynamic, folder, scaled
from tests.tiny import bert


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("quant")
    folder(found / "float")
    dynamic(found / "float", found / "int8.onnx")
    folder(found / "large", scaled(bert(), "layer.1.output.dense.weight", 6e4))
    (found / "texts.txt").write_text("\n".join([*TEXTS, ""]))
    return found


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["float", "int8.onnx"], 0),
        (["float", "int8.onnx", "--keep", "0.5"], 0),
        (["float", "int8.onnx", "--keep", "1"], 1),
        (["float", "int8.onnx", "--keep", "0.2", "--of", "top-3"], 0),
        (["float", "--fp16"], 0),
        (["float", "--fp16", "--invariance"], 0),
        (["large", "--fp16"], 1),
        (["float", "int8.onnx", "--invariance"], 1),
    ],
)
def test_the_exit_code_tells_whether_all_is_well(
    place: Path, run: Any, arguments: list[str], code: int
) -> None:
    paths = [str(place / a) if (place / a).exists() else a for a in arguments]
    options = [*paths, "--texts", place / "texts.txt", "--regain-texts", "1"]
    assert run("quant", *options)[0] == code
    given, out, _ = run("quant", *options, "--json")
    assert given == code
    assert json.loads(out)["exit"] == code


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["float"], 2, "--fp16 or --invariance"),
        (["float", "--fp16", "--keep", "0.9"], 2, "--keep needs a quantized model"),
        (["int8.onnx", "int8.onnx"], 3, "tokenizer"),
        (["float", "none.onnx"], 4, "none.onnx"),
    ],
)
def test_what_is_wrong_is_said(
    place: Path, run: Any, arguments: list[str], code: int, said: str
) -> None:
    paths = [place / a if "-" not in a and not a[0].isdigit() else a for a in arguments]
    given, _, complaint = run("quant", *paths, "--texts", place / "texts.txt")
    assert said in complaint
    assert given == code


@pytest.mark.parametrize("option", [["--keep", "2"], ["--keep", "much"], ["--of", "bottom-1"]])
def test_options_are_checked_first(place: Path, run: Any, option: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("quant", place / "float", "none", "--texts", "none", *option)
    assert ended.value.code == 2


def test_texts_are_needed(run: Any, place: Path) -> None:
    with pytest.raises(SystemExit):
        run("quant", place / "float", "--fp16")
