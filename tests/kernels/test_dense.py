"""Dense products with a constant matrix, and how they depend on the processor."""

from __future__ import annotations

import math
import platform
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.kernels import dense
from embedx.kernels.dense import dense_product, packed, panel_product, whole_product
from tests.kernels.matrices import matrix_products, same_as_exact


@pytest.mark.parametrize("product", [whole_product, panel_product, dense_product])
@given(st.data())
def test_products(product: Any, data: st.DataObject) -> None:
    weight, x = data.draw(matrix_products())
    same_as_exact(product(weight), weight, x)


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5, 7), (64, 64)])
def test_what_is_packed_begins_a_line_of_the_cache(shape: tuple[int, ...]) -> None:
    for _ in range(5):
        weight = np.arange(np.prod(shape), dtype=np.float32).reshape(shape).T
        copy = packed(weight)
        assert copy.ctypes.data % 64 == 0 or not copy.size
        assert copy.flags.c_contiguous
        assert not np.shares_memory(copy, weight)
        np.testing.assert_array_equal(copy, weight)


@pytest.mark.parametrize("known", [math.inf, 9, 5])
@pytest.mark.parametrize("most", [0, 5, math.inf])
def test_panels_or_the_whole_matrix_by_the_number_of_rows(
    most: float, known: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    used: list[str] = []

    def fake(name: str) -> Any:
        def product(_: Any) -> Any:
            made.append(name)
            return lambda rows, out: used.append(name)

        return product

    for name in ("panel", "whole"):
        monkeypatch.setattr(dense, f"{name}_product", fake(name))
    monkeypatch.setattr(dense, "rows_for_panels", lambda: most)
    multiply = dense_product(np.ones((8, 128), np.float32), known)
    counts = [count for count in (1, 5, 6, 1000) if count <= known]
    for rows in counts:
        multiply(np.ones((rows, 8), np.float32), np.empty((rows, 128), np.float32))
    assert used == ["panel" if rows <= most else "whole" for rows in counts]
    assert sorted(made) == sorted(set(used))


def test_the_choice_depends_on_the_processor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for architectures, amd in [({"Haswell"}, True), ({"SkylakeX"}, True), ({"SkylakeX"}, False)]:
        monkeypatch.setattr(dense, "blas_architectures", lambda found=architectures: found)
        monkeypatch.setattr(dense, "made_by_amd", lambda amd=amd: amd)
        found.append(dense.rows_for_panels.__wrapped__())
    assert found == [0, math.inf, 128]


@pytest.mark.parametrize(
    ("about", "amd"),
    [("vendor_id : AuthenticAMD", True), ("vendor_id : GenuineIntel", False), (OSError(), False)],
)
def test_who_made_the_processor(about: Any, amd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(*_: Any) -> str:
        if isinstance(about, OSError):
            raise about
        return str(about)

    monkeypatch.setattr(dense, "Path", lambda _: SimpleNamespace(read_text=read_text))
    monkeypatch.setattr(platform, "processor", lambda: "Intel64 Family 6, GenuineIntel")
    assert dense.made_by_amd.__wrapped__() is amd
