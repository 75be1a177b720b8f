"""Tokens one by one, and which of them are cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny import bert, deployment


def test_tokenize_shows_the_cut(client_of: Callable[..., Any]) -> None:
    client = client_of([{"kwargs": {"sequence_length": 4}}])
    ((*pieces,),) = client.post("/tokenize", json={"inputs": "The cat sat"}).json()
    assert [p["text"] for p in pieces] == ["[CLS]", "the", "cat", "sat", "[SEP]"]
    assert [p["kept"] for p in pieces] == [True, True, True, False, True]
    assert (pieces[2]["start"], pieces[2]["stop"]) == (4, 7)
    assert (pieces[0]["start"], pieces[0]["special"]) == (None, True)
    body = {"inputs": "the cat", "add_special_tokens": False}
    assert [p["text"] for p in client.post("/tokenize", json=body).json()[0]] == ["the", "cat"]


def test_tokenize_shows_a_cut_on_the_left(client_of: Callable[..., Any], tmp_path: Path) -> None:
    folder = deployment(tmp_path, bert())
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "truncation_side": "left"}))
    client = client_of([{"model": str(folder), "kwargs": {"sequence_length": 4}}])
    ((*pieces,),) = client.post("/tokenize", json={"inputs": "the cat sat"}).json()
    assert [p["kept"] for p in pieces] == [True, False, True, True, True]
