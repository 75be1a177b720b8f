"""Texts split into tokens, as scikit-learn's vectorizers do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._budget import timed
from .._regex import compiled
from .._registry import op
from .._typing import Array
from ..text import padded

_BEGIN, _END = "\x02", "\x03"  # STX and ETX of ASCII


@op("Tokenizer", since=1, domain="com.microsoft")
def tokenizer(
    x: Array,
    /,
    *,
    mark: int,
    mincharnum: int,
    pad_value: str,
    separators: tuple[str, ...] | None = None,
    tokenexp: str | None = None,
) -> Array:
    """The tokens of each string along a new last axis (patterns need google-re2).

    X is (strings,) or (rows, strings). Tokens are what lies between the ``separators``, or else
    the matches of ``tokenexp``; both are patterns in RE2's syntax, of which the leftmost and then
    longest match counts. A single empty separator splits into characters. Tokens of fewer than
    ``mincharnum`` characters are dropped. ``mark`` adds STX and ETX around each string's tokens,
    unless no string has any; shorter rows are padded with ``pad_value``.

    Raises ValueError for an invalid pattern, a separator that matches the empty string, and
    attributes that leave nothing to do; TypeError for what is not strings of rank 1 or 2;
    ImportError without the extra ``text``.

    >>> import numpy as np
    >>> words = np.array(["to be,", "or"], object)
    >>> tokenizer(words, mark=0, mincharnum=2, pad_value="#", tokenexp="[a-z]+")
    array([['to', 'be'],
           ['or', '#']], dtype=object)

    Spec: com.microsoft.Tokenizer-1.
    """
    if x.dtype.kind not in "OUT" or x.ndim not in (1, 2):
        raise TypeError(f"expected a list or table of strings, got {x.dtype} of shape {x.shape}")
    if mincharnum < 1 or (separators == ("",) and mincharnum > 1):
        raise ValueError(f"no token has less than {mincharnum} characters")
    if not separators and not tokenexp:
        raise ValueError("neither separators nor an expression for tokens are given")
    split = _splitter(separators, tokenexp or "")
    rows = [[s for s in split(text) if len(s) >= mincharnum] for text in timed(x.flat)]
    if mark and any(rows):
        rows = [[_BEGIN, *row, _END] for row in rows]
    return padded(rows, x.shape, pad_value)


def _splitter(separators: tuple[str, ...] | None, tokenexp: str) -> Callable[[str], list[str]]:
    """From a text to its tokens; ``tokenexp`` counts only without separators."""
    if separators == ("",):
        return list
    if separators:
        cuts = [compiled(separator, longest=True) for separator in separators]
        return lambda text: _between(text, cuts)
    token = compiled(tokenexp, longest=True)
    return lambda text: [match.group() for match in timed(token.finditer(text))]


def _between(text: str, separators: list[Any]) -> list[str]:
    """The non-empty pieces of a text, split at each separator in turn."""
    pieces = [text]
    for separator in separators:
        found = []
        for piece in pieces:
            begin = 0
            for match in timed(separator.finditer(piece)):
                if match.start() == match.end():
                    raise ValueError(
                        f"the separator {separator.pattern!r} matches the empty string"
                    )
                found.append(piece[begin : match.start()])
                begin = match.end()
            found.append(piece[begin:])
        pieces = [piece for piece in found if piece]
    return pieces
