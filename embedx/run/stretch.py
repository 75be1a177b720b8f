"""Steps that work row by row, run together: some rows go through all of them, then the next rows.

What lies between the steps stays in a processor's cache, and never exists as a whole. Threads share
out the rows of the whole stretch, so they start and meet once for all of its steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from embedx.kernels import FEWEST_ROWS, blocks, fresh, height_of_blocks, rows_of
from embedx.model.graph import Array
from embedx.ops import Budget, reserve
from embedx.run.step import UNWANTED, Step, Stretch, spare
from embedx.workers import pieces_of, spread


def stretches(steps: Sequence[Step], outputs: Sequence[int]) -> dict[int, Stretch]:
    """The stretches of a plan whose outputs are in these slots, by the place of the first step."""
    readers: dict[int, int] = {}
    for place, step in enumerate(steps):
        captured = [slot for _, _, slots in step.bodies for slot in slots]
        readers.update(dict.fromkeys([*step.inputs, *captured], place))
    last = {**readers, **dict.fromkeys(outputs, len(steps))}
    found = {}
    for start, stop in _spans(steps):
        some = steps[start:stop]
        made = {slot for step in some for slot in step.outputs}
        outer = [(s, p in step.rows) for step in some for p, s in enumerate(step.inputs)]
        rows = {s for s, by_row in outer if by_row and s not in made}
        whole = {s for s, by_row in outer if not by_row and s not in made}
        results = tuple(s for s in made if last.get(s, -1) >= stop)
        found[start] = Stretch(tuple(some), tuple(rows), tuple(whole), results)
    return found


def _spans(steps: Sequence[Step]) -> Iterator[tuple[int, int]]:
    """From where to where two or more steps work row by row on what outer values give them."""
    start = 0
    made: set[int] = set()
    for place, step in enumerate([*steps, None]):
        if step is not None and _fits(step, made):
            made.update(step.outputs)
            continue
        stop = place
        while stop > start and len(steps[stop - 1].outputs) > 1:
            stop -= 1  # the pieces of what is wanted whole are views of it
        if stop - start > 1:
            yield start, stop
        alone = step is not None and _fits(step, set())
        start = place if alone else place + 1
        made = set(step.outputs) if step is not None and alone else set()


def _fits(step: Step, made: set[int]) -> bool:
    """Whether a step works row by row, behind steps that make the values ``made``."""
    others = (s for place, s in enumerate(step.inputs) if place not in step.rows)
    return bool(step.rows) and UNWANTED not in step.outputs and made.isdisjoint(others)


def run_stretch(stretch: Stretch, values: list[Any], budget: Budget) -> bool:
    """Compute the results into ``values``; False, and nothing is done, if that is no way to go.

    Whatever goes wrong does so once more, and with its name, when the steps run one by one.
    """
    rows = _rows(stretch, values)
    if not rows:
        return False
    lead = next(iter(rows.values())).shape[:-1]
    count = math.prod(lead)
    if count <= height_of_blocks() and pieces_of(count, FEWEST_ROWS) == 1:
        return False
    whole = {slot: values[slot] for slot in (*stretch.rows, *stretch.whole) if slot not in rows}
    flat = {slot: rows_of(x) for slot, x in rows.items()}
    axes = (1,) * (len(lead) - 1)

    def piece(start: int, stop: int) -> None:
        for part in blocks(start, stop, height_of_blocks()):
            budget.check_time()
            given, some = (
                {s: x[part].reshape(*axes, -1, x.shape[-1]) for s, x in arrays.items()}
                for arrays in (flat, outs)
            )
            _through(stretch, {**whole, **given}, some)

    try:
        results = {}
        for slot, (dtype, width) in _kinds(stretch, whole, flat, axes).items():
            reserve((*lead, width), dtype)
            results[slot] = fresh((*lead, width), dtype)
        outs = {slot: rows_of(y) for slot, y in results.items()}
        spread(piece, count, FEWEST_ROWS)
    except Exception:
        return False
    for slot, y in results.items():
        values[slot] = y
        budget.used += y.nbytes
    return True


class _DeclinedError(Exception):
    """A step does not take on what it is given."""


def _rows(stretch: Stretch, values: Sequence[Any]) -> dict[int, Array]:
    """The values to be read row by row; none if they don't have the same rows.

    A vector is added to each row, and so is what has but one row.
    """
    found = {}
    for slot in stretch.rows:
        x = values[slot]
        if isinstance(x, np.ndarray) and x.ndim > 1 and x.size > x.shape[-1]:
            found[slot] = x
    leads = {x.shape[:-1] for x in found.values()}
    mixed = not found.keys().isdisjoint(stretch.whole)
    return found if len(leads) == 1 and not mixed else {}


def _through(stretch: Stretch, values: dict[int, Any], outs: Mapping[int, Array]) -> dict[int, Any]:
    """The values of one block behind all steps; those of ``outs`` are written there."""
    for step in stretch.steps:
        _advance(step, values, outs)
    return values


def _advance(step: Step, values: dict[int, Any], outs: Mapping[int, Array]) -> None:
    arguments = [values[slot] for slot in step.inputs]
    out = outs.get(step.outputs[0]) if len(step.outputs) == 1 else None
    options = spare(step, arguments) if out is None else {"out": out}
    made = step.call(*arguments, **options)
    if made is NotImplemented:
        raise _DeclinedError
    for slot, value in zip(
        step.outputs, made if isinstance(made, tuple) else (made,), strict=False
    ):
        values[slot] = value
        if slot in outs and value is not outs[slot]:
            np.copyto(outs[slot], value, casting="no")
    for slot in step.dead:
        values.pop(slot, None)


def _kinds(
    stretch: Stretch, whole: Mapping[int, Any], rows: Mapping[int, Array], axes: tuple[int, ...]
) -> dict[int, tuple[np.dtype[Any], int]]:
    """The element types and widths of the results. Raises if steps decline inputs of this kind."""
    arrays = (x for x in whole.values() if isinstance(x, np.ndarray))
    widths = ((x.dtype, x.shape[-1]) for x in rows.values())
    kind = (axes, *((x.dtype, x.shape) for x in arrays), *widths)
    if kind not in stretch.known:
        # Looked at with ones, as what is known must not depend on what some row holds, and with two
        # rows, to tell what comes of rows from what comes of vectors alone.
        ones = {slot: np.ones((*axes, 2, x.shape[-1]), x.dtype) for slot, x in rows.items()}
        stretch.known[kind] = None
        values = _through(stretch, {**whole, **ones}, {})
        found = {slot: values[slot] for slot in stretch.results}
        if all(x.shape[:-1] == (*axes, 2) for x in found.values()):
            stretch.known[kind] = {slot: (x.dtype, x.shape[-1]) for slot, x in found.items()}
    known: dict[int, tuple[np.dtype[Any], int]] | None = stretch.known[kind]
    if known is None:
        raise _DeclinedError
    return known
