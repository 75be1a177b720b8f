"""A document of measurements as a table for a Markdown file, and the one that README has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from embedx import ConfigError
from embedx.bench import as_markdown, put_into
from embedx.cli.main import _parser

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
TIME = r"\d+(\.\d+)? (s|ms|µs)"
OURS = re.compile(rf"{TIME} \({TIME}\)")
THEIRS = re.compile(r"\d+\.\d\d \(\d+\.\d\d\)|-")
WORK = re.compile(
    r"\d+x\d+ tokens(, beside a busy process)?|[\d,]+ texts(, (sorted|naive))?|cold start"
)
HEAD = re.compile(
    r"Measured on \d{4}-\d\d-\d\d, .+, \d+ cores; embedx \S+(, [a-z-]+ [^ ,]+)*\. "
    r"Columns of embedx: time on the clock \(CPU time\)\. "
    r"Others: embedx's speed as a multiple of theirs, on the clock \(by CPU time\)\.\n\n"
)


def columns(block: str) -> list[str]:
    """The names of the columns of a block all of whose cells are of the right form."""
    head = HEAD.match(block)
    assert head
    header, rule, *rows = [line[2:-2].split(" | ") for line in block[head.end() :].splitlines()]
    assert header[:2] == ["work", "threads"]
    assert rule == ["---"] * len(header)
    assert rows
    for work, threads, *cells in rows:
        assert WORK.fullmatch(work)
        assert threads.isdecimal()
        for name, cell in zip(header[2:], cells, strict=True):
            assert (OURS if name.endswith("embedx") else THEIRS).fullmatch(cell)
    return header[2:]


def test_readme_has_the_table_that_its_command_writes() -> None:
    (lines,) = re.findall(r"^```sh\n(cat .*?)^```", README, re.MULTILINE | re.DOTALL)
    words = shlex.split(lines.replace("\\\n", ""))
    options = _parser().parse_args(words[words.index("embedx") + 1 :])
    assert str(options.markdown) == "README.md"
    (block,) = re.findall(
        r"^<!-- embedx bench -->\n(.*)^<!-- /embedx bench -->$", README, re.MULTILINE | re.DOTALL
    )
    sides = ["embedx", *options.vs.split(",")]
    assert columns(block) == [f"{model}: {side}" for model in options.models for side in sides]


def test_models_and_sides_stand_side_by_side(of_two: dict[str, Any]) -> None:
    text = as_markdown(of_two)
    sides = ("embedx", "onnxruntime")
    assert columns(text) == [f"{model}: {side}" for model in of_two["models"] for side in sides]
    works = [line.split(" | ")[:2] for line in text.splitlines() if "tokens" in line]
    assert works == [["| 2x4 tokens", "1"], ["| 2x4 tokens", "2"]]
    assert text.count("| 3 texts, sorted | 1 |") == text.count("| 3 texts, naive | 2 |") == 1


def test_one_model_is_not_named(document: dict[str, Any]) -> None:
    assert columns(as_markdown(document)) == ["embedx", "onnxruntime", "onnx.reference"]


def test_cells_are_those_of_their_columns(of_two: dict[str, Any]) -> None:
    *_, last = as_markdown(of_two).splitlines()
    cells = last[2:-2].split(" | ")[2:]
    sides = of_two["measurements"][-1]["sides"]
    for cell, side in zip(cells, sides, strict=True):
        if side["side"] != "embedx":
            assert cell == f"{side['embedx_speed']:.2f} ({side['embedx_cpu_speed']:.2f})"


def test_what_sorts_by_itself_stands_beside_what_was_sorted() -> None:
    row = {"model": "m", "wall_seconds": 2.0, "cpu_seconds": 3.0, "embedx_cpu_speed": 1.0}
    sides = [
        {**row, "side": side, "batches": batches, "embedx_speed": speed}
        for side, batches, speed in (
            ("embedx", None, None),
            ("onnxruntime", "sorted", 0.5),
            ("onnxruntime", "naive", 1.5),
            ("sentence-transformers", None, 2.0),
        )
    ]
    document = {
        "models": {"m": "m"},
        "machine": {"date": "2000-01-01", "cpu": "a processor", "cores": 1, "versions": {}},
        "measurements": [{"kind": "texts", "texts": 1000, "threads": 1, "sides": sides}],
    }
    by_length, in_order = as_markdown(document).splitlines()[-2:]
    assert by_length == "| 1,000 texts, sorted | 1 | 2 s (3 s) | 0.50 (1.00) | 2.00 (1.00) |"
    assert in_order == "| 1,000 texts, naive | 1 | 2 s (3 s) | 1.50 (1.00) | - |"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_table_replaces_what_stands_between_two_lines(end: str) -> None:
    lines = ["# A", "<!-- embedx bench -->", "old", "<!-- /embedx bench -->", "after", ""]
    text = put_into(end.join(lines), "new\n")
    assert text == end.join(lines).replace(f"old{end}", "new\n")
    assert put_into(text, "new\n") == text
    empty = end.join(lines[:2] + lines[3:])
    assert put_into(empty, "new\n") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- embedx bench -->\n",
        "<!-- /embedx bench -->\n<!-- embedx bench -->\n",
        "see `<!-- embedx bench -->`\n<!-- /embedx bench -->\n",
    ],
)
def test_a_text_without_the_two_lines_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the line <!-- embedx bench -->"):
        put_into(text, "new\n")
