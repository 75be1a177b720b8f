"""The operators that a line of exact arithmetic defines.

Each formula takes object arrays of Python integers or of mpmath's numbers, the attributes by name,
and knows nothing of rounding: who calls it rounds the result once, to the operator's type.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Formula: TypeAlias = Callable[..., Any]


def each(function: Callable[..., Any]) -> Formula:
    """A function of numbers as a function of arrays, which broadcast."""

    def formula(*arrays: Array, **attributes: Any) -> Any:
        call = functools.partial(function, **attributes)
        return np.frompyfunc(call, len(arrays), 1)(*arrays)

    return formula


def folded(function: Callable[[Any, Any], Any]) -> Formula:
    """A function of two numbers as a function of any number of arrays."""
    pair = each(function)
    return lambda *arrays: functools.reduce(pair, arrays)


def by_c_rules(a: Any, b: Any) -> tuple[Any, Any]:
    """Quotient, truncated, and remainder, which has the sign of ``a``."""
    if isinstance(a, int):
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    else:
        quotient = mpf(int(a / b))
    return quotient, a - b * quotient


def divide(a: Any, b: Any) -> Any:
    if isinstance(a, int):
        return by_c_rules(a, b)[0]
    if b != 0:
        return a / b
    return mp.nan if a == 0 or mp.isnan(a) else mp.sign(a) * mp.inf


def remainder(a: Any, b: Any, fmod: int) -> Any:
    return by_c_rules(a, b)[1] if fmod else a % b


def power(x: Any, y: Any) -> Any:
    if isinstance(x, int) and isinstance(y, int) and y >= 0:
        return x**y
    return mp.power(x, y)


def larger(a: Any, b: Any) -> Any:
    return next((v for v in (a, b) if v != v), max(a, b))


def smaller(a: Any, b: Any) -> Any:
    return next((v for v in (a, b) if v != v), min(a, b))


def sign(x: Any) -> Any:
    return x if x != x else (x > 0) - (x < 0)


def clip(x: Array, low: Array | None = None, high: Array | None = None, **bounds: Any) -> Any:
    low, high = bounds.get("min", low), bounds.get("max", high)  # attributes before opset 11
    x = x if low is None else each(larger)(x, low)
    return x if high is None else each(smaller)(x, high)


# Activations. Written so that 50 digits suffice wherever the operator has a value at all.


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(x))


def gelu(x: Any, approximate: str) -> Any:
    if approximate == "tanh":  # (1 + tanh z) / 2 is the sigmoid of 2 z
        return x * sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3))
    return x * mp.erfc(-x / mp.sqrt(2)) / 2


def elu(x: Any, alpha: Any) -> Any:
    return alpha * mp.expm1(x) if x < 0 else x


def celu(x: Any, alpha: Any) -> Any:
    return alpha * mp.expm1(x / alpha) if x < 0 else x


def hard_sigmoid(x: Any, alpha: Any, beta: Any) -> Any:
    return smaller(larger(alpha * x + beta, mpf(0)), mpf(1))


def leaky(x: Any, alpha: Any) -> Any:
    return alpha * x if x < 0 else x


def shrink(x: Any, bias: Any, lambd: Any) -> Any:
    if x < -lambd:
        return x + bias
    return x - bias if x > lambd else 0


# Reductions, sums along an axis, products.


def reduction(fold: Callable[..., Any], *, before: Any = None, after: Any = None) -> Formula:
    """``after(fold(before(data), axes))``, the axes being an input or an attribute."""

    def formula(
        data: Array,
        last: Array | None = None,
        *,
        axes: Iterable[int] | None = None,
        keepdims: int,
        noop_with_empty_axes: int = 0,
    ) -> Any:
        named = [int(axis) for axis in (axes or () if last is None else last)]
        over = tuple(named) or (() if noop_with_empty_axes else tuple(range(data.ndim)))
        data = data if before is None else each(before)(data)
        result = fold(data, axis=over, keepdims=bool(keepdims))
        return result if after is None else each(after)(result)

    return formula


def mean(data: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    count = mpf(int(np.prod([data.shape[i] for i in axis])))
    return np.sum(data, axis=axis, keepdims=keepdims) / count


def extreme(choose: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def fold(data: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
        for one in sorted((i % data.ndim for i in axis), reverse=True):
            parts = np.split(data, data.shape[one], one)
            data = functools.reduce(each(choose), parts)
        return data if keepdims else np.squeeze(data, axis)

    return fold


def running(accumulate: Callable[..., Any], start: int) -> Formula:
    def formula(x: Array, axis: Array, *, exclusive: int, reverse: int) -> Any:
        x = np.moveaxis(x, int(axis.reshape(())), 0)
        x = x[::-1] if reverse else x
        x = np.concatenate([np.full_like(x[:1], start), x[:-1]]) if exclusive else x
        total = accumulate(x, axis=0)
        return np.moveaxis(total[::-1] if reverse else total, 0, int(axis.reshape(())))

    return formula


def gemm(
    a: Array, b: Array, c: Array | None = None, *, alpha: Any, beta: Any,
    transA: int, transB: int,  # noqa: N803 (the schema's spelling)
) -> Any:  # fmt: skip
    product = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return product if c is None else product + beta * c


def centred(x: Array, zero_point: Array | None, axis: int) -> Array:
    """``x`` less its zero point, of which there is one, or one for each place along ``axis``."""
    if zero_point is None:
        return x
    along = zero_point.ndim == 1 and zero_point.size > 1 and axis == -2
    return x - (zero_point[:, None] if along else zero_point)


def matmul_integer(
    a: Array, b: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None
) -> Any:
    return centred(a, a_zero_point, -2) @ centred(b, b_zero_point, -1)


def padding(
    size: Sequence[int], spans: Sequence[int], strides: Sequence[int], auto_pad: str
) -> list[int]:
    """The pads, first those in front, that ``SAME_UPPER`` and ``SAME_LOWER`` stand for."""
    missing = [
        max((-(-n // step) - 1) * step + span - n, 0) if "SAME" in auto_pad else 0
        for n, span, step in zip(size, spans, strides, strict=True)
    ]
    front = [m - m // 2 if auto_pad == "SAME_LOWER" else m // 2 for m in missing]
    return [*front, *(m - f for m, f in zip(missing, front, strict=True))]


def conv(
    x: Array, w: Array, b: Array | None = None, *, auto_pad: str = "NOTSET", group: int = 1,
    dilations: Sequence[int] | None = None, kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Any:  # fmt: skip
    rank, filters, depth = x.ndim - 2, len(w), w.shape[1]
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    pads = pads or padding(x.shape[2:], spans, strides, auto_pad)
    widths = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    x = np.pad(x, widths, constant_values=0)
    sizes = zip(x.shape[2:], spans, strides, strict=True)
    y = np.empty((len(x), filters, *((n - span) // step + 1 for n, span, step in sizes)), object)
    for n, f, *place in np.ndindex(y.shape):
        first = f // (filters // group) * depth
        begins = [p * step for p, step in zip(place, strides, strict=True)]
        cuts = [slice(i, i + s, d) for i, s, d in zip(begins, spans, dilations, strict=True)]
        window = x[(n, slice(first, first + depth), *cuts)]
        y[(n, f, *place)] = (window * w[f]).sum() + (0 if b is None else b[f])
    return y


def conv_integer(
    x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None, **attributes: Any
) -> Any:
    x = x if x_zero is None else x - x_zero.item()
    w = w if w_zero is None else w - w_zero.reshape(-1, *[1] * (w.ndim - 1))
    return conv(x, w, **attributes)


def qlinear_conv(
    x: Array, x_scale: Array, x_zero: Array, w: Array, w_scale: Array, w_zero: Array,
    y_scale: Array, y_zero: Array, b: Array | None = None, **attributes: Any,
) -> Any:  # fmt: skip
    total = conv_integer(x, w, x_zero, w_zero, **attributes)
    by_filter = [1, -1, *[1] * (x.ndim - 2)]
    total = total if b is None else total + b.reshape(by_filter)
    scaled = total * x_scale.item() * w_scale.reshape(by_filter) / y_scale.item()
    return each(lambda v: min(max(int(mp.nint(v)) + y_zero.item(), 0), 255))(scaled)  # of uint8


def range_(start: Array, limit: Array, delta: Array, stash_type: int = 1) -> Any:
    first, end, step = (x.item() for x in (start, limit, delta))
    count = max(int(mp.ceil((end - first) / mpf(step))), 0)
    return np.array([first + i * step for i in range(count)], object)


FORMULAS: dict[str, Formula] = {
    "Abs": each(abs),
    "Acos": each(mp.acos),
    "Acosh": each(mp.acosh),
    "Add": each(operator.add),
    "Asin": each(mp.asin),
    "Asinh": each(mp.asinh),
    "Atan": each(mp.atan),
    "Atanh": each(mp.atanh),
    "Bernoulli": lambda p: p,  # of 0 and 1; onnxruntime draws 1 with the probability of 0
    "BitShift": lambda x, y, direction: x << y if direction == "LEFT" else x >> y,
    "BitwiseAnd": each(operator.and_),
    "BitwiseNot": each(operator.invert),
    "BitwiseOr": each(operator.or_),
    "BitwiseXor": each(operator.xor),
    "Ceil": each(mp.ceil),
    "Celu": each(celu),
    "Clip": clip,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "Cos": each(mp.cos),
    "Cosh": each(mp.cosh),
    "CumProd": running(np.cumprod, 1),
    "CumSum": running(np.cumsum, 0),
    "Div": each(divide),
    "Einsum": lambda *x, equation: np.einsum(equation.replace(" ", ""), *x),
    "Elu": each(elu),
    "Equal": each(operator.eq),
    "Erf": each(mp.erf),
    "Exp": each(mp.exp),
    "Floor": each(mp.floor),
    "Gelu": each(gelu),
    "Gemm": gemm,
    "Greater": each(operator.gt),
    "GreaterOrEqual": each(operator.ge),
    "HardSigmoid": each(hard_sigmoid),
    "HardSwish": each(lambda x: x * hard_sigmoid(x, 1 / mpf(6), mpf("0.5"))),
    "LeakyRelu": each(leaky),
    "Less": each(operator.lt),
    "LessOrEqual": each(operator.le),
    "Log": each(mp.log),
    "MatMul": operator.matmul,
    "MatMulInteger": matmul_integer,
    "Max": folded(larger),
    "Mean": lambda *x: functools.reduce(each(operator.add), x) / mpf(len(x)),
    "Min": folded(smaller),
    "Mish": each(lambda x: x * mp.tanh(softplus(x))),
    "Mod": each(remainder),
    "Mul": each(operator.mul),
    "Neg": each(operator.neg),
    "PRelu": each(leaky),
    "Pow": each(power),
    "QLinearConv": qlinear_conv,
    "Range": range_,
    "Reciprocal": each(lambda x: divide(mpf(1), x)),
    "ReduceL1": reduction(np.sum, before=abs),
    "ReduceL2": reduction(np.sum, before=lambda x: x * x, after=mp.sqrt),
    "ReduceLogSum": reduction(np.sum, after=mp.log),
    "ReduceLogSumExp": reduction(np.sum, before=mp.exp, after=mp.log),
    "ReduceMax": reduction(extreme(larger)),
    "ReduceMean": reduction(mean),
    "ReduceMin": reduction(extreme(smaller)),
    "ReduceProd": reduction(np.prod),
    "ReduceSum": reduction(np.sum),
    "ReduceSumSquare": reduction(np.sum, before=lambda x: x * x),
    "Relu": each(lambda x: larger(x, 0)),
    "Round": each(mp.nint),
    "Selu": each(lambda x, alpha, gamma: gamma * elu(x, alpha)),
    "Shrink": each(shrink),
    "Sigmoid": each(sigmoid),
    "Sign": each(sign),
    "Sin": each(mp.sin),
    "Sinh": each(mp.sinh),
    "Softplus": each(softplus),
    "Softsign": each(lambda x: x / (1 + abs(x))),
    "Sqrt": each(mp.sqrt),
    "Sub": each(operator.sub),
    "Sum": folded(operator.add),
    "SwiGLU": each(lambda a, b, alpha: a * sigmoid(alpha * a) * b),
    "Swish": each(lambda x, alpha: x * sigmoid(alpha * x)),
    "Tan": each(mp.tan),
    "Tanh": each(mp.tanh),
    "ThresholdedRelu": each(lambda x, alpha: x if x > alpha else 0),
}

UNDEFINED_FOR_NOTHING = {"ReduceMax", "ReduceMin"}
"""What the least of no numbers is depends on their type."""

RESULT_TYPES: dict[str, tuple[str | None, ...]] = {
    "ConvInteger": ("int32",),
    "Equal": ("bool",),
    "Greater": ("bool",),
    "GreaterOrEqual": ("bool",),
    "Less": ("bool",),
    "LessOrEqual": ("bool",),
    "MatMulInteger": ("int32",),
}
"""What comes out where it is not of the first input's type."""
