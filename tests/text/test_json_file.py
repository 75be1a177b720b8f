"""JSON files against closed tables."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from embedx.text import json_file
from embedx.text.deployment import read_deployment
from tests.text.files import folder_with


def test_keys_that_are_not_known_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_file, "_reported", set())
    path = folder_with(
        tmp_path,
        tokenizer_config={"colour": 1, "padding_side": "left", "clean_up_tokenization_spaces": 0},
        sentence_bert_config={"colour": 1, "model_args": {"dtype": "float16"}},
        **{"1_Pooling__config": {"flavour": 2, "word_embedding_dimension": 4}},
    )
    with caplog.at_level(logging.WARNING, "embedx"):
        read_deployment(path)
        read_deployment(path)
    messages = [record.getMessage() for record in caplog.records]
    assert [("'colour'" in m, "'flavour'" in m) for m in messages] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert {Path(m.partition(":")[0]).name for m in messages} == {
        "tokenizer_config.json",
        "sentence_bert_config.json",
        "config.json",
    }
