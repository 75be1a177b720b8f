"""The tokenizer: our lengths, not the file's, and no panic gets out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedx.errors import ConfigError, DeploymentError, InputError
from embedx.text.tokens import Tokenizer
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


WORDPIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog für fur 中 国 中国 sat ##s Cat".split()
MPNET = "<s> <pad> </s> <unk> [UNK] <mask> the a cat dog ##s".split()


def tokens_of(folder: Path, text: str, config: dict[str, Any] | None = None) -> list[str]:
    tokenizer = Tokenizer(folder, config or {})
    return tokenizer.tokens(tokenizer.encode([text], 99)[0].ids)


# What BertTokenizer of transformers 5.24 gives for them.
@pytest.mark.parametrize(
    ("config", "text", "expected"),
    [
        ({}, "The Cats!", "the cat ##s [UNK]"),
        ({"do_lower_case": False}, "the Cats", "the Cat ##s"),
        ({"do_lower_case": False}, "für", "für"),
        ({"do_lower_case": True}, "Für", "fur"),
        ({"do_lower_case": True, "strip_accents": False}, "Für", "für"),
        ({"do_lower_case": False, "strip_accents": True}, "für", "fur"),
        ({"strip_accents": None}, "Für", "fur"),
        ({}, "中国", "中 国"),
        ({"tokenize_chinese_chars": False}, "中国", "中国"),
        ({}, "the [MASK] cat", "the [MASK] cat"),
        ({"split_special_tokens": True}, "[MASK] cat", "[UNK] [UNK] [UNK] cat"),
        ({"unk_token": "[PAD]"}, "zebra", "[PAD]"),
        ({"cls_token": "[MASK]", "tokenizer_class": "BertTokenizerFast"}, "cat", "cat"),
        ({"additional_special_tokens": ["dog"]}, "a DOG dog", "a dog dog"),
    ],
)
def test_vocab_txt_is_read_as_its_config_says(
    tmp_path: Path, config: dict[str, Any], text: str, expected: str
) -> None:
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(WORDPIECES).encode())
    first = config.get("cls_token", "[CLS]")
    assert tokens_of(tmp_path, text, config) == [first, *expected.split(), "[SEP]"]


def test_vocab_txt_has_a_token_a_line_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDPIECES, "\u2028", "\x85", "end"]), "utf-8")
    tokenizer = Tokenizer(tmp_path, {})
    assert tokenizer.encode(["end"], 9)[0].ids == [2, len(WORDPIECES) + 2, 3]


def test_the_vocabulary_of_mpnet_has_special_tokens_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(MPNET))
    tokenizer = Tokenizer(tmp_path, {"tokenizer_class": "MPNetTokenizer"})
    assert tokenizer.encode(["the cats zebra"], 9)[0].ids == [0, 6, 8, 10, 4, 2]
    assert (tokenizer.leading_specials, tokenizer.specials, tokenizer.pad_id) == (1, 2, 1)


LETTERS = [*map(chr, range(ord("!"), ord("~") + 1)), "Ġ"]
PAIRS = ("Ġ c", "a t", "Ġc at", "c at")


def byte_level(folder: Path, *special: str) -> Path:
    vocabulary = [*special, *LETTERS, *(pair.replace(" ", "") for pair in PAIRS)]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(PAIRS))
    return folder


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "<s> cat Ġcat </s>"),
        ({"tokenizer_class": "LongformerTokenizerFast"}, "<s> cat Ġcat </s>"),
        ({"add_prefix_space": True}, "<s> Ġcat Ġcat </s>"),
    ],
)
def test_vocab_json_and_merges_txt_are_read_for_roberta(
    tmp_path: Path, config: dict[str, Any], expected: str
) -> None:
    byte_level(tmp_path, "<s>", "<pad>", "</s>", "<unk>", "<mask>")
    assert tokens_of(tmp_path, "cat cat", config) == expected.split()
    assert Tokenizer(tmp_path, config).pad_id == 1


def test_vocab_json_and_merges_txt_are_read_for_gpt2(tmp_path: Path) -> None:
    byte_level(tmp_path, "<|endoftext|>")
    assert tokens_of(tmp_path, "cat<|endoftext|> cat") == ["cat", "<|endoftext|>", "Ġcat"]
    assert Tokenizer(tmp_path, {}).specials == 0
    with pytest.raises(DeploymentError, match=r"add_bos_token.*write a tokenizer\.json"):
        Tokenizer(tmp_path, {"add_bos_token": True})


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["vocab.txt"], "EsmTokenizer"),
        (["vocab.txt"], "BertJapaneseTokenizer"),
        (["vocab.txt", "bpe.codes"], "PhobertTokenizer"),
        (["vocab.json", "merges.txt"], "CLIPTokenizer"),
        (["vocab.json", "merges.txt"], "Qwen2TokenizerFast"),
        (["sentencepiece.bpe.model"], "XLMRobertaTokenizer"),
        (["vocab.json"], None),
        ([], None),
    ],
)
def test_other_vocabularies_are_refused_with_what_to_do(
    tmp_path: Path, files: list[str], name: str | None
) -> None:
    for file in files:
        (tmp_path / file).write_text("[CLS]\n[SEP]\n[UNK]")
    with pytest.raises(DeploymentError, match=rf"neither.*{name or ''}.*from_pretrained\(folder\)"):
        Tokenizer(tmp_path, {"tokenizer_class": name})


def test_vocabularies_without_their_special_tokens_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[CLS]\n[UNK]\ncat")
    with pytest.raises(DeploymentError, match=r"vocab\.txt lacks the token '\[SEP\]'"):
        Tokenizer(tmp_path, {})


ADDED = {"17": {"content": "NEW", "special": False}, "18": {"content": "[X]", "special": True}}


def test_added_tokens_are_there(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDPIECES))
    expected = [2, 5, 17, 18, 3]
    config = {"added_tokens_decoder": ADDED, "do_lower_case": False}
    assert Tokenizer(tmp_path, config).encode(["the NEW [X]"], 9)[0].ids == expected
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[X]": 18, "NEW": 17}))
    assert Tokenizer(tmp_path, {}).encode(["the NEW [X]"], 9)[0].ids == expected
    wrong = {"added_tokens_decoder": {"5": {"content": "[X]"}}}
    with pytest.raises(DeploymentError, match=r"'\[X\]' has the id 5, and 17 in the tokenizer"):
        Tokenizer(tmp_path, wrong)


def test_added_tokens_are_there_beside_tokenizer_json(tmp_path: Path) -> None:
    n = len(VOCABULARY)
    config = {"added_tokens_decoder": {str(n): {"content": "NEW", "normalized": False}}}
    tokenizer = Tokenizer(deployment(tmp_path), config)
    assert tokenizer.encode(["cat NEW"], 9)[0].ids == [CLS, CAT, n, SEP]


@pytest.mark.parametrize(
    ("config", "lowers"),
    [
        ({}, True),
        ({"do_lower_case": None}, True),
        ({"do_lower_case": False}, False),
        ({"do_lower_case": False, "tokenizer_class": "BertTokenizer"}, False),
        ({"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizerFast"}, True),
    ],
)
def test_the_config_wins_over_tokenizer_json(
    tmp_path: Path, config: dict[str, Any], lowers: bool
) -> None:
    """As in transformers 4 and 5, where the class makes the normalizer anew, or does not."""
    (tokens,) = Tokenizer(deployment(tmp_path), config).encode(["CAT"], 9)
    assert (tokens.ids == [CLS, CAT, SEP]) == lowers


def test_accents_follow_the_case_where_the_config_leaves_them_open(tmp_path: Path) -> None:
    settings = json.loads(tokenizer_json())
    settings["normalizer"]["strip_accents"] = False
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    assert tokens_of(folder, "cát") == ["[CLS]", "[UNK]", "[SEP]"]
    assert tokens_of(folder, "cát", {"strip_accents": None}) == ["[CLS]", "cat", "[SEP]"]


def test_lowering_leaves_special_tokens_alone(tmp_path: Path) -> None:
    """And places are those in the text as it was given, whose İ becomes two characters."""
    settings = json.loads(tokenizer_json())
    settings["normalizer"] = {"type": "NFC"}
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    tokenizer = Tokenizer(folder, {}, do_lower_case=True)
    assert tokenizer.encode(["[SEP] CAT"], 9)[0].ids == [CLS, SEP, CAT, SEP]
    assert [(p.start, p.stop) for p in tokenizer.pieces("İ CAT", special=False)] == [(0, 1), (2, 5)]


LONG = "the cat sat on mat"


@pytest.mark.parametrize(
    ("config", "direction", "expected"),
    [
        ({}, "Right", "the cat"),
        ({}, "Left", "on mat"),
        ({"truncation_side": "left"}, "Right", "on mat"),
        ({"truncation_side": "right"}, "Left", "the cat"),
        ({"truncation_side": None}, "Left", "on mat"),
    ],
)
def test_the_end_is_kept_where_a_file_says_so(
    tmp_path: Path, config: dict[str, Any], direction: str, expected: str
) -> None:
    settings = json.loads(tokenizer_json())
    settings["truncation"]["direction"] = direction
    folder = deployment(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    tokenizer = Tokenizer(folder, config)
    assert tokenizer.truncation_side == ("right" if expected.startswith("the") else "left")
    (cut,) = tokenizer.encode([LONG], 4)
    assert tokenizer.tokens(cut.ids) == ["[CLS]", *expected.split(), "[SEP]"]
    assert (cut.full_length, cut.truncated) == (7, True)
    assert tokenizer.tokens(tokenizer.encode(["the"], 4)[0].ids) == ["[CLS]", "the", "[SEP]"]


def with_template(folder: Path, processor: dict[str, Any] | None) -> Path:
    settings = json.loads(tokenizer_json())
    settings["post_processor"] = processor
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    return folder


ROBERTA = {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
           "trim_offsets": True, "add_prefix_space": False}  # fmt: skip


@pytest.mark.parametrize(
    ("processor", "leading", "specials"),
    [
        (None, 0, 0),
        (ROBERTA, 1, 2),
        ({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, 1, 2),
        ({"type": "Sequence", "processors": [{**ROBERTA, "trim_offsets": False}]}, 1, 2),
    ],
)
def test_the_place_of_a_text_among_special_tokens(
    tmp_path: Path, processor: dict[str, Any] | None, leading: int, specials: int
) -> None:
    tokenizer = Tokenizer(with_template(tmp_path, processor), {})
    assert (tokenizer.leading_specials, tokenizer.specials) == (leading, specials)


def test_a_template_may_put_several_tokens_on_a_side(tmp_path: Path) -> None:
    def special(token: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": 0}}

    single = [special("[CLS]"), special("[MASK]"), {"Sequence": {"id": "A", "type_id": 0}}]
    ids = {"[CLS]": 2, "[MASK]": 4}
    template = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [],
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in ids.items()},
    }
    tokenizer = Tokenizer(with_template(tmp_path, template), {})
    assert (tokenizer.leading_specials, tokenizer.specials) == (2, 2)
    assert tokenizer.encode(["the cat"], 3)[0].ids == [2, 4, VOCABULARY.index("the")]


def test_a_tokenizer_without_an_unknown_token_loads(tmp_path: Path) -> None:
    model = {"type": "WordLevel", "vocab": {"A": 0, "C": 1, "G": 2, "T": 3}, "unk_token": "none"}
    split = {
        "type": "Split",
        "pattern": {"String": ""},
        "behavior": "Isolated",
        "invert": False,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model, "pre_tokenizer": split}))
    tokenizer = Tokenizer(tmp_path, {"pad_token": "[PAD]"})
    assert tokenizer.encode(["ACGT", ""], 9)[0].ids == [0, 1, 2, 3]
    assert (tokenizer.leading_specials, tokenizer.specials, tokenizer.pad_id) == (0, 0, 0)
    with pytest.raises(InputError, match="the tokenizer fails"):
        tokenizer.encode(["AX"], 9)


def test_special_tokens_may_be_left_out(tmp_path: Path) -> None:
    tokenizer = Tokenizer(deployment(tmp_path), {}, adds_special_tokens=False)
    assert (tokenizer.leading_specials, tokenizer.specials) == (0, 0)
    assert tokenizer.encode(["cat cat cat"], 2)[0].ids == [CAT, CAT]
    assert [piece.id for piece in tokenizer.pieces("cat")] == [CAT]


def test_a_tokenizer_json_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text(tokenizer_json())
    assert Tokenizer(tmp_path / "my.json", {}).encode(["cat"], 9)[0].ids == [CLS, CAT, SEP]


def test_white_space_is_part_of_a_text(tmp_path: Path) -> None:
    byte_level(tmp_path, "<|endoftext|>")
    assert tokens_of(tmp_path, " cat ") == ["Ġcat", "Ġ"]
