"""The LSTM with 8-bit weights."""

from __future__ import annotations

from dataclasses import dataclass

from .._checks import one_type
from .._recurrence import Layer, layer, run_lstm
from .._registry import op
from .._typing import Array
from ..recurrent import LSTM
from .quantized import dynamic_quantize_matmul


@dataclass(frozen=True)
class _QuantizedLayer(Layer):
    """A layer whose products quantize their left side, with one scale for all running sequences."""

    w_scale: Array
    w_zero_point: Array
    r_scale: Array
    r_zero_point: Array

    def from_input(self, k: int) -> Array:
        used, one = self.x[: self.lengths.max(initial=0)], slice(k, k + 1)
        return dynamic_quantize_matmul(
            used, self.w[k].T, self.w_scale[one], self.w_zero_point[one], self.w_bias[k]
        )

    def from_state(self, k: int, h: Array) -> Array:
        one = slice(k, k + 1)
        return dynamic_quantize_matmul(
            h, self.r[k].T, self.r_scale[one], self.r_zero_point[one], self.r_bias[k]
        )


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
    one_type(w, w_zero_point)
    one_type(r, r_zero_point)
    cells = layer(
        x, w.swapaxes(1, 2), r.swapaxes(1, 2), b, sequence_lens,
        gates=4, direction=direction, hidden_size=hidden_size, layout=0,
    )  # fmt: skip
    functions = cells.activations(
        activations, ("Sigmoid", "Tanh", "Tanh"), activation_alpha, activation_beta, clip
    )
    quantized = _QuantizedLayer(
        **vars(cells), w_scale=w_scale, w_zero_point=w_zero_point,
        r_scale=r_scale, r_zero_point=r_zero_point,
    )  # fmt: skip
    return LSTM(*run_lstm(quantized, functions, p, initial_h, initial_c, input_forget))
