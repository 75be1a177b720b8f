"""Machines that read text: all ways through one that are still possible are followed at once.

So the time is that of the text times the machine, where a search that tries one way after the other
(as Python's ``re`` does: ``(a|a)*b`` against forty letters a) can take forever. Thompson 1968.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
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
    places = _reachable(program, {0}, "", text[:1])
    for i, character in enumerate(text):
        turn()
        passed = {p + 1 for p in places if p < len(program) and _passes(program[p], character)}
        places = _reachable(program, passed, character, text[i + 1 : i + 2])
    return len(program) in places


def _passes(step: Step, character: str) -> bool:
    return step.test is not None and step.test(character)


def _reachable(program: Program, places: set[int], before: str, after: str) -> set[int]:
    """The places, and those that can be reached from them without a character."""
    found, left = set[int](), list(places)
    while left:
        place = left.pop()
        if place not in found and place < len(program):
            step = program[place]
            if step.test is None and _holds(step.where, before, after):
                left += [place + way for way in step.ways]
        found.add(place)
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
