"""Texts, and what they should come out as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from embedx import load

TEXTS = ["the cat sat on the mat", "a big red dog ran far away", "a"]


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def sentences(folder: Path, texts: Any = TEXTS) -> Any:
    return load(folder, max_seq_length=32).encode(texts, normalize_embeddings=True)
