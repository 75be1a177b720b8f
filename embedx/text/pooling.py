"""From token embeddings to one vector per text.

All functions take the tokens of texts of one length, without padding: (texts, tokens, hidden). So
nothing has to be masked, and nothing is divided by zero but a text without tokens, which gives
zeros. Sums are in float64 and rounded once, so that a text's vector does not depend on how many
others are beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from embedx import ops
from embedx.errors import DeploymentError, NodeError
from embedx.model.graph import Array
from embedx.text.modules import (
    ACTIVATIONS,
    SENTENCE,
    TOKENS,
    Dense,
    LayerNorm,
    Module,
    Normalize,
    Pooling,
)


def mean(hidden: Array, skip: int = 0) -> Array:
    """The average token, without the first ``skip``.

    >>> mean(np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32))
    array([[2., 3.]], dtype=float32)
    """
    return hidden[:, skip:].mean(axis=1, dtype=np.float64).astype(np.float32)


def max(hidden: Array, skip: int = 0) -> Array:
    """The largest value of each feature, without the first ``skip`` tokens.

    >>> max(np.array([[[1.0, 4.0], [3.0, 2.0]]], np.float32))
    array([[3., 4.]], dtype=float32)
    """
    return np.asarray(hidden[:, skip:].max(axis=1))


def cls(hidden: Array, skip: int = 0) -> Array:
    """The first token, behind ``skip`` others.

    >>> cls(np.array([[[1.0, 4.0], [3.0, 2.0]]], np.float32))
    array([[1., 4.]], dtype=float32)
    """
    return hidden[:, skip]


def lasttoken(hidden: Array, skip: int = 0) -> Array:
    """The last token.

    >>> lasttoken(np.array([[[1.0, 4.0], [3.0, 2.0]]], np.float32))
    array([[3., 2.]], dtype=float32)
    """
    return hidden[:, -1]


def weightedmean(hidden: Array, skip: int = 0) -> Array:
    """The average token with the weights 1, 2, 3 ... (SGPT, Muennighoff 2022).

    A token's weight is its place in the whole text, also where the first ``skip`` are left out.

    >>> weightedmean(np.array([[[1.0], [4.0]]], np.float32))
    array([[3.]], dtype=float32)
    """
    weights = np.arange(skip + 1.0, hidden.shape[1] + 1)[:, None]
    return np.asarray((hidden[:, skip:] * weights).sum(axis=1) / weights.sum()).astype(np.float32)


def mean_sqrt_len(hidden: Array, skip: int = 0) -> Array:
    """The sum of the tokens over the square root of their number, without the first ``skip``.

    >>> mean_sqrt_len(np.ones((1, 4, 1), np.float32))
    array([[2.]], dtype=float32)
    """
    total = hidden[:, skip:].sum(axis=1, dtype=np.float64)
    return np.asarray(total / np.sqrt(hidden.shape[1] - skip)).astype(np.float32)


POOLINGS: dict[str, Callable[[Array, int], Array]] = {
    "cls": cls,
    "max": max,
    "mean": mean,
    "mean_sqrt_len": mean_sqrt_len,
    "weightedmean": weightedmean,
    "lasttoken": lasttoken,
}
"""By sentence-transformers' names."""


def check_finite(vector: Array, text: str = "this text") -> None:
    """Raise NodeError naming the text if its vector has NaN or infinity in it."""
    if not np.isfinite(vector).all():
        raise NodeError(f"the model gives NaN or infinity for {text}")


def reduce(hidden: Array, strategy: str, leading_specials: int) -> Array:
    """The texts' vectors by one of the named strategies; ``per_token`` is not one of them.

    ``reduce_mean`` and ``reduce_max`` leave out the special tokens in front ([CLS]) and keep those
    behind ([SEP]); sentence-transformers' names keep all.

    >>> reduce(np.array([[[9.0], [1.0], [3.0]]], np.float32), "reduce_mean", 1)
    array([[2.]], dtype=float32)
    """
    deepsparse = {"reduce_mean": mean, "reduce_max": max}
    skip = leading_specials if strategy in deepsparse else 0
    return _reduced(hidden, {**POOLINGS, **deepsparse, "cls_token": cls}[strategy], skip)


