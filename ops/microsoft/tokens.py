"""Texts cut into words, as scikit-learn's vectorizers have it done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._automaton import Program, matches
from .._budget import reserve, timed
from .._regex import compiled
from .._registry import op
from .._typing import Array

_BEGIN, _END = "\x02", "\x03"


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
    """The tokens of each string of a list, or of a table, along a new last axis.

    They are what lies between the ``separators``, or else what ``tokenexp`` matches; these are
    patterns in RE2's syntax, of which the leftmost and then longest match counts. A single empty
    separator makes a token of each character. Tokens of less than ``mincharnum`` characters are
    dropped. With ``mark`` STX and ETX go around each string's tokens, unless no string has any;
    what is shorter than the longest is filled up with ``pad_value``. Raises ValueError for a
    separator that matches the empty string.

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
    if separators == ("",):
        rows = [list(text) for text in timed(x.flat)]
    elif separators:
        cuts = [(separator, compiled(separator)) for separator in separators]
        rows = [_between(text, cuts) for text in timed(x.flat)]
    else:
        program = compiled(tokenexp or "")
        rows = [[text[i:j] for i, j in matches(program, text)] for text in timed(x.flat)]
    rows = [[token for token in row if len(token) >= mincharnum] for row in timed(rows)]
    if mark and any(rows):
        rows = [[_BEGIN, *row, _END] for row in rows]
    width = max(map(len, rows), default=0)
    reserve((*x.shape, width), object)
    table = np.full((x.size, width), pad_value, object)
    for i, row in timed(enumerate(rows)):
        table[i, : len(row)] = row
    return table.reshape(*x.shape, width)


def _between(text: str, cuts: Sequence[tuple[str, Program]]) -> list[str]:
    """What is left of a text when it is cut at each separator, one after the other."""
    pieces = [text]
    for separator, program in cuts:
        found = []
        for piece in pieces:
            begin = 0
            for i, j in matches(program, piece):
                if i == j:
                    raise ValueError(f"the separator {separator!r} matches the empty string")
                found.append(piece[begin:i])
                begin = j
            found.append(piece[begin:])
        pieces = [piece for piece in found if piece]
    return pieces
