"""The LSTM with 8-bit weights."""

from __future__ import annotations

from .._checks import one_type
from .._recurrence import Product, Weights, layer, run_lstm
from .._registry import op
from .._typing import Array
from ..recurrent import LSTM
from .quantized import dynamic_quantize_matmul


def _quantized(w: Array | Weights, scale: Array, zero_point: Array) -> Weights:
    """Weights (directions, inner, gates) whose products quantize what they are given."""
    if isinstance(w, Weights):
        return w
    one_type(w, zero_point)

    def product(k: int) -> Product:
        one = slice(k, k + 1)
        return lambda x: dynamic_quantize_matmul(x, w[k], scale[one], zero_point[one])

    count, inner, gates = w.shape
    return Weights((count, gates, inner), w.dtype, tuple((product(k),) for k in range(count)))


@op("DynamicQuantizeLSTM", since=1, domain="com.microsoft")
def dynamic_quantize_lstm(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None,
    sequence_lens: Array | None,
    initial_h: Array | None,
    initial_c: Array | None,
    p: Array | None,
    w_scale: Array,
    w_zero_point: Array,
    r_scale: Array,
    r_zero_point: Array,
    /,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
) -> LSTM:
    """The LSTM with DynamicQuantizeMatMul for its products: X with W, and the states with R.

    W is int8 or uint8 (directions, input, 4 * hidden) and R (directions, hidden, 4 * hidden),
    transposed with respect to LSTM. Their scales and zero points are (directions,) or (directions,
    4 * hidden). X has one scale, and so have, at each time step, the states of all running
    sequences: the results of a sequence depend on the rest of the batch. Raises ValueError for
    shapes and attributes that do not fit, TypeError for other dtypes.

    >>> import numpy as np
    >>> w, one, zero = np.zeros((1, 1, 4), np.uint8), np.float32([1]), np.uint8([0])
    >>> x, none = np.ones((2, 1, 1), np.float32), None
    >>> dynamic_quantize_lstm(x, w, w, none, none, none, np.float32([[[1]]]), none,
    ...                       one, zero, one, zero).y_c.ravel()
    array([0.25], dtype=float32)

    Spec: com.microsoft.DynamicQuantizeLSTM-1.
    """
    cells = layer(
        x, _quantized(w, w_scale, w_zero_point), _quantized(r, r_scale, r_zero_point), b,
        sequence_lens, gates=(4,), direction=direction, hidden_size=hidden_size, layout=0,
    )  # fmt: skip
    functions = cells.activations(
        activations, ("Sigmoid", "Tanh", "Tanh"), activation_alpha, activation_beta, clip
    )
    return LSTM(*run_lstm(cells, functions, p, initial_h, initial_c, input_forget))
