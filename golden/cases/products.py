"""Matrix products and sums of products."""

from __future__ import annotations

from .base import BFLOAT16, NAN, Case, empty, f16, f32, i64, ints, some

HEADS = some(1, 2, 2, 3)
BYTES = ints("uint8", [255, 0], [3, 128])

CASES: dict[str, list[Case]] = {
    "MatMul": [
        Case("opset1", 1, [some(2, 3), some(3, 2, seed=1)]),
        Case("vectors", 13, [some(3), some(3, seed=1)]),
        Case("vector_matrix", 13, [some(3), some(3, 2, seed=1)]),
        Case("matrix_vector", 13, [some(2, 3), some(3, seed=1)]),
        Case("broadcast", 13, [some(2, 1, 2, 3), some(2, 3, 1, seed=1)]),
        Case("stack_vector", 13, [some(2, 2, 3), some(3, seed=1)]),
        Case("inner_size_0", 13, [empty(2, 0), empty(0, 3)]),
        Case("float64", 13, [some(2, 3, dtype="float64"), some(3, 2, dtype="float64", seed=1)]),
        Case("float16", 13, [some(2, 8, dtype="float16"), some(8, 2, dtype="float16", seed=1)]),
        Case("float16_between", 13, [f16([300, 300]), f16([300], [-299])]),
        Case("bfloat16", 13, [some(2, 8, dtype=BFLOAT16), some(8, 2, dtype=BFLOAT16, seed=1)]),
        Case("int32_wraps", 13, [ints("int32", [2**30, 3]), ints("int32", [4], [5])]),
        Case("int64", 13, [i64([2**53 + 1, -3]), i64([1], [2**40])]),
        Case("uint32", 13, [ints("uint32", [2**31, 1]), ints("uint32", [3], [7])]),
    ],
    "Gemm": [
        Case("no_c", 11, [some(2, 3), some(3, 2, seed=1)]),
        Case("opset7", 7, [some(2, 3), some(3, 2, seed=1), some(2, 2, seed=2)]),
        Case(
            "all_attributes", 13, [some(3, 2), some(2, 3, seed=1), some(2, 1, seed=2)],
            {"alpha": 0.25, "beta": 0.35, "transA": 1, "transB": 1},
        ),
        Case("beta_0", 13, [some(1, 2), some(2, 2, seed=1), f32(1, 2)], {"beta": 0.0}),
        Case("scalar_c", 13, [some(1, 2), some(2, 2, seed=1), f32(3)], {"beta": 2.0}),
        Case("inner_size_0", 13, [empty(2, 0), empty(0, 3), some(3)]),
        Case("float16", 13, [some(2, 8, dtype="float16"), some(8, 2, dtype="float16", seed=1)]),
        Case("int32", 13, [ints("int32", [2**30, 3]), ints("int32", [4], [5]), ints("int32", 1)]),
    ],
    "Einsum": [
        Case("product", 12, [some(2, 3), some(3, 2, seed=1)], {"equation": "ij,jk->ik"}),
        Case("implicit", 12, [some(2, 3), some(3, 2, seed=1)], {"equation": "bA,Ac"}),
        Case("trace", 12, [some(3, 3)], {"equation": "ii"}),
        Case("diagonal", 12, [some(2, 3, 3)], {"equation": "...ii->...i"}),
        Case("spaces", 12, [some(2, 3)], {"equation": " i j -> j i "}),
        Case("heads", 12, [HEADS, some(1, 2, 2, 3, seed=1)], {"equation": "bhid,bhjd->bhij"}),
        Case("three", 12, [some(2), some(2, 2, seed=1), some(2, seed=2)], {"equation": "i,ij,j->"}),
        Case("outer", 12, [some(2), some(3, seed=1)], {"equation": "i,d->id"}),
        Case("int64", 12, [i64([2**53 + 1, 1]), i64([1, 2])], {"equation": "ij,ij->i"}),
        Case("float16", 12, [some(2, 4, dtype="float16"), f16(1, 2, 3, 4)], {"equation": "ij,j"}),
    ],
    "MatMulInteger": [
        Case("u8s8_extreme", 10, [ints("uint8", [255, 255]), ints("int8", [127], [127])]),
        Case("s8s8", 10, [ints("int8", [-128, 127]), ints("int8", [-128, 1], [127, -128])]),
        Case("s8u8", 10, [ints("int8", [-128, 127]), ints("uint8", [255, 1], [0, 128])]),
        Case(
            "zero_points", 10,
            [BYTES, ints("uint8", [0, 255], [7, 9]), ints("uint8", 128), ints("uint8", 1)],
        ),
        Case(
            "b_zero_point_only", 10,
            [ints("uint8", [255, 0]), ints("int8", [-128, 127], [7, 9]), None, ints("int8", 1, -5)],
        ),
        Case(
            "a_zero_point_per_row", 10,
            [BYTES, ints("int8", [1, 2], [3, 4]), ints("uint8", 1, 128)],
        ),
        Case("stacked", 10, [ints("uint8", [[1, 2]], [[3, 4]]), ints("int8", [1], [-1])]),
    ],
}  # fmt: skip
CASES["MatMul"].append(Case("nan", 13, [f32([NAN, 1]), f32([0], [1])]))
