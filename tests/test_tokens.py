"""The tokenizer: our lengths, not the file's, and no panic gets out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedx.errors import ConfigError, DeploymentError, InputError
from embedx.tokens import Tokenizer
from tests.tiny import VOCABULARY, deployment, tokenizer_json

CLS, SEP, CAT = 2, 3, VOCABULARY.index("cat")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return Tokenizer(deployment(tmp_path), {"pad_token": "[PAD]"})


def test_the_files_own_truncation_and_padding_are_put_aside(tokenizer: Tokenizer) -> None:
    short, long = tokenizer.encode(["cat", "cat " * 20], 64)
    assert short.ids == [CLS, CAT, SEP]
    assert len(long.ids) == 22
    assert not long.truncated


def test_long_texts_keep_their_special_tokens_and_say_so(tokenizer: Tokenizer) -> None:
    (cut,) = tokenizer.encode(["cat dog " * 20], 5)
    assert cut.ids[0] == CLS
    assert cut.ids[-1] == SEP
    assert len(cut.ids) == len(cut.type_ids) == 5
    assert cut.truncated
    assert cut.full_length == 42


def test_special_tokens_in_front_are_counted(tokenizer: Tokenizer) -> None:
    assert (tokenizer.leading_specials, tokenizer.specials, tokenizer.pad_id) == (1, 2, 0)


def test_lowering_applies_before_tokenizing(tmp_path: Path) -> None:
    settings = json.loads(tokenizer_json())
    settings["normalizer"] = None
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    assert Tokenizer(folder, {}).encode(["CAT"], 9)[0].ids == [CLS, 1, SEP]
    assert Tokenizer(folder, {}, do_lower_case=True).encode(["CAT"], 9)[0].ids == [CLS, CAT, SEP]


def test_vocab_txt_is_enough(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    assert Tokenizer(tmp_path, {}).encode(["The cat!"], 9)[0].ids[:3] == [CLS, 5, CAT]


@pytest.mark.parametrize("length", [0, 1])
def test_lengths_must_hold_the_special_tokens(tokenizer: Tokenizer, length: int) -> None:
    with pytest.raises(ConfigError, match="do not hold the 2 special"):
        tokenizer.encode(["cat"], length)


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["a", 3], "text 1 is int"), ([None], "text 0 is NoneType"), (["a\ud800"], "lone surrogate")],
)
def test_what_is_no_text_is_named(tokenizer: Tokenizer, texts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer.encode(texts, 9)


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "é" * 50, "\u202e right to left", "👩‍👩‍👧", "a" * 10_000]
)
def test_odd_texts_have_tokens(tokenizer: Tokenizer, text: str) -> None:
    (tokens,) = tokenizer.encode([text], 16)
    assert 2 <= len(tokens.ids) <= 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"neither tokenizer\.json nor vocab\.txt"),
        ("", "the tokenizer fails"),
        ("{}", "the tokenizer fails"),
        ("version https://git-lfs", "the tokenizer fails"),
    ],
)
def test_broken_tokenizers_are_deployment_errors(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DeploymentError, match=message):
        Tokenizer(tmp_path, {})


def test_a_panic_of_the_native_code_is_an_error_like_others(tmp_path: Path) -> None:
    settings = json.loads(tokenizer_json())
    # A template that asks for a special token which it does not define makes the library panic.
    settings["post_processor"]["single"].insert(0, {"SpecialToken": {"id": "[X]", "type_id": 0}})
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(DeploymentError, match="the tokenizer fails"):
        Tokenizer(folder, {})
