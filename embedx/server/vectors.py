"""Sentence vectors as the protocols ask for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedx.model.graph import Array
from embedx.server.errors import RefusedError
from embedx.text.pooling import normalize


def shortened(vectors: Sequence[Array], dimensions: int | None) -> Array:
    """The vectors, (texts, dimensions), with only their first dimensions if so asked.

    Raises RefusedError with 422 for more dimensions than there are.
    """
    array = np.array(vectors, np.float32)
    if dimensions is not None and dimensions > array.shape[1]:
        raise RefusedError(
            422, f"dimensions is {dimensions}, the model's vectors have {array.shape[1]}"
        )
    return array[:, :dimensions]


def unit_vectors(vectors: Sequence[Array], dimensions: int | None = None) -> Array:
    """The vectors, shortened if so asked, over their L2 norms."""
    return normalize(shortened(vectors, dimensions))
