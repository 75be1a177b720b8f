"""What two sides of a comparison are fed: made up, from texts, or from files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embedx.errors import InputError
from embedx.model.graph import Array
from embedx.run.engine import Engine
from embedx.text.model_folder import read_folder
from embedx.text.text_model import TextModel

_TEXTS_AT_ONCE = 8


def text_feeds(model: str | os.PathLike[str], texts: Sequence[str]) -> list[dict[str, Array]]:
    """The feeds for texts, by the tokenizer that lies beside the model.

    Eight texts go in together, each padded to the longest of them, as clients do it. Raises
    InputError if there are no texts, or one without tokens, DeploymentError without a tokenizer.
    """
    if not texts:
        raise InputError("there are no texts to compare with")
    folder = read_folder(model)
    text_model = TextModel(folder, folder.graph.outputs[0].name)
    tokens = text_model.tokens(texts, text_model.usual_length)
    empty = next((i for i, text in enumerate(tokens) if not text.ids), None)
    if empty is not None:
        raise InputError(f"text {empty + 1} has no tokens: {texts[empty][:60]!r}")
    size = text_model.fixed_batch or _TEXTS_AT_ONCE
    feeds = []
    for start in range(0, len(tokens), size):
        group = tokens[start : start + size]
        if text_model.fixed_batch:
            group += [group[-1]] * (size - len(group))
        longest = max(len(text.ids) for text in group)
        feeds.append(text_model.feeds(group, text_model.fixed_length or longest))
    return feeds


def made_up_feeds(engine: Engine, seed: int = 0) -> list[dict[str, Any]]:
    """Feeds for two texts of 16 random tokens, the second of which ends in padding."""
    names = engine.input_names
    feeds = dict(zip(names, engine.generate_random_inputs(2, 16, seed), strict=True))
    mask = mask_of(feeds)
    if mask is not None and mask.shape[0] > 1 and mask.all() and mask.shape[1] > 4:
        name = next(n for n, v in feeds.items() if v is mask)
        padded = mask.copy()
        padded[-1, -(mask.shape[1] // 4) :] = 0
        feeds[name] = padded
    return [feeds]


def mask_of(feeds: Mapping[str, Any]) -> Array | None:
    """The attention mask among some feeds: 1 for tokens, 0 for padding; (texts, tokens)."""
    for name, value in feeds.items():
        named = "mask" in name.lower() and isinstance(value, np.ndarray) and value.ndim == 2
        if named and np.isin(value.astype(np.float64), (0, 1)).all():
            return np.asarray(value)
    return None


def tokens_of(mask: Array | None, shape: Sequence[int]) -> Array | None:
    """Which elements of a tensor belong to tokens and not to padding, so far as that is told.

    The result is bool and can be broadcast to ``shape``; None if all of them count. The tensor may
    have the texts as its first axis, perhaps times heads, or texts times tokens.
    """
    if mask is None or mask.all() or len(shape) < 2 or not all(shape):
        return None
    keep = mask.astype(bool)
    batch, length = keep.shape
    ones = (1,) * (len(shape) - 1)
    if shape[0] == batch * length and length > 1:
        return keep.reshape(-1, *ones)
    if shape[0] % batch:
        return None
    keep = np.repeat(keep, shape[0] // batch, axis=0)
    for axis in {2: (1,), 3: (1, 2)}.get(len(shape), (2, 1, 3)):
        if axis < len(shape) and shape[axis] == length:
            sizes = [1] * len(shape)
            sizes[0], sizes[axis] = shape[0], length
            return keep.reshape(sizes)
    return None


def described(feeds: Mapping[str, Any]) -> dict[str, str]:
    """Types and shapes of some feeds, by name."""
    return {
        name: f"{v.dtype.name}{list(v.shape)}" if isinstance(v, np.ndarray) else type(v).__name__
        for name, v in feeds.items()
    }
