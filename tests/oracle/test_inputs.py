"""What both sides are fed, and what of it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedx import Engine, load
from embedx.errors import InputError
from embedx.oracle.inputs import described, made_up_feeds, mask_of, text_feeds, tokens_of
from tests.models import model
from tests.tiny import bert, deployment

MASK = np.array([[1, 1, 1], [1, 0, 0]])


def test_made_up_texts_have_padding() -> None:
    (feeds,) = made_up_feeds(Engine(bert()))
    mask = mask_of(feeds)
    assert mask is not None
    assert mask[0].all()
    assert mask[1].tolist() == [1] * 12 + [0] * 4
    (plain,) = made_up_feeds(Engine(model("g (float[2] x) => (float[2] y) { y = Neg(x) }")))
    assert mask_of(plain) is None


def test_texts_are_fed_as_the_tokenizer_has_them(tmp_path: Path) -> None:
    folder = deployment(tmp_path, bert())
    texts = ["the cat sat", "a dog", *["the"] * 7]
    first, second = text_feeds(folder, texts)
    assert first["input_ids"].shape[0] == 8
    assert second["input_ids"].shape[0] == 1
    tokens = load(folder).tokenize(texts)
    assert first["input_ids"][1][: len(tokens[1].ids)].tolist() == tokens[1].ids
    assert first["attention_mask"].sum(axis=1).tolist() == [len(t.ids) for t in tokens[:8]]
    with pytest.raises(InputError, match="no texts"):
        text_feeds(folder, [])


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((2, 3, 5), (2, 3, 1)),
        ((2, 4, 3, 6), (2, 1, 3, 1)),
        ((2, 3, 4, 6), (2, 3, 1, 1)),
        ((2, 4, 6, 3), (2, 1, 1, 3)),
        ((6, 5), (6, 1)),
        ((8, 3, 5), (8, 3, 1)),
        ((2, 3), (2, 3)),
        ((2, 7), None),
        ((5, 3, 4), None),
        ((), None),
    ],
)
def test_padding_is_found_on_the_axis_of_tokens(
    shape: tuple[int, ...], kept: tuple[int, ...] | None
) -> None:
    found = tokens_of(MASK, shape)
    assert (found if found is None else found.shape) == kept
    if found is not None:
        share = np.broadcast_to(found, shape).mean()
        assert share == 4 / 6
    assert tokens_of(np.ones((2, 3)), shape) is None


def test_only_a_mask_of_ones_and_zeros_is_one() -> None:
    assert mask_of({"attention_mask": MASK}) is MASK
    assert mask_of({"attention_mask": MASK * -1e4}) is None
    assert mask_of({"ids": MASK}) is None


def test_feeds_are_described() -> None:
    assert described({"ids": MASK, "list": []}) == {"ids": "int64[2, 3]", "list": "list"}
