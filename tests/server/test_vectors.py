"""Vectors as they are asked for: shortened first, then of length 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.server.errors import RefusedError
from embedx.server.vectors import shortened, unit_vectors


@given(st.integers(1, 4), st.integers(1, 9), st.data())
def test_the_first_dimensions_over_their_norm(count: int, width: int, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    vectors = [generator.standard_normal(width).astype(np.float32) for _ in range(count)]
    kept = data.draw(st.none() | st.integers(1, width))
    cut = shortened(vectors, kept)
    assert cut.dtype == np.float32
    assert cut.shape == (count, kept or width)
    assert cut.tolist() == [vector[:kept].tolist() for vector in vectors]
    for row, given_row in zip(unit_vectors(vectors, kept), cut.tolist(), strict=True):
        norm = math.sqrt(math.fsum(x * x for x in given_row))
        np.testing.assert_allclose(row, [x / norm for x in given_row], rtol=1e-5)


def test_a_vector_of_zeros_stays_one() -> None:
    assert unit_vectors([np.zeros(3, np.float32)]).tolist() == [[0, 0, 0]]


def test_more_dimensions_than_there_are() -> None:
    with pytest.raises(RefusedError, match=r"dimensions is 4, the model's vectors have 3") as error:
        shortened([np.ones(3, np.float32)], 4)
    assert error.value.status == 422
