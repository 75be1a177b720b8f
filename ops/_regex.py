"""Regular expressions in the syntax of RE2, which is not quite that of Python's ``re``."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass, replace

from ._automaton import WORD, Program, Step, Test, either, optional, star

_SIZE, _REPEATS = 10_000, 1000  # of a program, and of one counted repetition (as in RE2)
_LENGTH, _DEPTH = 50_000, 100  # of a pattern in characters, and of its groups
_CLASSES = {"d": frozenset(string.digits), "w": WORD, "s": frozenset("\t\n\f\r ")}
_POSIX = {
    "alnum": WORD - {"_"},
    "alpha": frozenset(string.ascii_letters),
    "digit": frozenset(string.digits),
    "lower": frozenset(string.ascii_lowercase),
    "punct": frozenset(string.punctuation),
    "space": frozenset(string.whitespace),
    "upper": frozenset(string.ascii_uppercase),
    "xdigit": frozenset(string.hexdigits),
}
_ESCAPES = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PLACES = {"^": "begin", "$": "end", "\\A": "begin", "\\z": "end", "\\b": "edge"}
_PLACES["\\B"] = "no edge"
_CATEGORIES = frozenset(
    "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po "
    "S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cs".split()
)


@dataclass(frozen=True)
class _Flags:
    i: bool = False
    m: bool = False
    s: bool = False


def compiled(pattern: str) -> Program:
    """The instructions of a pattern. Raises ValueError where it is not RE2's syntax.

    Of RE2's rarer words Unicode scripts, the flag U, and some POSIX classes are missing.

    >>> len(compiled("a{3}"))
    3
    """
    if len(pattern) > _LENGTH:
        raise ValueError(f"the pattern has {len(pattern)} characters, {_LENGTH} are possible")
    reader = _Reader(pattern)
    program = reader.alternatives(_Flags())
    if reader.rest:
        raise ValueError(f"the pattern goes on with {reader.rest[:9]!r}, which has no beginning")
    return program


class _Reader:
    """What is left of a pattern, read as alternatives of sequences of repeated atoms."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern
        self.depth = 0

    def took(self, token: str) -> bool:
        """Whether the rest begins with a token, which is taken if so."""
        found = self.rest.startswith(token)
        self.rest = self.rest[len(token) :] if found else self.rest
        return found

    def take(self, token: str = "") -> str:
        """What comes before the next token, which is taken, too; or the next character."""
        head, found, tail = self.rest.partition(token) if token else (self.rest[:1], True, "")
        if not found or not self.rest:
            raise ValueError(f"the pattern ends where {token or 'something'!r} should follow")
        self.rest = tail if token else self.rest[1:]
        return head

    def alternatives(self, flags: _Flags) -> Program:
        program, flags = self.sequence(flags)
        while self.took("|"):
            other, flags = self.sequence(flags)
            program = either(program, other)
            _check_size(len(program))
        return program

    def sequence(self, flags: _Flags) -> tuple[Program, _Flags]:
        """A sequence, and the flags that it leaves to the alternatives after it."""
        program: Program = []
        while self.rest and self.rest[0] not in "|)":
            atom, flags = self.atom(flags)
            program += self.repeated(atom)
            _check_size(len(program))
        return program, flags

    def atom(self, flags: _Flags) -> tuple[Program, _Flags]:
        """What a repetition refers to, and the flags from there on."""
        if self.took("(?P<") or self.took("(?<"):
            self.take(">")
            return self.group(flags), flags
        if self.took("(?"):
            changed = self.flags(flags)
            return (self.group(changed), flags) if self.take() == ":" else ([], changed)
        if self.took("("):
            return self.group(flags), flags
        if self.took("\\Q"):
            quoted, _, tail = self.rest.partition("\\E")
            self.rest = "".join(c if c.isalnum() else "\\" + c for c in quoted) + tail
            return [], flags
        for token, where in _PLACES.items():
            if self.took(token):
                line = flags.m and token in "^$"
                return [Step(where="line " * line + where)], flags
        if self.took("."):
            return [Step(test=lambda c: flags.s or c != "\n")], flags
        if self.rest[0] in "*+?":
            raise ValueError(f"there is nothing for {self.rest[0]!r} to repeat")
        element = self.set() if self.took("[") else self.element()
        return [Step(test=_test(element, flags))], flags

    def flags(self, flags: _Flags) -> _Flags:
        value = True
        while self.rest[:1] not in (":", ")"):
            name = self.take()
            if name == "-":
                value = False
            elif name in ("i", "m", "s"):
                flags = replace(flags, **{name: value})
            else:
                raise ValueError(f"there is no group (?{name}")
        return flags

    def group(self, flags: _Flags) -> Program:
        self.depth += 1
        if self.depth > _DEPTH:
            raise ValueError(f"groups are nested deeper than {_DEPTH}")
        program = self.alternatives(flags)
        self.depth -= 1
        if not self.took(")"):
            raise ValueError("a group is not closed")
        return program

    def repeated(self, atom: Program) -> Program:
        counts = self.counts()
        if counts is None:
            return atom
        least, most = counts
        if max(least, most or 0) > _REPEATS or (most is not None and most < least):
            raise ValueError(f"a repetition of {least} to {most} times")
        self.took("?")  # lazy or not makes no difference to a full match
        if self.counts() is not None:
            raise ValueError("a repetition is repeated")
        _check_size(len(atom) * max(least, most or 0))
        tail = star(atom) if most is None else optional(atom) * (most - least)
        return atom * least + tail

    def counts(self) -> tuple[int, int | None] | None:
        for token, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.took(token):
                return counts
        found = re.match(r"\{([0-9]{1,9})(,?)([0-9]{0,9})\}", self.rest)
        if found is None:
            return None
        self.take("}")
        low, comma, high = found.groups()
        return int(low), int(high) if high else None if comma else int(low)

    def set(self) -> Test:
        """A class in brackets, whose first ] is an ordinary character."""
        negated, tests = self.took("^"), list[Test]()
        while not tests or not self.took("]"):
            if self.took("[:"):
                name = self.take(":]")
                if name.removeprefix("^") not in _POSIX:
                    raise ValueError(f"there is no class [:{name}:]")
                tests.append(_member(_POSIX[name.removeprefix("^")], name.startswith("^")))
                continue
            low = self.element()
            if isinstance(low, str) and self.rest[:1] == "-" and self.rest[1:2] != "]":
                self.take()
                high = self.element()
                if not isinstance(high, str) or high < low:
                    raise ValueError(f"a range from {low!r} to {high!r}")
                tests.append(_between(low, high))
            else:
                tests.append(low.__eq__ if isinstance(low, str) else low)
        return lambda c: any(test(c) for test in tests) != negated

    def element(self) -> str | Test:
        """A character, or a class that a backslash names."""
        character = self.take()
        if character != "\\":
            return character
        name = self.take()
        if name.lower() in _CLASSES:
            return _member(_CLASSES[name.lower()], name.isupper())
        if name in "pP":
            return self.category(name == "P")
        if name == "x":
            return chr(int(self.take("}") if self.took("{") else self.take() + self.take(), 16))
        if name in "01234567":
            while len(name) < 3 and self.rest[:1] in tuple("01234567"):
                name += self.take()
            if len(name) == 1 and name != "0":
                raise ValueError("a pattern cannot refer back to its groups")
            return chr(int(name, 8))
        if name in _ESCAPES or not (name.isalnum() and name.isascii()):
            return _ESCAPES.get(name, name)
        raise ValueError(f"there is no escape \\{name}")

    def category(self, negated: bool) -> Test:
        name = self.take("}") if self.took("{") else self.take()
        negated, name = negated != name.startswith("^"), name.removeprefix("^")
        if name not in _CATEGORIES:
            raise ValueError(f"there is no Unicode category {name!r}, or none that is known here")
        return lambda c: unicodedata.category(c).startswith(name) != negated


def _check_size(size: int) -> None:
    if size > _SIZE:
        raise ValueError(f"the pattern makes more than {_SIZE} instructions")


def _member(members: frozenset[str], negated: bool) -> Test:
    return lambda c: (c in members) != negated


def _between(low: str, high: str) -> Test:
    return lambda c: low <= c <= high


def _test(element: str | Test, flags: _Flags) -> Test:
    test: Test = element.__eq__ if isinstance(element, str) else element
    return (lambda c: test(c) or test(c.lower()) or test(c.upper())) if flags.i else test
