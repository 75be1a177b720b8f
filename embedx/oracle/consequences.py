"""What users of a search feel when embeddings change: other neighbours, in another order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedx.model.graph import Array


@dataclass(frozen=True)
class Changed:
    """A text whose nearest neighbour is another one now; all by their places."""

    text: int
    was: int
    now: int
    margin: float
    """How much nearer the old neighbour is, in the reference."""


@dataclass(frozen=True)
class Consequences:
    """How far the candidate's embeddings are from the reference's, and what follows from it."""

    mean_cosine: float
    least_cosine: float
    least_text: int
    k: int
    """How many neighbours count: fewer than were asked for if there are not so many texts."""
    top_1: float | None
    """The share of texts that keep their nearest neighbour; None for fewer than three texts."""
    top_k: float | None
    """How much of the k nearest neighbours stays, on average."""
    spearman: float | None
    """The rank correlation of the similarities of all pairs."""
    changed: tuple[Changed, ...]
    """Largest margin first."""


def cosines(a: Array, b: Array) -> Array:
    """The cosine between each row of ``a`` and the same row of ``b``, in float64.

    Rows of zeros are alike, and are like nothing else.

    >>> cosines(np.array([[1, 0], [0, 0]]), np.array([[1, 1], [0, 0]])).round(3)
    array([0.707, 1.   ])
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    products = (a * b).sum(axis=1)
    with np.errstate(invalid="ignore"):
        found = np.divide(products, norms, out=np.zeros_like(products), where=norms != 0)
    return np.asarray(np.where(both_zero, 1.0, found))


def consequences(
    reference: Array,
    candidate: Array,
    similarity: Callable[[Array, Array], Array],
    k: int = 10,
) -> Consequences:
    """What changes between two (texts, dimensions) arrays of embeddings of the same texts.

    ``similarity`` gives a (texts, texts) array, larger for what is nearer. Where there are no more
    than ``k`` other texts, one less than all of them are looked at.
    """
    each = cosines(reference, candidate)
    least = int(np.argmin(each))
    count = len(reference)
    k = max(min(k, count - 2), 1)
    if count < 3:
        return Consequences(float(each.mean()), float(each[least]), least, k, None, None, None, ())
    were, are = (_alone(similarity(x, x)) for x in (reference, candidate))
    old, new = (np.argsort(-x, axis=1, kind="stable") for x in (were, are))
    kept = [
        len(set(a[:k].tolist()) & set(b[:k].tolist())) / k for a, b in zip(old, new, strict=True)
    ]
    # Among texts that are equally near nobody is the nearest one.
    margins = [float(were[i, old[i, 0]] - were[i, new[i, 0]]) for i in range(count)]
    found = [
        Changed(i, int(old[i, 0]), int(new[i, 0]), margin)
        for i, margin in enumerate(margins)
        if margin > 0
    ]
    above = np.triu_indices(count, 1)
    return Consequences(
        mean_cosine=float(each.mean()),
        least_cosine=float(each[least]),
        least_text=least,
        k=k,
        top_1=1 - len(found) / count,
        top_k=float(np.mean(kept)),
        spearman=spearman(were[above], are[above]),
        changed=tuple(sorted(found, key=lambda c: -c.margin)),
    )


def _alone(similarities: Array) -> Array:
    """The similarities, in which no text is near itself."""
    found = similarities.astype(np.float64)
    np.fill_diagonal(found, -np.inf)
    return found


def spearman(a: Array, b: Array) -> float:
    """The correlation of the ranks of two vectors; equal numbers share a rank. 1 if none varies.

    >>> round(spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 15])), 6)
    0.5
    """
    from scipy.stats import rankdata

    x, y = (r - r.mean() for r in map(rankdata, (a, b)))
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norm) if norm else float(np.array_equal(x, y))
