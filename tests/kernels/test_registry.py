"""Every kernel is held to its operator, here or in the test of its module."""

from __future__ import annotations

from embedx import kernels
from embedx.kernels import FUSED, REPLACING
from tests.kernels.cases import CASES, kernels_of, plain


def test_every_case_is_for_a_kernel_and_every_kernel_has_one() -> None:
    assert {plain(formula) for formula in CASES} == set(REPLACING)


def test_every_kernel_is_in_a_module_that_tests_it() -> None:
    tested = [
        kernels.activations, kernels.attention, kernels.convolution, kernels.elementwise,
        kernels.integers, kernels.normalization, kernels.products, kernels.quantization,
        kernels.recurrent, kernels.tables, kernels.trees, kernels.views,
    ]  # fmt: skip
    assert {f for module in tested for f in kernels_of(module)} == set(REPLACING)


def test_fused_kernels_are_tested_one_by_one() -> None:
    assert set(FUSED) == {
        "Attention",
        "Linear",
        "PrunedMatMul",
        "QuantizedLinear",
        "ScaledMatMulInteger",
    }
