"""Texts from files and from stdin."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from embedx.cli.texts import lines


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
