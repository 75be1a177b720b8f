"""Tokens against Python's own splitting, and against every match that ``re`` knows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, Budget, OverBudgetError, spending
from embedx.ops.microsoft import tokenizer
from tests.assertions import assert_equal

texts = st.text("ab,é ", max_size=8)
tables = st.lists(texts, max_size=4)
PLAIN: dict[str, Any] = {"mark": 0, "mincharnum": 1, "pad_value": "#"}


def strings(values: list[str]) -> Array:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def filled(rows: list[list[str]], mark: bool, pad: str) -> Array:
    if mark and any(rows):
        rows = [["\x02", *row, "\x03"] for row in rows]
    width = max(map(len, rows), default=0)
    cells = [word for row in rows for word in row + [pad] * (width - len(row))]
    return strings(cells).reshape(len(rows), width)


@given(tables, st.sampled_from([[" "], [" ", ","], [","]]), st.integers(1, 3), st.booleans())
def test_words_between_separators(
    table: list[str], separators: list[str], least: int, mark: bool
) -> None:
    rows = []
    for text in table:
        for separator in separators:
            text = text.replace(separator, "\n")
        rows.append([word for word in text.split("\n") if len(word) >= least])
    for patterns in (tuple(separators), (f"[{''.join(separators)}]+",)):
        found = tokenizer(
            strings(table), mark=int(mark), mincharnum=least, pad_value="", separators=patterns
        )
        assert_equal(found, filled(rows, mark, ""))


@given(tables, st.sampled_from(["[a-z]+", "[ab]b", "é|,", r"\w\w+", "."]), st.integers(1, 2))
def test_tokens_that_an_expression_matches(table: list[str], pattern: str, least: int) -> None:
    rows = [[w for w in re.findall(pattern, t, re.ASCII) if len(w) >= least] for t in table]
    attributes = {**PLAIN, "mincharnum": least, "tokenexp": pattern}
    assert_equal(tokenizer(strings(table), **attributes), filled(rows, False, "#"))


def longest(pattern: str, text: str) -> list[str]:
    """All matches, by trying each beginning and for each of them the farthest end first."""
    found, begin = [], 0
    while begin <= len(text):
        ends = [j for j in range(begin, len(text) + 1) if re.fullmatch(pattern, text[begin:j])]
        found += [text[begin : ends[-1]]] if ends else []
        begin = max(begin + 1, ends[-1] if ends else 0)
    return [token for token in found if token]


@given(
    st.sampled_from(["a|ab|abb", "(a|ab)(c|bcd)*", "a*", "b?", "(ab|a)+?", "a|a*b", "x", "(ba)*"]),
    st.text("abcé", max_size=10),
)
def test_tokens_are_the_longest_of_the_leftmost_matches(pattern: str, text: str) -> None:
    found = tokenizer(strings([text]), **PLAIN, tokenexp=pattern)
    assert found.tolist() == [longest(pattern, text)]


@pytest.mark.parametrize(
    ("pattern", "text", "tokens"),
    [
        ("^a", "aa", ["a"]),
        ("a$", "a ba", ["a"]),
        (r"\ba|b", "aab b", ["a", "b", "b"]),
        (r"\Bab", "abab", ["ab"]),
        ("(?m)^a$", "ab\na\n", ["a"]),
        (r"é\b.|b", "ébéé", ["éb"]),
    ],
)
def test_edges_are_those_of_the_whole_text(pattern: str, text: str, tokens: list[str]) -> None:
    assert tokenizer(strings([text]), **PLAIN, tokenexp=pattern).tolist() == [tokens]


@given(tables)
def test_an_empty_separator_makes_characters(table: list[str]) -> None:
    found = tokenizer(strings(table), **PLAIN, separators=("",))
    assert_equal(found, filled([*map(list, table)], False, "#"))


def test_separators_go_before_an_expression() -> None:
    found = tokenizer(strings(["ab c,"]), **PLAIN, separators=(" ",), tokenexp="[a-z]")
    assert found.tolist() == [["ab", "c,"]]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "neither separators nor an expression"),
        ({"tokenexp": ""}, "neither separators nor an expression"),
        ({"separators": (" ",), "mincharnum": 0}, "no token has less than 0"),
        ({"separators": ("",), "mincharnum": 2}, "no token has less than 2"),
        ({"separators": ("x?",)}, r"the separator 'x\?' matches the empty string"),
        ({"separators": (" ", "")}, "the separator '' matches the empty string"),
        ({"separators": (r"\b",)}, "matches the empty string"),
        ({"separators": ("[ ",)}, r"."),
        ({"tokenexp": "("}, r"missing \): \( in the pattern"),
    ],
)
def test_refusals(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer(strings(["a b"]), **(PLAIN | attributes))


def test_lists_and_tables_of_strings_are_expected() -> None:
    for x in (np.array([1]), np.array("a", object), np.full((1, 1, 1), "a", object)):
        with pytest.raises(TypeError, match="expected a list or table of strings"):
            tokenizer(x, **PLAIN, separators=(" ",))


@pytest.mark.parametrize("attributes", [{"tokenexp": "(a|a)*b"}, {"separators": ("(a|a)*b",)}])
def test_no_text_takes_forever(attributes: dict[str, Any]) -> None:
    x = strings(["a" * 100_000])
    with spending(Budget(deadline=0.0)), pytest.raises(OverBudgetError, match="time limit"):
        tokenizer(x, **PLAIN, **attributes)
    with spending(Budget(max_bytes=10**5)), pytest.raises(OverBudgetError, match="takes"):
        tokenizer(x, **PLAIN, separators=("",))
