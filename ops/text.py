"""Strings: tensors of Python ``str`` in object arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ._budget import reserve, timed, turn
from ._regex import compiled
from ._registry import op
from ._typing import Array


def _strings(*arrays: Array) -> None:
    for array in arrays:
        if array.dtype.kind not in "OUT":
            raise TypeError(f"expected strings, got {array.dtype}")


def _longest(x: Array) -> int:
    return max(map(len, x.flat), default=0)


@op("StringConcat", since=20)
def string_concat(x: Array, y: Array, /) -> Array:
    """Each string of ``X`` followed by that of ``Y``; they broadcast.

    Raises TypeError for what is not strings, ValueError for shapes that do not broadcast.

    >>> string_concat(np.array(["a", "b"], object), np.array("!", object))
    array(['a!', 'b!'], dtype=object)

    Spec: StringConcat-20.
    """
    _strings(x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    reserve((*shape, _longest(x) + _longest(y)), np.uint8)
    return np.asarray(x.astype(object) + y.astype(object), object)


@op("StringNormalizer", since=10)
def string_normalizer(
    x: Array,
    /,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str | None = None,
    stopwords: tuple[str, ...] | None = None,
) -> Array:
    """The strings that are not ``stopwords``, converted to upper or lower case if asked for.

    X is (strings,) or (1, strings); if no string is left the result is one empty string.
    ``case_change_action`` is "LOWER", "UPPER" or "NONE". Case follows Unicode whatever the
    ``locale``.

    Raises ValueError for another action or shape, TypeError for what is not strings.

    >>> string_normalizer(np.array(["The", "End"], object), stopwords=("the",))
    array(['End'], dtype=object)

    Spec: StringNormalizer-10.
    """
    actions: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}
    if case_change_action not in actions:
        raise ValueError(f"case_change_action is one of {', '.join(actions)}")
    if x.ndim not in (1, 2) or (x.ndim == 2 and len(x) != 1):
        raise ValueError(f"expected strings of shape (n,) or (1, n), got {x.shape}")
    _strings(x)
    compare: Callable[[str], str] = str if is_case_sensitive else str.lower
    stops = set(map(compare, stopwords or ()))
    change = actions[case_change_action]
    kept = [change(text) for text in timed(x.flat) if compare(text) not in stops]
    return np.array(kept or [""], object).reshape(*x.shape[:-1], -1)


class StringSplit(NamedTuple):
    """What StringSplit returns."""

    y: Array
    z: Array


@op("StringSplit", since=20)
def string_split(
    x: Array, /, *, delimiter: str | None = None, maxsplit: int | None = None
) -> StringSplit:
    """The pieces of each string on a new last axis, padded with "", and their numbers (int64).

    Without a ``delimiter`` strings are split at runs of white space, and white space at the ends is
    dropped. ``maxsplit`` bounds the number of splits; the rest stays in one piece.

    Raises TypeError for what is not strings.

    >>> string_split(np.array(["a b", "c"], object))
    StringSplit(y=array([['a', 'b'],
           ['c', '']], dtype=object), z=array([2, 1]))

    Spec: StringSplit-20.
    """
    _strings(x)
    limit = -1 if maxsplit is None else maxsplit
    pieces = [
        text.split(delimiter, limit) if delimiter else text.strip().split(None, limit)
        for text in timed(x.flat)
    ]
    counts = np.array([len(row) for row in pieces], np.int64).reshape(x.shape)
    return StringSplit(padded(pieces, x.shape, ""), counts)


def padded(rows: Sequence[Sequence[str]], shape: tuple[int, ...], fill: str) -> Array:
    """Rows of strings as a tensor (*shape, longest row), the shorter ones padded with ``fill``.

    >>> padded([["a", "b"], ["c"]], (2,), "#").tolist()
    [['a', 'b'], ['c', '#']]
    """
    width = max(map(len, rows), default=0)
    reserve((*shape, width), object)
    table = np.full((len(rows), width), fill, object)
    for i, row in timed(enumerate(rows)):
        table[i, : len(row)] = row
    return table.reshape(*shape, width)


@op("RegexFullMatch", since=20)
def regex_full_match(x: Array, /, *, pattern: str | None = None) -> Array:
    """Whether each whole string matches the ``pattern``, in RE2's syntax (bool; needs google-re2).

    Raises ValueError for an invalid or missing pattern, TypeError for what is not strings,
    ImportError without the extra ``text``.

    >>> regex_full_match(np.array(["aab", "b!"], object), pattern="a*b")
    array([ True, False])

    Spec: RegexFullMatch-20.
    """
    _strings(x)
    if pattern is None:
        raise ValueError("a pattern must be given")
    match = compiled(pattern).fullmatch
    return np.array([match(text) is not None for text in timed(x.flat)], bool).reshape(x.shape)


@op("TfIdfVectorizer", since=9)
def tf_idf_vectorizer(
    x: Array,
    /,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: tuple[int, ...],
    ngram_indexes: tuple[int, ...],
    pool_int64s: tuple[int, ...] | None = None,
    pool_strings: tuple[str, ...] | None = None,
    weights: tuple[float, ...] | None = None,
) -> Array:
    """How often each n-gram of a pool occurs in each row of ``X``, as float32.

    X is (tokens,) or (rows, tokens) of integers or strings. The pool holds all 1-grams, then all
    2-grams and so on; those of length n begin at ``ngram_counts[n - 1]``. The count of the i-th
    n-gram goes to column ``ngram_indexes[i]``. Up to ``max_skip_count`` tokens may be skipped
    between two neighbours of an n-gram, always the same number. ``mode`` is "TF" (the count), "IDF"
    (the weight if the n-gram occurs), or "TFIDF" (their product).

    Raises ValueError for an unknown mode, and for a pool, weights and numbers that do not agree;
    TypeError for other dtypes.

    >>> tf_idf_vectorizer(
    ...     np.array([5, 7, 5, 7]), max_gram_length=2, max_skip_count=0, min_gram_length=1,
    ...     mode="TF", ngram_counts=(0, 1), ngram_indexes=(0, 1), pool_int64s=(5, 5, 7))
    array([2., 2.], dtype=float32)

    Spec: TfIdfVectorizer-9.
    """
    _check_attributes(min_gram_length, max_gram_length, max_skip_count, mode)
    if x.dtype.kind not in "iuOUT":
        raise TypeError(f"expected integers or strings, got {x.dtype}")
    if bool(pool_int64s) == bool(pool_strings) or x.ndim not in (1, 2):
        raise ValueError(f"one pool is needed, and X of rank 1 or 2; its shape is {x.shape}")
    grams = _grams(pool_int64s or pool_strings or (), ngram_counts)
    factors = _factors(ngram_indexes, None if mode == "TF" else weights, len(grams))
    rows = x.tolist() if x.ndim == 2 else [x.tolist()]
    width = max(ngram_indexes, default=-1) + 1
    reserve((len(rows), width), np.float32)
    y = np.zeros((len(rows), width), np.float32)
    # The longest n-grams of the pool have as many tokens as ngram_counts has entries.
    lengths = range(min_gram_length, min(max_gram_length, len(ngram_counts)) + 1)
    wanted = set(grams)
    for row, tokens in enumerate(rows):
        seen = _occurrences(tokens, lengths, max_skip_count)
        found = Counter(gram for gram in seen if gram in wanted)
        for gram, place, factor in timed(zip(grams, ngram_indexes, factors, strict=True)):
            y[row, place] += factor * (min(found[gram], 1) if mode == "IDF" else found[gram])
    return y.reshape(*x.shape[:-1], width)


def _check_attributes(shortest: int, longest: int, skips: int, mode: str) -> None:
    if not 1 <= shortest <= longest or skips < 0:
        raise ValueError(f"n-grams of {shortest} to {longest} tokens, with {skips} skips")
    if mode not in ("TF", "IDF", "TFIDF"):
        raise ValueError(f"mode is TF, IDF or TFIDF, not {mode!r}")


def _factors(
    places: tuple[int, ...], weights: tuple[float, ...] | None, count: int
) -> tuple[float, ...]:
    """The weight of each n-gram, by default 1."""
    if len(places) != count or min(places, default=0) < 0:
        raise ValueError(f"{len(places)} ngram_indexes for {count} n-grams")
    factors = weights or (1.0,) * count
    if len(factors) != count:
        raise ValueError(f"{len(factors)} weights for {count} n-grams")
    return factors


def _grams(pool: Sequence[object], starts: Sequence[int]) -> list[tuple[object, ...]]:
    """The n-grams of a pool in order."""
    grams = []
    bounds = zip(starts, [*starts[1:], len(pool)], strict=True)
    for n, (start, end) in timed(enumerate(bounds, 1)):
        if not 0 <= start <= end <= len(pool) or (end - start) % n:
            raise ValueError(f"the pool's {n}-grams cannot lie from {start} to {end}")
        grams += [tuple(pool[i : i + n]) for i in timed(range(start, end, n))]
    return grams


def _occurrences(
    tokens: list[object], lengths: Iterable[int], max_skip_count: int
) -> Iterable[tuple[object, ...]]:
    for n in lengths:
        # A single token has no gap in which tokens could be skipped.
        for step in range(1, max_skip_count + 2 if n > 1 else 2):
            turn()
            reach = (n - 1) * step + 1
            if reach > len(tokens):
                break
            for begin in timed(range(len(tokens) - reach + 1)):
                yield tuple(tokens[begin : begin + reach : step])
