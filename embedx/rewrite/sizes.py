"""Sizes that are numbers or only names yet, and what is learned when two of them must be equal."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

Size: TypeAlias = int | str
Shape: TypeAlias = tuple[Size, ...] | None
"""``None`` where not even the rank is known."""


class Sizes:
    """Which sizes are equal, and which numbers stand behind names.

    >>> sizes = Sizes()
    >>> sizes.broadcast(("batch", "n"), (1, 384))
    ('batch', 384)
    >>> sizes.of("n")
    384

    Two different numbers contradict each other; that is counted, and the first one stays.
    """

    def __init__(self) -> None:
        self.contradictions = 0
        self._known: dict[str, Size] = {}
        self._sums: dict[str, list[Size]] = {}
        self._products: dict[str, list[Size]] = {}
        self._steps: dict[str, int] = {}
        self._open: list[tuple[bool, int, list[Size]]] = []
        """Whether it is a product, the result, and parts of which several are not known."""
        self._fresh = itertools.count()

    def copy(self) -> Sizes:
        """Sizes that know the same, and learn for themselves."""
        return copy.deepcopy(self)

    def of(self, size: Size) -> Size:
        """The number behind a size, or the one name of all sizes that are equal to it."""
        passed = []
        while isinstance(size, str) and size in self._known:
            passed.append(size)
            size = self._known[size]
        self._known.update(dict.fromkeys(passed[:-1], size))  # the next way is shorter
        return size

    def new(self) -> str:
        """The name of a size of which nothing is known."""
        return f"?{next(self._fresh)}"

    def same(self, a: Size, b: Size) -> Size:
        """Let two sizes be equal."""
        a, b = self.of(a), self.of(b)
        if isinstance(b, int):
            a, b = b, a
        if a == b:
            return a
        if isinstance(b, int):
            self.contradictions += 1
            return a
        self._known[b] = a
        self.multiple(a, self._steps.pop(b, 1))
        for parts, is_product in ((self._products, True), (self._sums, False)):
            if b in parts and isinstance(a, int):
                self._solve(is_product, a, parts[b])
            elif b in parts and isinstance(a, str):
                parts.setdefault(a, parts[b])
        if isinstance(a, int) and self._open:
            equations, self._open = self._open, []
            for equation in equations:
                self._solve(*equation)
        return a

    def multiple(self, size: Size, step: int) -> None:
        """Let a size be a multiple of a number."""
        size = self.of(size)
        if isinstance(size, str):
            self._steps[size] = math.lcm(self._steps.get(size, 1), step)
        elif step and size % step:
            self.contradictions += 1

    def product(self, sizes: Sequence[Size]) -> Size:
        """The product of sizes; once it is known itself, it gives away its last unknown factor."""
        number, names = self._factors(sizes)
        if not names or not number:
            return number
        if number == 1 and len(names) == 1:
            return names[0]
        name = self.new()
        self._products[name] = [number, *names]
        return name

    def total(self, sizes: Sequence[Size]) -> Size:
        """The sum of sizes; once it is known itself, it gives away its last unknown term."""
        number, names = self._terms(sizes)
        if not names:
            return number
        if not number and len(names) == 1:
            return names[0]
        name = self.new()
        self._sums[name] = [number, *names]
        return name

    def _factors(self, sizes: Sequence[Size]) -> tuple[int, list[str]]:
        """The product of those that are numbers, and the others."""
        known = [self.of(size) for size in sizes]
        numbers = (size for size in known if isinstance(size, int))
        return math.prod(numbers), [size for size in known if isinstance(size, str)]

    def _terms(self, sizes: Sequence[Size]) -> tuple[int, list[str]]:
        """The sum of those that are numbers, and the others."""
        known = [self.of(size) for size in sizes]
        numbers = (size for size in known if isinstance(size, int))
        return sum(numbers), [size for size in known if isinstance(size, str)]

    def _solve(self, is_product: bool, result: int, parts: list[Size]) -> None:
        """Find the one part of a product or a sum that is not known; several are left open."""
        number, names = (self._factors if is_product else self._terms)(parts)
        rest = self._rest(is_product, result, number)
        if rest is None or (not names and number != result):
            self.contradictions += 1
        elif len(names) == 1:
            self.same(names[0], rest)
        elif names:
            self._open.append((is_product, result, parts))

    @staticmethod
    def _rest(is_product: bool, result: int, number: int) -> int | None:
        """What the unknown parts make together."""
        if is_product:
            return result // number if number and result % number == 0 else None
        return result - number if result >= number else None

    def choose(self, size: Size, wanted: Callable[[str], int]) -> int:
        """The number of a size; that of a name which is free shall be ``wanted``, if it can be."""
        try:
            return self._choose(size, wanted, frozenset())
        except RecursionError:  # a sum of sums of thousands of sizes
            return wanted(str(size))

    def _choose(self, size: Size, wanted: Callable[[str], int], inside: frozenset[str]) -> int:
        size = self.of(size)
        if isinstance(size, int):
            return size
        for parts, combine in ((self._sums, sum), (self._products, math.prod)):
            if size in parts and size not in inside:
                chosen = (self._choose(part, wanted, inside | {size}) for part in parts[size])
                number = max(int(combine(list(chosen))), 0)
                break
        else:
            number = self._fitting(size, wanted(size))
        self.same(number, size)
        return number

    def _fitting(self, name: str, wanted: int) -> int:
        """A number near the wanted one that leaves something for the other parts of a whole."""
        step = self._steps.get(name, 1)
        number = -(-wanted // step) * step
        for is_product, result, parts in self._open:
            known, names = (self._factors if is_product else self._terms)(parts)
            rest = self._rest(is_product, result, known)
            if name in names and rest:
                if is_product:
                    number = max(d for d in range(1, min(number, rest) + 1) if rest % d == 0)
                else:
                    number = max(1, min(number, rest - len(names) + 1))
        return number

    def equal(self, a: Shape, b: Shape) -> Shape:
        """Let two shapes of one rank be equal."""
        if a is None or b is None:
            return b if a is None else a
        if len(a) != len(b):
            self.contradictions += 1
            return a
        return tuple(map(self.same, a, b))

    def broadcast(self, *shapes: Shape) -> Shape:
        """What the shapes broadcast to, where all that is not known to be 1 is equal."""
        known = [shape for shape in shapes if shape is not None]
        rank = max(map(len, known), default=0)
        aligned = [(1,) * (rank - len(shape)) + shape for shape in known]
        result = tuple(self._meet(sizes) for sizes in zip(*aligned, strict=True))
        return result if len(known) == len(shapes) else None

    def _meet(self, sizes: Sequence[Size]) -> Size:
        result: Size = 1
        for size in sizes:
            if self.of(size) != 1:
                result = size if result == 1 else self.same(result, size)
        return self.of(result)

    def reshaped(self, shape: Shape, target: Sequence[Size], *, zero_copies: bool = True) -> Shape:
        """A shape like ``target``, as Reshape reads it, with as many elements as ``shape``."""
        wanted = [self.of(size) for size in target]
        if shape is None:
            return tuple(self.new() if size in (0, -1) else size for size in wanted)
        for i, size in enumerate(wanted):
            if size == 0 and zero_copies:
                if i >= len(shape):
                    self.contradictions += 1
                    return None
                wanted[i] = shape[i]
        number, names = self._factors(shape)
        rest, others = self._factors([size for size in wanted if size != -1])
        for name in [name for name in names if name in others]:  # they cancel each other
            names.remove(name)
            others.remove(name)
        if -1 not in wanted:
            self.same(self.product([number, *names]), self.product([rest, *others]))
            return tuple(wanted)
        free: Size = self.new()
        if not others and not names and (not rest or number % rest):
            self.contradictions += 1
        elif not others and rest and number % rest == 0:
            free = self.product([number // rest, *names])
        elif not others and rest:
            self.multiple(names[-1], rest // math.gcd(number, rest))
        wanted[wanted.index(-1)] = free
        return tuple(wanted)
