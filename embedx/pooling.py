"""From token embeddings to one vector a text.

All functions take the tokens of texts of one length, without padding: (texts, tokens, hidden). So
nothing has to be masked, and nothing is divided by zero but a text without tokens, which gives
zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from embedx import ops
from embedx.deployment import Dense, Normalize, Pooling
from embedx.graph import Array

SEED_STRATEGIES = ("per_token", "reduce_mean", "reduce_max", "cls_token")


def mean(hidden: Array) -> Array:
    """The average token, accumulated in float64.

    >>> mean(np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32))
    array([[2., 3.]], dtype=float32)
    """
    return hidden.mean(axis=1, dtype=np.float64).astype(np.float32)


def max(hidden: Array) -> Array:
    """The largest value of each feature.

    >>> max(np.array([[[1.0, 4.0], [3.0, 2.0]]], np.float32))
    array([[3., 4.]], dtype=float32)
    """
    return np.asarray(hidden.max(axis=1))


def cls(hidden: Array) -> Array:
    """The first token.

    >>> cls(np.array([[[1.0, 4.0], [3.0, 2.0]]], np.float32))
    array([[1., 4.]], dtype=float32)
    """
    return hidden[:, 0]


def lasttoken(hidden: Array) -> Array:
    """The last token.

    >>> lasttoken(np.array([[[1.0, 4.0], [3.0, 2.0]]], np.float32))
    array([[3., 2.]], dtype=float32)
    """
    return hidden[:, -1]


def weightedmean(hidden: Array) -> Array:
    """The average token with the weights 1, 2, 3 ... (SGPT, Muennighoff 2022).

    >>> weightedmean(np.array([[[1.0], [4.0]]], np.float32))
    array([[3.]], dtype=float32)
    """
    weights = np.arange(1, hidden.shape[1] + 1, dtype=np.float64)
    return np.asarray(np.einsum("bth,t->bh", hidden, weights / weights.sum())).astype(np.float32)


def mean_sqrt_len(hidden: Array) -> Array:
    """The sum of the tokens over the square root of their number.

    >>> mean_sqrt_len(np.ones((1, 4, 1), np.float32))
    array([[2.]], dtype=float32)
    """
    total = hidden.sum(axis=1, dtype=np.float64)
    return np.asarray(total / np.sqrt(hidden.shape[1])).astype(np.float32)


POOLINGS: dict[str, Callable[[Array], Array]] = {
    "cls": cls,
    "max": max,
    "mean": mean,
    "mean_sqrt_len": mean_sqrt_len,
    "weightedmean": weightedmean,
    "lasttoken": lasttoken,
}
"""By sentence-transformers' names, in the order in which it concatenates several."""


def reduce(hidden: Array, strategy: str, leading_specials: int) -> Array:
    """The texts' vectors by one of the named strategies; ``per_token`` is not one of them.

    ``reduce_mean`` and ``reduce_max`` leave out the special tokens in front ([CLS]) and keep those
    behind ([SEP]); sentence-transformers' names keep all.

    >>> reduce(np.array([[[9.0], [1.0], [3.0]]], np.float32), "reduce_mean", 1)
    array([[2.]], dtype=float32)
    """
    seed = {"reduce_mean": mean, "reduce_max": max}
    if strategy in seed:
        hidden = hidden[:, leading_specials:]
    if hidden.shape[1] == 0:
        return np.zeros((len(hidden), hidden.shape[2]), np.float32)
    return {**POOLINGS, **seed, "cls_token": cls}[strategy](hidden)


def apply_modules(
    hidden: Array, modules: Sequence[Pooling | Dense | Normalize], prompt_tokens: int = 0
) -> Array:
    """What sentence-transformers' modules make of token embeddings: pooling, dense layers, norm.

    ``prompt_tokens`` is how many tokens in front belong to a prompt; some models leave them out.
    """
    x = hidden
    for module in modules:
        if isinstance(module, Pooling):
            kept = x[:, 0 if module.include_prompt else prompt_tokens :]
            x = np.concatenate([reduce(kept, mode, 0) for mode in module.modes], axis=1)
        elif isinstance(module, Dense):
            x = x @ module.weight.T
            x = _ACTIVATIONS[module.activation](x if module.bias is None else x + module.bias)
        else:
            x = normalize(x)
    return x


def normalize(x: Array) -> Array:
    """Each row over its L2 norm; a row of zeros stays.

    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: ops.sigmoid(x),
    "GELU": lambda x: ops.gelu(x),
    "SiLU": lambda x: ops.swish(x),
}
