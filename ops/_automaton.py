"""Machines that read text: all ways through one that are still possible are followed at once.

So the time is that of the text times the machine, where a search that tries one way after the other
(as Python's ``re`` does: ``(a|a)*b`` against forty letters a) can take forever. Thompson 1968.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

from ._budget import turn

WORD = frozenset(string.ascii_letters + string.digits + "_")

Test: TypeAlias = Callable[[str], bool]
"""Whether a character belongs to a class."""


@dataclass(frozen=True)
class Step:
    """An instruction: go on in ``ways``, after a character that passes, or where a thing holds."""

    ways: tuple[int, ...] = (1,)
    test: Test | None = None
    where: str = ""


Program: TypeAlias = list[Step]
"""Instructions with relative ways: 1 is the next instruction, one past the end is a match."""


def fullmatch(program: Program, text: str) -> bool:
    """Whether a way through the whole program reads the whole text.

    >>> fullmatch(star([Step(test="a".__eq__)]), "aaa")
    True
    """
    places = _reachable(program, {0: 0}, "", text[:1])
    for i, character in enumerate(text):
        turn()
        passed = _passed(program, places, character)
        places = _reachable(program, passed, character, text[i + 1 : i + 2])
    return len(program) in places


def matches(program: Program, text: str) -> Iterator[tuple[int, int]]:
    """Where matches begin and end, each the longest of the leftmost ones behind the one before.

    An empty match is followed by what begins at the next character.

    >>> a = Step(test="a".__eq__)
    >>> list(matches(either([a], [a, a]), "baaa"))
    [(1, 3), (3, 4)]
    """
    begin = 0
    while begin <= len(text) and (found := _first_match(program, text, begin)):
        yield found
        begin = max(found[1], found[0] + 1)


def _first_match(program: Program, text: str, begin: int) -> tuple[int, int] | None:
    found, places = None, dict[int, int]()
    for i in range(begin, len(text) + 1):
        turn()
        if found is None:
            places.setdefault(0, i)
        places = _reachable(program, places, text[i - 1 : i] if i else "", text[i : i + 1])
        if len(program) in places:
            found = (places[len(program)], i)
        if found is not None:
            places = {place: start for place, start in places.items() if start <= found[0]}
        if found is not None and not places:
            break
        places = _passed(program, places, text[i : i + 1])
    return found


def _passed(program: Program, places: dict[int, int], character: str) -> dict[int, int]:
    """The places behind a character, with where the way to each began."""
    return {
        place + 1: start
        for place, start in places.items()
        if place < len(program) and (test := program[place].test) is not None and test(character)
    }


def _reachable(program: Program, places: dict[int, int], before: str, after: str) -> dict[int, int]:
    """The places, and those that can be reached without a character, from the earliest start."""
    found = dict[int, int]()
    for first, start in sorted(places.items(), key=itemgetter(1)):
        left = [first]
        while left:
            place = left.pop()
            if place in found:
                continue
            found[place] = start
            if place < len(program):
                step = program[place]
                if step.test is None and _holds(step.where, before, after):
                    left += [place + way for way in step.ways]
    return found


def _holds(where: str, before: str, after: str) -> bool:
    edge = (before in WORD) != (after in WORD)
    return {
        "": True,
        "begin": before == "",
        "end": after == "",
        "line begin": before in ("", "\n"),
        "line end": after in ("", "\n"),
        "edge": edge,
        "no edge": not edge,
    }[where]


def either(a: Program, b: Program) -> Program:
    """What one of two programs reads."""
    return [Step((1, len(a) + 2)), *a, Step((len(b) + 1,)), *b]


def optional(a: Program) -> Program:
    """What a program reads, or nothing."""
    return [Step((1, len(a) + 1)), *a]


def star(a: Program) -> Program:
    """What a program reads, any number of times."""
    return [Step((1, len(a) + 2)), *a, Step((-len(a) - 1,))]
