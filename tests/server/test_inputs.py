"""Texts and token ids in requests: what is taken, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from embedx.server.inputs import TextsOrIds, checked_items, checked_text


def test_half_a_million_wrong_items_make_one_error(client: Any) -> None:
    answer = client.post("/v1/embeddings", json={"input": [1.5] * 400_000})
    assert answer.status_code == 422
    assert len(answer.content) < 500


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**33) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
TEXTS_OR_IDS: TypeAdapter[Any] = TypeAdapter(TextsOrIds)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_ids(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(
        type(i) is int and 0 <= i < 2**31 for i in value
    )  # fmt: skip


@given(JSON)
def test_texts_and_ids_are_taken_and_nothing_else(value: Any) -> None:
    lists = isinstance(value, list) and value != []
    good = (
        is_text(value)
        or is_ids(value)
        or (lists and (all(map(is_text, value)) or all(map(is_ids, value))))
    )
    try:
        found = TEXTS_OR_IDS.validate_python(value)
    except ValidationError as error:
        assert not good
        (what,) = error.errors()
        assert what["msg"].startswith("Value error, ")
    else:
        assert good
        single = is_text(value) or is_ids(value)
        assert found == ([value] if single else value)


@given(st.text(st.characters(), min_size=1))
def test_only_what_utf8_encodes_is_a_text(text: str) -> None:
    surrogates = [i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff"]
    if surrogates:
        with pytest.raises(ValueError, match=f"lone surrogate at character {surrogates[0]}$"):
            checked_text(text, "item 0")
    else:
        assert checked_text(text) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"), (True, "a boolean"), (1.5, "a number"), ({}, "an object"), ([], "a list"),
        ("a", "a text"),
    ],
)  # fmt: skip
def test_what_it_is_instead_is_said(value: Any, kind: str) -> None:
    wanted, check = ("a list", checked_items) if value == "a" else ("a text", checked_text)
    with pytest.raises(ValueError, match=f"^item 3 is {kind}, expected {wanted}$"):
        check(value, "item 3")
