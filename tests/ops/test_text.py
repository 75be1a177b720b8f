"""Strings against Python's own methods, regular expressions against ``re``, n-grams by counting."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from embedx import Engine, NodeError
from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    regex_full_match,
    spending,
    string_concat,
    string_normalizer,
    string_split,
    tf_idf_vectorizer,
)
from tests.assertions import assert_equal
from tests.strategies import STRING, operands, shapes, tensors


def words(*values: str) -> Array:
    return np.array(values, object)


@given(operands([STRING]))
def test_concat_joins_element_by_element(xy: tuple[Array, ...]) -> None:
    x, y = np.broadcast_arrays(*xy)
    expected = np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        expected[place] = x[place] + y[place]
    assert_equal(string_concat(*xy), expected)


@given(
    st.lists(st.sampled_from(["The", "the", "END", "é", ""]), max_size=4),
    st.sampled_from(["LOWER", "UPPER", "NONE"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_normalizer_drops_stop_words_and_changes_case(
    texts: list[str], action: str, sensitive: bool, matrix: bool
) -> None:
    stops = ("the", "END")
    folded = stops if sensitive else tuple(map(str.lower, stops))
    kept = [t for t in texts if (t if sensitive else t.lower()) not in folded]
    actions: dict[str, Any] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}
    change = actions[action]
    expected = words(*map(change, kept)) if kept else words("")
    x = words(*texts)
    found = string_normalizer(
        x[None] if matrix else x,
        case_change_action=action, is_case_sensitive=int(sensitive), stopwords=stops,
    )  # fmt: skip
    assert_equal(found, expected[None] if matrix else expected)


@given(
    tensors(STRING, shapes(max_rank=2)), st.sampled_from([None, "", "a", "ab"]),
    st.sampled_from([None, 0, 1, 2]),
)  # fmt: skip
def test_split_is_pythons(x: Array, delimiter: str | None, maxsplit: int | None) -> None:
    found = string_split(x, delimiter=delimiter, maxsplit=maxsplit)
    limit = -1 if maxsplit is None else maxsplit
    for place in np.ndindex(x.shape):
        pieces = str(x[place]).split(delimiter or None, limit)
        count = len(pieces)
        assert found.z[place] == count
        row = found.y[place].tolist()
        assert row[:count] == pieces
        assert set(row[count:]) <= {""}
    assert found.y.shape == (*x.shape, found.z.max(initial=0))


def test_split_without_delimiter_ignores_space_at_the_ends() -> None:
    found = string_split(words("  a b  c  "), maxsplit=1)
    assert found.y.tolist() == [["a", "b  c"]]
    assert string_split(words("a,,b"), delimiter=",").y.tolist() == [["a", "", "b"]]


# Regular expressions.

ATOMS = r"a b . [ab] [^a] \w \W \d \s [a-c] []a] [a-] \. \x61 ^ $ \b".split()


def patterns() -> Any:
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda p: f"({p[0]}|{p[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"])).map(
                lambda p: f"(?:{p[0]}){p[1]}"
            ),
        ),
        max_leaves=8,
    )


@given(patterns(), st.lists(st.text("ab.1 é", max_size=5), min_size=1, max_size=5))
def test_patterns_match_as_in_python(pattern: str, texts: list[str]) -> None:
    python = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    expected = np.array([python.fullmatch(text) is not None for text in texts])
    assert_equal(regex_full_match(words(*texts), pattern=pattern), expected)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\w+", "é", False),  # RE2's classes know ASCII only
        (r"\pL\p{Nd}\P{L}", "é7 ", True),
        (r"[[:alpha:]-]+", "a-b", True),
        (r"[[:^digit:]]", "7", False),
        ("(?i)ÄB", "äb", True),
        ("a(?i)b|C", "c", True),
        ("(?i:a)b", "AB", False),
        ("(?s).", "\n", True),
        (".", "\n", False),
        ("(?m)a$\n^b", "a\nb", True),
        ("a$\n^b", "a\nb", False),
        (r"\Qa.b\E+", "a.bbb", True),
        (r"(?P<name>a)\z", "a", True),
        (r"\x{e9}\101\t", "éA\t", True),
        ("a{,2}", "a{,2}", True),
        ("", "", True),
    ],
)
def test_syntax_of_re2(pattern: str, text: str, matches: bool) -> None:
    assert regex_full_match(words(text), pattern=pattern).tolist() == [matches]


@pytest.mark.parametrize(
    "pattern",
    ["(", "a)", "[a", "*a", "a**", r"(a)\1", "(?=a)", "(?<=a)", r"\y", "[b-a]", "a{2,1}",
     "a{1001}", "((a{99}){99}){99}", "(?P<n", "\\", "[[:word", r"\p{Nothing}", "(?a"],
)  # fmt: skip
def test_what_re2_refuses_is_refused_in_one_line(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="in the pattern") as refusal:
        regex_full_match(words("a"), pattern=pattern)
    assert repr(pattern) in str(refusal.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("pattern", ["(a|a)*b", "(a*)*b", "(a?){40}a{40}b", ".*.*.*.*.*.*.*b"])
def test_no_pattern_takes_forever(pattern: str) -> None:
    assert not regex_full_match(words("a" * 100_000), pattern=pattern).any()


def test_without_google_re2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ImportError, match=r"needs google-re2: pip install 'embedx\[text\]'"):
        regex_full_match(words("a"), pattern="a")


def test_the_error_of_a_run_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], name="is_mail", pattern="a")
    x, y = (helper.make_tensor_value_info(n, k, [1]) for n, k in (("x", 8), ("y", 9)))
    graph = helper.make_graph([node], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    with pytest.raises(NodeError, match=r"is_mail.*embedx\[text\]"):
        Engine(model.SerializeToString()).run([words("a")])


# n-grams.


def counted(tokens: list[Any], gram: list[Any], skips: int) -> int:
    """The places where a gram stands, with up to so many tokens left out between its own."""
    n = len(gram)
    return sum(
        tokens[i : i + (n - 1) * step + 1 : step] == gram
        for step in range(1, (skips if n > 1 else 0) + 2)
        for i in range(len(tokens) - (n - 1) * step)
    )


POOL: list[list[int]] = [[1], [2], [1, 2], [2, 1], [2, 2], [1, 2, 1]]


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), max_size=2),
    st.integers(1, 3), st.integers(0, 2), st.integers(0, 2),
    st.sampled_from(["TF", "IDF", "TFIDF"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_n_grams_are_counted(
    rows: list[list[int]], shortest: int, more: int, skips: int, mode: str, weighed: bool,
    as_words: bool,
) -> None:  # fmt: skip
    weights = (0.5, 2.0, 3.0, 0.25, 1.5, 4.0) if weighed else None
    indexes = (3, 0, 5, 1, 2, 4)
    flat = [token for gram in POOL for token in gram]
    table = np.array(rows, np.int64).reshape(len(rows), 5)
    x = table.astype(str).astype(object) if as_words else table
    pool: dict[str, Any] = (
        {"pool_strings": tuple(map(str, flat))} if as_words else {"pool_int64s": tuple(flat)}
    )
    attributes: dict[str, Any] = {
        "max_gram_length": shortest + more, "max_skip_count": skips, "min_gram_length": shortest,
        "mode": mode, "ngram_counts": (0, 2, 8), "ngram_indexes": indexes, "weights": weights,
    }  # fmt: skip
    expected = np.zeros((len(rows), 6), np.float32)
    for row, tokens in enumerate(rows):
        for i, gram in enumerate(POOL):
            count = counted(tokens, gram, skips) if 0 <= len(gram) - shortest <= more else 0
            factor = weights[i] if weights and mode != "TF" else 1.0
            expected[row, indexes[i]] = factor * (min(count, 1) if mode == "IDF" else count)
    assert_equal(tf_idf_vectorizer(x, **attributes, **pool), expected)
    for n, line in enumerate(expected):
        assert_equal(tf_idf_vectorizer(x[n], **attributes, **pool), line)


GRAMS: dict[str, Any] = {
    "max_gram_length": 1, "max_skip_count": 0, "min_gram_length": 1, "mode": "TF",
    "ngram_counts": (0,), "ngram_indexes": (0,), "pool_int64s": (1,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "DF"}, "mode is"),
        ({"pool_int64s": None}, "one pool"),
        ({"pool_strings": ("a",)}, "one pool"),
        ({"ngram_indexes": (0, 1)}, "2 ngram_indexes for 1"),
        ({"ngram_indexes": (-1,)}, "ngram_indexes"),
        ({"ngram_counts": (0, 0)}, "2-grams cannot lie"),
        ({"ngram_counts": (2,)}, "1-grams cannot lie"),
        ({"weights": (1.0, 2.0), "mode": "IDF"}, "2 weights for 1"),
        ({"min_gram_length": 0}, "n-grams of 0 to 1"),
        ({"max_gram_length": 0}, "n-grams of 1 to 0"),
        ({"max_skip_count": -1}, "with -1 skips"),
    ],
)
def test_n_gram_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tf_idf_vectorizer(np.array([1]), **(GRAMS | changes))


def test_huge_skips_and_indexes_do_no_harm() -> None:
    assert tf_idf_vectorizer(np.array([1]), **(GRAMS | {"max_skip_count": 2**62})) == 1
    for huge in ({"max_gram_length": 2**62}, {"min_gram_length": 2**61, "max_gram_length": 2**62}):
        found = tf_idf_vectorizer(np.ones(9, np.int64), **(GRAMS | huge))
        assert_equal(found, np.array([0 if "min_gram_length" in huge else 9], np.float32))
    with spending(Budget(max_bytes=10**6)), pytest.raises(OverBudgetError):
        tf_idf_vectorizer(np.array([1]), **(GRAMS | {"ngram_indexes": (2**40,)}))


def test_other_refusals() -> None:
    for function in (string_normalizer, string_split):
        with pytest.raises(TypeError, match="expected strings"):
            function(np.array([1]))
    with pytest.raises(TypeError, match="expected strings"):
        string_concat(words("a"), np.array([1]))
    with pytest.raises(ValueError, match="case_change_action"):
        string_normalizer(words("a"), case_change_action="TITLE")
    with pytest.raises(ValueError, match="expected strings of shape"):
        string_normalizer(words("a", "b")[:, None])
    with pytest.raises(ValueError, match="a pattern must be given"):
        regex_full_match(words("a"))
    with spending(Budget(max_bytes=1000)), pytest.raises(OverBudgetError):
        string_concat(words("a" * 900), words("b" * 900))
