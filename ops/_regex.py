"""Regular expressions in the syntax of RE2, whose time is linear in the text."""

from __future__ import annotations

from typing import Any

from ._extras import library

_SHOWN = 60  # characters of a pattern in a message


def compiled(pattern: str, *, longest: bool = False) -> Any:
    """The compiled pattern: of the leftmost matches the first, or else the ``longest``.

    Raises ValueError if the pattern is not in RE2's syntax, ImportError without google-re2.

    >>> [match.group() for match in compiled("a|ab", longest=True).finditer("abba")]
    ['ab', 'a']

    Spec: https://github.com/google/re2/wiki/Syntax.
    """
    re2 = library("re2")
    options = re2.Options()
    options.log_errors = False  # the exception tells
    options.longest_match = longest
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace")
        raise ValueError(f"{reason} in the pattern {pattern[:_SHOWN]!r}, see RE2") from error
