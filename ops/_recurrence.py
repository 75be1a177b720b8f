"""What RNN, GRU and LSTM share: running a cell over sequences, and the cells' activations.

The cell of the LSTM is here, too, as its quantized form shares it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from . import activation
from ._budget import reserve, turn
from ._checks import one_type
from ._typing import Array

Cell: TypeAlias = Callable[..., tuple[Array, ...]]
"""From a direction, its projected input at one time step and its states to its next states."""
Activation: TypeAlias = Callable[[Array], Array]
Product: TypeAlias = Callable[[Array], Array]
"""From (..., inner) to (..., columns)."""


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # 1 / infinity is right
        return np.asarray(1 / (1 + np.exp(-x)))


# Each function of the standard with the defaults of its alpha and beta, if it has them.
_ACTIVATIONS: dict[str, tuple[Callable[..., Array], dict[str, float]]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, {"alpha": 1.0, "beta": 0.0}),
    "elu": (activation.elu, {"alpha": 1.0}),
    "hardsigmoid": (activation.hard_sigmoid, {"alpha": 0.2, "beta": 0.5}),
    "leakyrelu": (activation.leaky_relu, {"alpha": 0.01}),
    "relu": (activation.relu, {}),
    "scaledtanh": (lambda x, alpha, beta: alpha * np.tanh(beta * x), {"alpha": 1.0, "beta": 1.0}),
    "sigmoid": (_sigmoid, {}),
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
class Weights:
    """W or R as products, made once for all time steps, or for many runs.

    The operators take it in the place of the array (directions, gates * hidden, inner).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    products: tuple[tuple[Product, ...], ...]
    """For each direction, from (..., inner) to the first gates, then to those behind them."""


def weights(w: Array, parts: Sequence[int], product: Callable[[Array], Product]) -> Weights:
    """The weights with so many gates in each product, which ``product`` makes of (inner, gates)."""
    cuts = (_split(matrix.T, parts) for matrix in w)
    return Weights(w.shape, w.dtype, tuple(tuple(map(product, cut)) for cut in cuts))


def _split(x: Array, parts: Sequence[int]) -> list[Array]:
    """Parts of the last axis, which has so many gates in each of them."""
    return np.split(x, np.cumsum(parts)[:-1] * (x.shape[-1] // sum(parts)), axis=-1)


def parted(x: Array, count: int) -> Array:
    """The gates in the last axis of (batch, count * hidden): (count, batch, hidden)."""
    return x.reshape(len(x), count, -1).swapaxes(0, 1)


def _product(matrix: Array) -> Product:
    straight = np.ascontiguousarray(matrix)  # a transposed one would be copied by each product
    return lambda x: np.asarray(x @ straight)


@dataclass(frozen=True)
class Layer:
    """A recurrent layer with its sequences, time first."""

    x: Array
    """(time, batch, input)."""
    w: Weights
    r: Weights
    w_bias: Array
    """(directions, gates * hidden)."""
    r_bias: Sequence[Array]
    """For each part of R, (directions, gates * hidden)."""
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
        order = np.argsort(-self.lengths, kind="stable")
        running = np.count_nonzero(self.lengths > np.arange(self.longest)[:, None], axis=1)
        for k in range(len(self.backwards)):
            places = self._places(k, order)
            inputs, states = self.from_input(k)[places], [final[k, order] for final in finals]
            outputs = np.zeros((self.longest, batch, hidden), self.x.dtype)
            for step, count in enumerate(running.tolist()):
                turn()
                new = cell(k, inputs[step, :count], *(state[:count] for state in states))
                outputs[step, :count] = new[0]
                for state, value in zip(states, new, strict=True):
                    state[:count] = value
            y[: self.longest, k][places] = outputs
            for final, state in zip(finals, states, strict=True):
                final[k, order] = state
        if self.layout:
            return y.transpose(2, 0, 1, 3), *(final.swapaxes(0, 1) for final in finals)
        return y, *finals

    @property
    def longest(self) -> int:
        """The length of the longest sequence."""
        return int(self.lengths.max(initial=0))

    def _places(self, k: int, order: Array) -> Any:
        """For each step, at which times and in which sequences direction k is, in this order.

        The order is that of the lengths: those that still run are the first ones.
        """
        if (self.lengths == self.longest).all():
            return slice(None, None, -1 if self.backwards[k] else 1)
        steps, ends = np.arange(self.longest)[:, None], self.lengths[order]
        turned = np.where(steps < ends, ends - 1 - steps, steps)
        return turned if self.backwards[k] else steps, order

    def from_input(self, k: int) -> Array:
        """The contribution of X to the gates of direction k: (longest, batch, gates * hidden)."""
        ((product,), bias) = self.w.products[k], self.w_bias[k]
        return product(self.x[: self.longest]) + bias

    def from_state(self, k: int, h: Array, part: int = 0) -> Array:
        """The contribution of states (batch, hidden) to a part of the gates of direction k."""
        return self.r.products[k][part](h) + self.r_bias[part][k]

    def _initial(self, state: Array | None, shape: tuple[int, ...]) -> Array:
        if state is None:
            return np.zeros(shape, self.x.dtype)
        state = state.swapaxes(0, 1) if self.layout else state
        if state.shape != shape:
            raise ValueError(f"an initial state has shape {state.shape}, expected {shape}")
        return state.copy()


def layer(
    x: Array,
    w: Array | Weights,
    r: Array | Weights,
    b: Array | None,
    sequence_lens: Array | None,
    *,
    gates: tuple[int, ...],
    direction: str,
    hidden_size: int | None,
    layout: int,
) -> Layer:
    """A layer whose states make so many gates in each product. Raises ValueError for wrong shapes.

    Raises TypeError for different dtypes of X and B.
    """
    orders = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    if direction not in orders:
        raise ValueError(f"direction is one of {', '.join(orders)}, not {direction!r}")
    x = x.swapaxes(0, 1) if layout else x
    count, hidden = len(orders[direction]), r.shape[-1]
    rows = sum(gates) * hidden
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
    return Layer(
        x=x,
        w=w if isinstance(w, Weights) else weights(w, (sum(gates),), _product),
        r=r if isinstance(r, Weights) else weights(r, gates, _product),
        w_bias=bias[:, :rows],
        r_bias=_split(bias[:, rows:], gates),
        lengths=lengths,
        backwards=orders[direction],
        layout=layout,
    )


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
    if p is not None:
        one_type(cells.x, p)
        if p.shape != shape:
            raise ValueError(f"P has shape {p.shape}, expected {shape}")

    def cell(k: int, x: Array, h: Array, c: Array) -> tuple[Array, ...]:
        (f, g, out), hidden = functions[k], h.shape[1]
        x = x + cells.from_state(k, h)
        if p is None:
            i, o, forget = parted(f(x[:, :-hidden]), 3)
        else:
            (xi, xo, xf), (pi, po, pf) = parted(x[:, :-hidden], 3), parted(p, 3)[:, k]
            i, forget = f(xi + pi * c), f(xf + pf * c)
        new = (1 - i if input_forget else forget) * c + i * g(x[:, -hidden:])
        if p is not None:
            o = f(xo + po * new)
        return o * out(new), new

    return cells.run(cell, initial_h, initial_c)
