"""Estimated times against measured ones."""

from __future__ import annotations

import numpy as np
import pytest

from embedx.kernels import estimates
from embedx.kernels.estimates import ROWS, compact_times, csr_times, dense_times, gathered_times

LAYER = ((384, 384),) * 4 + ((384, 1536), (1536, 384))


def on(monkeypatch: pytest.MonkeyPatch, *, amd: bool) -> None:
    monkeypatch.setattr(estimates, "wide_vectors", lambda: True)
    monkeypatch.setattr(estimates, "made_by_amd", lambda: amd)


# A dense product's time over that in CSR, measured with 16, 128 and many rows, for all products of
# a layer on Zen 5 and for its two larger ones on a Xeon (Sapphire Rapids).
@pytest.mark.parametrize(
    ("amd", "zeros", "measured"),
    [
        (True, 0.8, (0.23, 0.43, 0.45)),
        (True, 0.9, (0.45, 0.77, 0.80)),
        (True, 0.95, (0.83, 1.24, 1.36)),
        (False, 0.9, (1.0, 1.15, 0.88)),
        (False, 0.95, (1.6, 1.9, 1.5)),
    ],
)
def test_compressed_rows(
    amd: bool, zeros: float, measured: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, amd=amd)
    layer = LAYER if amd else LAYER[-2:]
    dense = sum(dense_times(inner * columns) for inner, columns in layer)
    csr = sum(
        csr_times(round((1 - zeros) * inner * columns), inner, columns) for inner, columns in layer
    )
    ratio = (dense / csr)[[16, 128, 256]]
    np.testing.assert_allclose(ratio, measured, rtol=0.35)


# The same for zeros in an order, in a matrix of 768x3072 on the Xeon, with 1, 16 and 128 rows. The
# estimate may be short of what was measured, but not far beyond it.
@pytest.mark.parametrize(
    ("times", "measured"),
    [
        (lambda: compact_times(384, 3072, 768, 3072), (1.8, 1.9, 1.9)),
        (lambda: compact_times(768, 1536, 768, 3072), (1.8, 1.7, 1.8)),
        (lambda: gathered_times(24 * 384, 24, 128, 768), (1.3, 1.4, 1.4)),
        (lambda: gathered_times(24 * 154, 24, 128, 768), (3.0, 2.9, 3.0)),
    ],
    ids=["half of the rows", "half of the columns", "half of 1x128", "80 % of 1x128"],
)
def test_zeros_in_an_order(
    times: object, measured: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, amd=False)
    assert callable(times)
    ratio = (dense_times(768 * 3072) / times())[[1, 16, 128]]
    assert (ratio < 1.1 * np.array(measured)).all()
    assert (ratio > 0.45 * np.array(measured)).all()


def test_nothing_takes_less_time_for_more_rows() -> None:
    for times in (
        dense_times(10_000),
        csr_times(1_000, 100, 100),
        compact_times(50, 60, 100, 100),
        gathered_times(100, 4, 32, 100),
    ):
        assert times.shape == ROWS.shape
        assert (np.diff(times) >= 0).all()
