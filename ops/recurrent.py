"""Recurrent neural network layers.

X is (time, batch, input), W (directions, gates * hidden, input), R (directions, gates * hidden,
hidden), B (directions, 2 * gates * hidden) with the bias of W, then that of R. ``direction`` is
"forward", "reverse" or "bidirectional"; with ``layout=1`` batch comes before time and directions.
"""

from __future__ import annotations

from typing import NamedTuple

from ._checks import one_type
from ._recurrence import Product as Product
from ._recurrence import Weights as Weights
from ._recurrence import layer, parted, run_lstm
from ._recurrence import weights as weights
from ._registry import op
from ._typing import Array


class Recurrent(NamedTuple):
    """What RNN and GRU return: all states (time, directions, batch, hidden), and the last ones."""

    y: Array
    y_h: Array


@op("RNN", since=7, rounds=True)
def rnn(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Recurrent:
    """``H = f(X W' + H R' + B)`` at each time step.

    ``sequence_lens`` (int32) has the length of each sequence; outputs behind it are 0. ``clip``
    bounds the input of ``f``, by default Tanh. Raises ValueError for shapes, lengths and attributes
    that do not fit, TypeError for different dtypes.

    >>> import numpy as np
    >>> one = np.ones((1, 1, 1))
    >>> rnn(np.ones((3, 1, 1)), one, one, activations=("Relu",)).y.ravel()
    array([1., 2., 3.])

    Spec: RNN-22.
    """
    one_type(x, w, r)
    cells = layer(
        x, w, r, b, sequence_lens,
        gates=(1,), direction=direction, hidden_size=hidden_size, layout=layout,
    )  # fmt: skip
    # The default lists a second activation for a second direction.
    names = activations[: len(cells.backwards)]
    functions = cells.activations(names, ("Tanh",), activation_alpha, activation_beta, clip)

    def cell(k: int, x: Array, h: Array) -> tuple[Array, ...]:
        (f,) = functions[k]
        return (f(x + cells.from_state(k, h)),)

    return Recurrent(*cells.run(cell, initial_h))


@op("GRU", since=7, rounds=True)
def gru(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Recurrent:
    """``H = (1 - z) g(X W' + (r H) R' + B) + z H`` at each time step, with the gates z and r.

    The gates are computed with ``f`` and stored in the order z, r, h. ``linear_before_reset``
    multiplies by r after R' and its bias. ``activations`` are f and g, by default Sigmoid and Tanh;
    ``clip`` bounds their inputs. ``sequence_lens`` (int32) has the length of each sequence; outputs
    behind it are 0. Raises ValueError for shapes, lengths and attributes that do not fit, TypeError
    for different dtypes.

    >>> import numpy as np
    >>> gru(np.ones((2, 1, 1)), np.zeros((1, 3, 1)), np.zeros((1, 3, 1)), None, None,
    ...     np.ones((1, 1, 1))).y.ravel()
    array([0.5 , 0.25])

    Spec: GRU-22; Cho et al. 2014.
    """
    one_type(x, w, r)
    cells = layer(
        x, w, r, b, sequence_lens,
        gates=(2, 1), direction=direction, hidden_size=hidden_size, layout=layout,
    )  # fmt: skip
    functions = cells.activations(
        activations, ("Sigmoid", "Tanh"), activation_alpha, activation_beta, clip
    )

    def cell(k: int, x: Array, h: Array) -> tuple[Array, ...]:
        (f, g), hidden = functions[k], h.shape[1]
        z, r = parted(f(x[:, :-hidden] + cells.from_state(k, h)), 2)
        if linear_before_reset:
            candidate = g(x[:, -hidden:] + r * cells.from_state(k, h, 1))
        else:
            candidate = g(x[:, -hidden:] + cells.from_state(k, r * h, 1))
        return ((1 - z) * candidate + z * h,)

    return Recurrent(*cells.run(cell, initial_h))


class LSTM(NamedTuple):
    """What LSTM returns: all states H (time, directions, batch, hidden), the last H and C."""

    y: Array
    y_h: Array
    y_c: Array


@op("LSTM", since=7, rounds=True)
def lstm(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    p: Array | None = None,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> LSTM:
    """``C = f C + i g(X W' + H R' + B)`` and ``H = o h(C)`` at each time step, with gates i, o, f.

    The gates are stored in the order i, o, f, c; the peepholes ``P`` (directions, 3 * hidden) add
    the cell state to i, o and f. ``input_forget`` couples the gates: f is ``1 - i``.
    ``activations`` are f, g and h, by default Sigmoid, Tanh and Tanh; ``clip`` bounds their inputs.
    ``sequence_lens`` (int32) has the length of each sequence; outputs behind it are 0. Raises
    ValueError for shapes, lengths and attributes that do not fit, TypeError for different dtypes.

    >>> import numpy as np
    >>> lstm(np.ones((2, 1, 1)), np.zeros((1, 4, 1)), np.zeros((1, 4, 1)), None, None, None,
    ...      np.ones((1, 1, 1))).y_c.ravel()
    array([0.25])

    Spec: LSTM-22; Hochreiter and Schmidhuber 1997, Gers et al. 2002.
    """
    one_type(x, w, r)
    cells = layer(
        x, w, r, b, sequence_lens,
        gates=(4,), direction=direction, hidden_size=hidden_size, layout=layout,
    )  # fmt: skip
    functions = cells.activations(
        activations, ("Sigmoid", "Tanh", "Tanh"), activation_alpha, activation_beta, clip
    )
    return LSTM(*run_lstm(cells, functions, p, initial_h, initial_c, input_forget))


@op("RNN", since=1, rounds=True)
def rnn_1(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    output_sequence: int = 0,
) -> Recurrent:
    """RNN as of opset 7, with all outputs, whatever ``output_sequence`` is.

    Raises ValueError for shapes, lengths and attributes that do not fit, TypeError for different
    dtypes.

    >>> import numpy as np
    >>> one = np.ones((1, 1, 1))
    >>> rnn_1(np.ones((3, 1, 1)), one, one, activations=("Relu",)).y_h.ravel()
    array([3.])

    Spec: RNN-1.
    """
    return rnn(
        x, w, r, b, sequence_lens, initial_h,
        activation_alpha=activation_alpha, activation_beta=activation_beta,
        activations=activations, clip=clip, direction=direction, hidden_size=hidden_size,
    )  # fmt: skip


@op("GRU", since=3, rounds=True)
def gru_3(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    linear_before_reset: int = 0,
    output_sequence: int = 0,
) -> Recurrent:
    """GRU as of opset 7, with all outputs, whatever ``output_sequence`` is.

    Raises ValueError for shapes, lengths and attributes that do not fit, TypeError for different
    dtypes.

    >>> import numpy as np
    >>> gru_3(np.ones((2, 1, 1)), np.zeros((1, 3, 1)), np.zeros((1, 3, 1))).y_h.ravel()
    array([0.])

    Spec: GRU-3.
    """
    return gru(
        x, w, r, b, sequence_lens, initial_h,
        activation_alpha=activation_alpha, activation_beta=activation_beta,
        activations=activations, clip=clip, direction=direction, hidden_size=hidden_size,
        linear_before_reset=linear_before_reset,
    )  # fmt: skip


@op("LSTM", since=1, rounds=True)
def lstm_1(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    p: Array | None = None,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    output_sequence: int = 0,
) -> LSTM:
    """LSTM as of opset 7, with all outputs, whatever ``output_sequence`` is.

    Raises ValueError for shapes, lengths and attributes that do not fit, TypeError for different
    dtypes.

    >>> import numpy as np
    >>> lstm_1(np.ones((2, 1, 1)), np.zeros((1, 4, 1)), np.zeros((1, 4, 1))).y_h.ravel()
    array([0.])

    Spec: LSTM-1.
    """
    return lstm(
        x, w, r, b, sequence_lens, initial_h, initial_c, p,
        activation_alpha=activation_alpha, activation_beta=activation_beta,
        activations=activations, clip=clip, direction=direction, hidden_size=hidden_size,
        input_forget=input_forget,
    )  # fmt: skip