def _reduced(hidden: Array, pool: Callable[[Array, int], Array], skip: int) -> Array:
    if hidden.shape[1] <= skip:
        return np.zeros((len(hidden), hidden.shape[2]), np.float32)
    return pool(hidden, skip)


def apply_modules(hidden: Array, modules: Sequence[Module], prompt_tokens: int = 0) -> Array:
    """What sentence-transformers' modules make of token embeddings: (texts, dimensions).

    ``hidden`` is (texts, tokens, hidden), or (texts, dimensions) that are pooled already.
    ``prompt_tokens`` is how many tokens in front belong to a prompt; some models leave them out.
    Raises DeploymentError if a module reads what none before it makes.
    """
    features = {TOKENS if hidden.ndim == 3 else SENTENCE: hidden}
    for module in modules:
        features[module.target] = _applied(module, _feature(features, module.source), prompt_tokens)
    return _feature(features, SENTENCE)


def after_graph(hidden: Array, modules: Sequence[Module], prompt_tokens: int = 0) -> Array:
    """What is left to do of ``modules`` with a graph's output: (texts, dimensions).

    As :func:`apply_modules` for token embeddings. A graph that pools by itself, (texts, hidden),
    may hold any of what follows, so that only a norm, which changes nothing twice, comes behind it.
    Raises DeploymentError for another layer there.
    """
    if hidden.ndim == 3:
        return apply_modules(hidden, modules, prompt_tokens)
    left = [m for m in modules if m.source == SENTENCE]
    unsure = next((m for m in left if not isinstance(m, Normalize)), None)
    if unsure is not None:
        raise DeploymentError(
            f"modules.json names a {type(unsure).__name__}, and the graph pools by itself, so that "
            "it may hold that layer already; export the token embeddings, or take out of "
            "modules.json what the graph does"
        )
    return apply_modules(hidden, left)


def _feature(features: dict[str, Array], name: str) -> Array:
    if name not in features:
        raise DeploymentError(
            f"modules.json: {name!r} is read, and no module makes it before that; choose a pooling "
            "by its name instead"
        )
    return features[name]


def _applied(module: Module, x: Array, prompt_tokens: int) -> Array:
    if isinstance(module, Pooling):
        skip = 0 if module.include_prompt else prompt_tokens
        return np.concatenate([_reduced(x, POOLINGS[mode], skip) for mode in module.modes], axis=1)
    if isinstance(module, Dense):
        return dense(x, module)
    return layer_norm(x, module) if isinstance(module, LayerNorm) else normalize(x)


def dense(x: Array, layer: Dense) -> Array:
    """The layer's output for the last axis of ``x``, in float32.

    >>> dense(np.array([[3.0, 4.0]]), Dense(np.array([[1.0, 1.0]]), None, "Identity"))
    array([[7.]], dtype=float32)
    """
    if x.shape[-1] != layer.weight.shape[1]:
        raise DeploymentError(
            f"modules.json: a Dense takes {layer.weight.shape[1]} numbers, and gets {x.shape[-1]}"
        )
    wide = x.astype(np.float64)
    y = wide @ layer.weight.T.astype(np.float64)
    y = ACTIVATIONS[layer.activation](y if layer.bias is None else y + layer.bias)
    if layer.use_residual:
        y = y + (wide if layer.residual is None else wide @ layer.residual.T.astype(np.float64))
    return np.asarray(y.astype(np.float32))


def layer_norm(x: Array, layer: LayerNorm) -> Array:
    """The last axis of ``x`` normalised, scaled and shifted, in float32.

    >>> layer_norm(np.array([[1.0, 3.0]]), LayerNorm(np.ones(2), np.array([0.0, 1.0]))).round(3)
    array([[-1.,  2.]], dtype=float32)
    """
    if x.shape[-1:] != layer.weight.shape:
        raise DeploymentError(
            f"modules.json: a LayerNorm takes {len(layer.weight)} numbers, and gets {x.shape[-1]}"
        )
    wide = x.astype(np.float64)
    y = ops.layer_normalization(wide, layer.weight, layer.bias, epsilon=1e-5).y
    return np.asarray(y.astype(np.float32))


def normalize(x: Array) -> Array:
    """Each row over its L2 norm; a row of zeros stays.

    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12))
