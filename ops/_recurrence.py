"""What RNN, GRU and LSTM share: running a cell over sequences, and the cells' activations.

The cell of the LSTM is here, too, as its quantized form shares it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from . import activation
from ._budget import reserve, turn
from ._checks import one_type
from ._typing import Array

Cell: TypeAlias = Callable[..., tuple[Array, ...]]
"""From a direction, its projected input at one time step and its states to its next states."""
Activation: TypeAlias = Callable[[Array], Array]

# Each function of the standard with the defaults of its alpha and beta, if it has them.
_ACTIVATIONS: dict[str, tuple[Callable[..., Array], dict[str, float]]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, {"alpha": 1.0, "beta": 0.0}),
    "elu": (activation.elu, {"alpha": 1.0}),
    "hardsigmoid": (activation.hard_sigmoid, {"alpha": 0.2, "beta": 0.5}),
    "leakyrelu": (activation.leaky_relu, {"alpha": 0.01}),
    "relu": (activation.relu, {}),
    "scaledtanh": (lambda x, alpha, beta: alpha * np.tanh(beta * x), {"alpha": 1.0, "beta": 1.0}),
    "sigmoid": (activation.sigmoid, {}),
    "softplus": (activation.softplus, {}),
    "softsign": (activation.softsign, {}),
    "tanh": (np.tanh, {}),
    "thresholdedrelu": (activation.thresholded_relu, {"alpha": 1.0}),
}


def activations(
    names: Sequence[str],
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
    clip: float | None,
) -> list[Activation]:
    """The functions of these names, each taking its alpha and beta from the front of the lists.

    With ``clip`` their inputs are clipped to [-clip, clip]. Raises ValueError for an unknown name.

    >>> first, second = activations(["Tanh", "Affine"], [2.0], [1.0], None)
    >>> second(np.array([3.0]))
    array([7.])
    """
    left = {"alpha": list(alphas or ()), "beta": list(betas or ())}
    found = []
    for name in names:
        if name.lower() not in _ACTIVATIONS:
            raise ValueError(f"{name!r} is no activation; there are {', '.join(_ACTIVATIONS)}")
        function, defaults = _ACTIVATIONS[name.lower()]
        numbers = {k: left[k].pop(0) if left[k] else default for k, default in defaults.items()}
        found.append(_bound(function, numbers, clip))
    return found


def _bound(
    function: Callable[..., Array], numbers: dict[str, float], clip: float | None
) -> Activation:
    if clip is None:
        return lambda x: function(x, **numbers)
    return lambda x: function(np.clip(x, -clip, clip), **numbers)


@dataclass(frozen=True)
class Layer:
    """A recurrent layer with its sequences, time first."""

    x: Array
    """(time, batch, input)."""
    w: Array
    """(directions, gates * hidden, input)."""
    r: Array
    """(directions, gates * hidden, hidden)."""
    w_bias: Array
    r_bias: Array
    lengths: Array
    backwards: tuple[bool, ...]
    """Whether each direction runs from the end."""
    layout: int

    def activations(
        self,
        names: Sequence[str] | None,
        default: tuple[str, ...],
        alphas: Sequence[float] | None,
        betas: Sequence[float] | None,
        clip: float | None,
    ) -> list[list[Activation]]:
        """The activations of each direction. Raises ValueError for another number of names."""
        each, count = len(default), len(self.backwards)
        functions = activations(names or default * count, alphas, betas, clip)
        if len(functions) != each * count:
            raise ValueError(f"{len(functions)} activations, expected {each} for each direction")
        return [functions[i * each : (i + 1) * each] for i in range(count)]

    def run(self, cell: Cell, *initial: Array | None) -> tuple[Array, ...]:
        """All outputs and the final states, in the layout of the inputs.

        All sequences begin together, each at its own end if they run backwards. Behind the end of
        a sequence its states stay as they are, and its outputs are zero.
        """
        (time, batch, _), hidden = self.x.shape, self.r.shape[2]
        shape = (len(self.backwards), batch, hidden)
        reserve((time, *shape), self.x.dtype)
        y = np.zeros((time, *shape), self.x.dtype)
        finals = [self._initial(state, shape) for state in initial]
        for k, backwards in enumerate(self.backwards):
            inputs = self.from_input(k)
            for step in range(self.lengths.max(initial=0)):
                turn()
                running = np.flatnonzero(step < self.lengths)
                times = self.lengths[running] - 1 - step if backwards else step
                new = cell(k, inputs[times, running], *(state[k, running] for state in finals))
                for state, value in zip(finals, new, strict=True):
                    state[k, running] = value
                y[times, k, running] = new[0]
        if self.layout:
            return y.transpose(2, 0, 1, 3), *(final.swapaxes(0, 1) for final in finals)
        return y, *finals

    def from_input(self, k: int) -> Array:
        """The contribution of X to the gates of direction k: (time, batch, gates * hidden)."""
        return np.asarray(self.x @ self.w[k].T + self.w_bias[k])

    def from_state(self, k: int, h: Array) -> Array:
        """The contribution of the states (batch, hidden) to the gates of direction k."""
        return np.asarray(h @ self.r[k].T + self.r_bias[k])

    def _initial(self, state: Array | None, shape: tuple[int, ...]) -> Array:
        if state is None:
            return np.zeros(shape, self.x.dtype)
        state = state.swapaxes(0, 1) if self.layout else state
        if state.shape != shape:
            raise ValueError(f"an initial state has shape {state.shape}, expected {shape}")
        return state.copy()


def layer(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None,
    sequence_lens: Array | None,
    *,
    gates: int,
    direction: str,
    hidden_size: int | None,
    layout: int,
) -> Layer:
    """A layer whose cells have ``gates`` gates. Raises ValueError for shapes that do not fit."""
    orders = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    if direction not in orders:
        raise ValueError(f"direction is one of {', '.join(orders)}, not {direction!r}")
    x = x.swapaxes(0, 1) if layout else x
    count, hidden = len(orders[direction]), r.shape[-1]
    rows = gates * hidden
    if w.shape != (count, rows, x.shape[2]) or r.shape != (count, rows, hidden):
        raise ValueError(f"W {w.shape} and R {r.shape} do not fit X {x.shape}, {direction}")
    bias = np.zeros((count, 2 * rows), x.dtype) if b is None else b
    one_type(x, bias)
    if bias.shape != (count, 2 * rows) or hidden_size not in (None, hidden):
        raise ValueError(f"B {bias.shape} or hidden_size {hidden_size} does not fit R {r.shape}")
    time, batch = x.shape[:2]
    lengths = np.full(batch, time) if sequence_lens is None else sequence_lens
    if lengths.shape != (batch,) or ((lengths < 0) | (lengths > time)).any():
        raise ValueError(f"sequence_lens {lengths.tolist()[:9]} for {batch} sequences up to {time}")
    return Layer(x, w, r, bias[:, :rows], bias[:, rows:], lengths, orders[direction], layout)


def run_lstm(
    cells: Layer,
    functions: Sequence[Sequence[Activation]],
    p: Array | None,
    initial_h: Array | None,
    initial_c: Array | None,
    input_forget: int,
) -> tuple[Array, ...]:
    """All outputs and the final states of an LSTM. Raises ValueError for peepholes that do not fit.

    ``p`` (directions, 3 * hidden) are the peepholes of the gates i, o and f.
    """
    shape = (len(cells.backwards), 3 * cells.r.shape[2])
    peepholes = np.zeros(shape, cells.x.dtype) if p is None else p
    one_type(cells.x, peepholes)
    if peepholes.shape != shape:
        raise ValueError(f"P has shape {peepholes.shape}, expected {shape}")

    def cell(k: int, x: Array, h: Array, c: Array) -> tuple[Array, ...]:
        f, g, out = functions[k]
        xi, xo, xf, xc = np.split(x + cells.from_state(k, h), 4, axis=-1)
        pi, po, pf = np.split(peepholes[k], 3)
        i = f(xi + pi * c)
        forget = 1 - i if input_forget else f(xf + pf * c)
        new = forget * c + i * g(xc)
        return f(xo + po * new) * out(new), new

    return cells.run(cell, initial_h, initial_c)
