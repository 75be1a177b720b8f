"""Branches and loops. A subgraph is a callable from its inputs to the tuple of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ._budget import turn
from ._checks import axis_in, scalar_int
from ._registry import op
from ._typing import Array, Body, Value


@op("If", since=1)
def if_(cond: Array, /, *, else_branch: Body, then_branch: Body) -> tuple[Any, ...]:
    """The outputs of ``then_branch`` if the one bool in ``cond`` is True, else of ``else_branch``.

    Raises TypeError if ``cond`` is not one bool.

    >>> if_(np.array(True), then_branch=lambda: (1,), else_branch=lambda: (2,))
    (1,)

    Spec: If-25.
    """
    return then_branch() if _truth(cond) else else_branch()


@op("Loop", since=1)
def loop(
    m: Array | None = None, cond: Array | None = None, /, *v_initial: Value, body: Body
) -> tuple[Any, ...]:
    """The loop-carried values after the last iteration, then the stacked scan outputs.

    ``body(iteration, cond, *carried)`` returns the next condition, the carried values, and the scan
    outputs of this iteration. It runs at most ``m`` times and while ``cond`` holds. Either may be
    missing and then sets no limit; without ``cond`` the conditions from the body are ignored. The
    iteration number (int64) and the condition have as many axes of size 1 as the body declares, by
    default none.

    Raises TypeError for a condition that is not one bool or an ``m`` that is not an integer,
    ValueError for several trip counts and for scan outputs whose shape changes.

    >>> def double(turn, cond, x): return cond, 2 * x, x
    >>> loop(np.array(3), None, np.array([1]), body=double)
    (array([8]), array([[1],
           [2],
           [4]]))

    Spec: Loop-25.
    """
    trips = None if m is None else scalar_int(m)
    going = cond is None or _truth(cond)
    ranks = [_declared_rank(body, place) for place in range(2)]
    carried, scanned, i = v_initial, list[tuple[Array, ...]](), 0
    while (trips is None or i < trips) and (cond is None or going):
        turn()
        number, condition = (np.full((1,) * n, v) for n, v in zip(ranks, (i, going), strict=True))
        still, *results = body(number, condition, *carried)
        going = _truth(still)
        carried, outputs = tuple(results[: len(carried)]), tuple(results[len(carried) :])
        scanned.append(outputs)
        i += 1
    return (*carried, *_stacked(scanned, body, 1 + len(carried)))


@op("Scan", since=9)
def scan(
    *initial_state_and_scan_inputs: Array,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: tuple[int, ...] | None = None,
    scan_input_directions: tuple[int, ...] | None = None,
    scan_output_axes: tuple[int, ...] | None = None,
    scan_output_directions: tuple[int, ...] | None = None,
) -> tuple[Any, ...]:
    """The final states, then the scan outputs, of ``body`` run over the slices of the scan inputs.

    The last ``num_scan_inputs`` inputs are sliced along their axes (default 0), from the end where
    the direction is 1; the scan outputs are stacked likewise.

    Raises ValueError for scan inputs of different lengths and for axes that do not exist.

    >>> def running(total, x): return total + x, total + x
    >>> scan(np.array([0]), np.array([1, 2, 3]), body=running, num_scan_inputs=1)[0]
    array([6])

    Spec: Scan-25.
    """
    count = _states(initial_state_and_scan_inputs, num_scan_inputs)
    states, scanned = initial_state_and_scan_inputs[:count], initial_state_and_scan_inputs[count:]
    columns = [
        np.moveaxis(x, axis_in(axis, x.ndim), 0)[::step]
        for x, axis, step in _ways(scanned, scan_input_axes, scan_input_directions)
    ]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"the scan inputs have lengths {[len(column) for column in columns]}")
    turns: list[tuple[Array, ...]] = []
    for slices in zip(*columns, strict=True):
        turn()
        results = body(*states, *(np.asarray(s) for s in slices))
        states, outputs = results[:count], results[count:]
        turns.append(outputs)
    stacked = _stacked(turns, body, count)
    return *states, *(
        np.moveaxis(y[::step], 0, axis_in(axis, y.ndim))
        for y, axis, step in _ways(stacked, scan_output_axes, scan_output_directions)
    )


@op("Scan", since=8)
def scan_8(
    sequence_lens: Array | None = None,
    /,
    *initial_state_and_scan_inputs: Array,
    body: Body,
    directions: tuple[int, ...] | None = None,
    num_scan_inputs: int,
) -> tuple[Any, ...]:
    """Scan over axis 1 for each entry of a batch (axis 0).

    Scan outputs of entries shorter than the longest (``sequence_lens``) are padded with zeros.
    Raises ValueError as Scan does.

    >>> def running(total, x): return total + x, total + x
    >>> scan_8(None, np.array([0]), np.array([[1, 2, 3]]), body=running, num_scan_inputs=1)
    (array([6]), array([[1, 3, 6]]))

    Spec: Scan-8.
    """
    count = _states(initial_state_and_scan_inputs, num_scan_inputs)
    batch, longest = initial_state_and_scan_inputs[-1].shape[:2]
    lengths = [longest] * batch if sequence_lens is None else sequence_lens.tolist()
    entries = []
    for b, length in enumerate(lengths):
        states = (x[b] for x in initial_state_and_scan_inputs[:count])
        scanned = (x[b, :length] for x in initial_state_and_scan_inputs[count:])
        results = scan(
            *states, *scanned, body=body, num_scan_inputs=num_scan_inputs,
            scan_input_directions=directions,
        )  # fmt: skip
        padded = [
            np.pad(y, [(0, longest - length)] + [(0, 0)] * (y.ndim - 1)) for y in results[count:]
        ]
        entries.append((*results[:count], *padded))
    return tuple(np.stack(column) for column in zip(*entries, strict=True))


def _ways(
    arrays: Sequence[Array], axes: Sequence[int] | None, directions: Sequence[int] | None
) -> Iterator[tuple[Array, int, int]]:
    """Each array with the axis along which it is scanned and the step: -1 if from the end."""
    steps = [-1 if backwards else 1 for backwards in directions or (0,) * len(arrays)]
    return zip(arrays, axes or (0,) * len(arrays), steps, strict=True)


def _stacked(turns: Sequence[tuple[Array, ...]], body: Body, first: int) -> list[Array]:
    """The scan outputs of all turns, stacked; those of ``body`` begin at its output ``first``."""
    if turns:
        return [np.stack(column) for column in zip(*turns, strict=True)]
    return [_nothing(body, k) for k in range(first, len(body.outputs))]


def _states(inputs: tuple[Array, ...], scanned: int) -> int:
    """How many of the inputs are states."""
    if not 0 < scanned <= len(inputs):
        raise ValueError(f"{scanned} scan inputs among {len(inputs)} inputs")
    return len(inputs) - scanned


def _truth(cond: Array) -> bool:
    if cond.dtype != bool or cond.size != 1:
        raise TypeError(f"a condition is one bool, not {cond.dtype} of shape {cond.shape}")
    return bool(cond.reshape(()))


def _declared_rank(body: Body, place: int) -> int:
    """The number of axes of an input; a Python function declares nothing."""
    declared = getattr(body, "inputs", None)
    return len(declared[place][1]) if declared and declared[place] else 0


def _nothing(body: Body, output: int) -> Array:
    """A scan output after no iteration: no slices, of the type that the body declares."""
    declared = body.outputs[output]
    dtype, shape = declared or (np.dtype(np.float32), ())
    return np.zeros((0, *(n or 0 for n in shape)), dtype)
