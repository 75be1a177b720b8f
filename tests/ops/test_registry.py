"""Which function runs, in which type it computes, and what a run may spend."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from threading import Thread
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx import ops
from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    code_of,
    dtype_of,
    is_floating,
    registered,
    resolve,
    spending,
    widened,
)
from embedx.ops._budget import reserve, reserve_broadcast, timed, turn
from embedx.ops._checks import (
    axes_in,
    axis_in,
    indices_in,
    int_list,
    integers,
    one_type,
    per_channel,
    per_column,
    same_numbers,
    same_type,
    scalar_int,
)
from embedx.ops._rounding import rounded
from embedx.ops._typing import is_foreign, native, zero_of
from tests.assertions import assert_equal
from tests.strategies import (
    BFLOAT16,
    FLOATS,
    HALVES,
    INTEGERS,
    NUMBERS,
    DType,
    operands,
    shapes,
    tensors,
)

FLOAT32: DType = np.dtype(np.float32)
FLOAT64: DType = np.dtype(np.float64)

# -- resolve --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "opset", "title"),
    [
        ("Softmax", 1, "Softmax-1"),
        ("Softmax", 12, "Softmax-1"),
        ("Softmax", 13, "Softmax-13"),
        ("Softmax", 999, "Softmax-13"),
        ("Scatter", 10, "Scatter-9"),
        ("Scan", 8, "Scan-8"),
        ("ReduceSum", 12, "ReduceSum-1"),
        ("ReduceSum", 13, "ReduceSum-13"),
        ("ReduceMean", 17, "ReduceMean-1"),
        ("ReduceMean", 18, "ReduceMean-18"),
    ],
)
def test_resolve_finds_the_newest_that_is_not_too_new(name: str, opset: int, title: str) -> None:
    assert resolve(name, opset).title == title


@pytest.mark.parametrize(
    ("name", "opset", "domain", "message"),
    [
        ("Softmaks", 13, "", "no operator Softmaks in domain ai.onnx; did you mean Softmax"),
        ("softmax", 13, "", "no operator softmax .* mean Softmax"),  # names are exact
        ("BiasGelu", 13, "", "BiasGelu in domain ai.onnx; did you mean com.microsoft::BiasGelu"),
        ("Relu", 1, "com.microsoft", "no operator Relu in domain com.microsoft; did you mean Relu"),
        ("Xyz", 13, "", "no operator Xyz in domain ai.onnx$"),
        ("Softmax", 13, "com.example", "Softmax in domain com.example; did you mean Softmax"),
        ("__class__", 13, "", "no operator __class__"),
        ("Softmax-13", 13, "", "no operator Softmax-13"),
        ("RMSNormalization", 22, "", "exists from opset 23 on, not at 22"),
        ("Softmax", 0, "", "exists from opset 1 on"),
        ("Scatter", 11, "", "was removed at opset 11, the model imports 11"),
    ],
)
def test_resolve_refuses(name: str, opset: int, domain: str, message: str) -> None:
    with pytest.raises(LookupError, match=message):
        resolve(name, opset, domain)


@given(st.sampled_from(list(registered())), st.integers(1, 30))
def test_resolve_serves_every_opset_from_the_first_one_on(entry: ops.Op, opset: int) -> None:
    versions = [e for e in registered() if (e.domain, e.name) == (entry.domain, entry.name)]
    newest = max((e for e in versions if e.since <= opset), key=lambda e: e.since, default=None)
    if newest is not None and (newest.until is None or opset < newest.until):
        assert resolve(entry.name, opset, entry.domain) is newest
    else:
        with pytest.raises(LookupError):
            resolve(entry.name, opset, entry.domain)


def test_behaviours_are_listed_once_and_in_order() -> None:
    titles = [entry.title for entry in registered()]
    assert len(set(titles)) == len(titles)
    keys = [(entry.domain, entry.name, entry.since) for entry in registered()]
    assert keys == sorted(keys)


def test_only_what_rounds_is_wrapped() -> None:
    for entry in registered():
        assert (entry.function is entry.formula) == (not entry.rounds), entry.title


def test_what_draws_random_numbers_is_not_pure() -> None:
    drawing = {e.name for e in registered() if not e.pure}
    assert {"Dropout", "RandomNormal", "RandomNormalLike", "RandomUniform"} <= drawing
    assert {"Add", "Softmax", "Identity"}.isdisjoint(drawing)


# -- widened --------------------------------------------------------------------------------------


class Pair(NamedTuple):
    first: Array
    second: Array


def seen(*inputs: Any) -> list[str]:
    """The dtypes in which a widened function gets its inputs."""
    found: list[str] = []

    def function(*given_inputs: Any) -> Array:
        found.extend(str(getattr(x, "dtype", None)) for x in given_inputs)
        return np.zeros(1, np.float32)

    widened(function, FLOAT32)(*inputs)
    return found


def test_narrow_floats_are_widened_and_nothing_else() -> None:
    half, single, double = (np.zeros(1, t) for t in (np.float16, np.float32, np.float64))
    assert seen(half, single, double) == ["float32", "float32", "float64"]
    assert seen(np.zeros(1, BFLOAT16), np.zeros(1, np.int8)) == ["float32", "int8"]
    assert seen(half, None, np.zeros(1, bool)) == ["float32", "None", "bool"]


def test_without_narrow_floats_the_function_is_called_as_it_is() -> None:
    x = np.zeros(1, np.float32)
    assert widened(lambda v: v, FLOAT32)(x) is x
    assert widened(lambda v: v, FLOAT64)(x).dtype == np.float32
    assert widened(lambda v: v * 0.1, FLOAT64)(x + 1)[0] == np.float32(0.1)


def test_results_take_the_type_of_the_first_floating_input() -> None:
    half, single = np.ones(1, np.float16), np.ones(1, np.float32)
    add = widened(lambda a, b: a + b, FLOAT32)
    assert add(half, single).dtype == np.float16
    assert add(single, half).dtype == np.float32
    assert widened(lambda i, x: x, FLOAT32)(np.zeros(1, np.int64), half).dtype == np.float16


def test_outputs_of_another_type_pass_through() -> None:
    half = np.ones(2, np.float16)
    assert widened(lambda x: x > 0, FLOAT32)(half).dtype == bool
    assert widened(lambda x: x.astype(np.float64), FLOAT32)(half).dtype == np.float64
    assert widened(lambda x: x.argmax(), FLOAT32)(half) == 0


def test_only_the_outputs_asked_for_are_rounded() -> None:
    both = widened(lambda x: Pair(x, x), FLOAT32)(np.ones(1, np.float16))
    assert isinstance(both, Pair)
    assert [v.dtype.name for v in both] == ["float16", "float16"]
    one = widened(lambda x: Pair(x, x), FLOAT32, (1,))(np.ones(1, np.float16))
    assert [v.dtype.name for v in one] == ["float32", "float16"]
    plain = widened(lambda x: (x, x), FLOAT32, (0,))(np.ones(1, np.float16))
    assert type(plain) is tuple
    assert [v.dtype.name for v in plain] == ["float16", "float32"]


def test_outputs_may_take_the_types_of_other_inputs() -> None:
    swap = widened(lambda a, b: (b, a), FLOAT32, True, (1, 0))
    found = swap(np.ones(1, np.float16), np.ones(1, BFLOAT16))
    assert [v.dtype.name for v in found] == ["bfloat16", "float16"]


@given(operands(HALVES, low=-100, high=100))
def test_the_rounding_takes_place_once(ab: tuple[Array, ...]) -> None:
    a, b = ab
    exact = a.astype(np.float64) * b.astype(np.float64) + a.astype(np.float64)
    for work in (FLOAT32, FLOAT64):
        found = widened(lambda x, y: np.asarray(x * y + x), work)(a, b)
        assert_equal(found, rounded(np.asarray(exact), a.dtype))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_sums_beyond_the_type_come_back(dtype: DType) -> None:
    x = np.full(1, 60000, dtype)
    total = widened(lambda v: np.asarray(v + v - v), FLOAT32)(x)
    assert_equal(total, x)


# -- rounding -------------------------------------------------------------------------------------


@given(st.sampled_from(NUMBERS).flatmap(tensors), st.sampled_from(FLOATS))
@np.errstate(over="ignore")
def test_rounded_agrees_with_float64_where_that_is_exact(x: Array, dtype: DType) -> None:
    found = rounded(x, dtype)
    assert (type(found), found.dtype, found.shape) == (np.ndarray, dtype, x.shape)
    if dtype == np.float64:
        assert_equal(found, x.astype(np.float64))
    if x.dtype in HALVES or x.dtype.itemsize == 1:
        assert_equal(rounded(x, FLOAT64), x.astype(np.float64))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_beside_a_tie_is_no_tie(sign: int) -> None:
    above, tie, below = (sign * (1 + 2**-8 + d) for d in (2**-40, 0, -(2**-40)))
    found = rounded(np.array([above, tie, below]), BFLOAT16).astype(float)
    assert found.tolist() == [sign * (1 + 2**-7), sign, sign]


@np.errstate(over="ignore")
def test_rounding_at_the_edges() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, -0.0, 1e-310])
    found = rounded(x, BFLOAT16).astype(float)
    expected = [np.nan, np.inf, -np.inf, np.inf, -np.inf, 0, 0, 0]
    np.testing.assert_array_equal(found, expected)
    assert np.signbit(found[6])
    tiny = rounded(np.array([1e-40]), BFLOAT16)  # subnormal in bfloat16, too
    assert_equal(tiny.astype(float), np.array([2.0**-133 * round(1e-40 / 2.0**-133)]))


# -- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", range(1, 29))
def test_element_types_are_those_of_onnx(code: int) -> None:
    dtype = dtype_of(code)
    assert code_of(dtype) == code
    assert dtype == onnx.helper.tensor_dtype_to_np_dtype(code)
    name = onnx.TensorProto.DataType.Name(code)
    assert is_floating(dtype) == ("FLOAT" in name or name == "DOUBLE")


def test_types_that_onnx_lacks_are_refused() -> None:
    for code in (0, 29, -1):
        with pytest.raises(ValueError, match=f"{code} is not an ONNX element type"):
            dtype_of(code)
    for dtype in ("datetime64[s]", "longdouble", "V4"):
        with pytest.raises(TypeError, match="ONNX has no element type"):
            code_of(np.dtype(dtype))


def test_every_kind_of_string_is_a_string() -> None:
    for dtype in (np.dtype("U3"), np.dtype("S3"), np.dtypes.StringDType(), np.dtype(object)):
        assert code_of(dtype) == 8


@pytest.mark.parametrize("code", [c for c in range(1, 29) if c not in (8, 14, 15)])
def test_every_type_has_a_zero_and_a_native_form(code: int) -> None:
    dtype = dtype_of(code)
    assert_equal(zero_of(dtype), np.zeros((), dtype))
    wide = native(np.ones(2, dtype))
    assert not is_foreign(wide.dtype)
    assert wide.astype(float).tolist() == [1, 1]
    if not is_foreign(dtype):
        assert wide.dtype == dtype


def test_the_zero_of_strings_is_empty() -> None:
    assert_equal(zero_of(np.dtype(object)), np.array("", object))
    words = np.array(["a"], object)
    assert native(words) is words


def test_the_kind_of_a_dtype_does_not_tell_who_made_it() -> None:
    assert np.dtype(ml_dtypes.float8_e5m2).kind == FLOAT32.kind
    assert is_foreign(np.dtype(ml_dtypes.float8_e5m2))
    assert not is_foreign(FLOAT32)


# -- checks ---------------------------------------------------------------------------------------


@given(st.integers(-6, 6), st.integers(0, 4))
def test_axes_count_from_either_end(axis: int, rank: int) -> None:
    if -rank <= axis < rank:
        assert axis_in(axis, rank) == range(rank)[axis]
    else:
        with pytest.raises(ValueError, match=f"axis {axis} does not exist in a tensor of rank"):
            axis_in(axis, rank)


def test_several_axes_are_distinct() -> None:
    assert axes_in([-1, 0], 3) == (2, 0)
    assert axes_in([], 0) == ()
    assert axes_in(np.array([1]), 2) == (1,)
    with pytest.raises(ValueError, match=r"the axes \(2, 2\) name one axis twice"):
        axes_in([2, -1], 3)


@given(st.sampled_from(INTEGERS).flatmap(tensors), st.integers(0, 5))
def test_indices_count_from_either_end(indices: Array, size: int) -> None:
    values = indices.reshape(-1).tolist()
    if all(-size <= v < size for v in values):
        expected = [range(size)[v] for v in values]
        assert indices_in(indices, size).reshape(-1).tolist() == expected
    else:
        first = next(v for v in values if not -size <= v < size)
        with pytest.raises(IndexError, match=f"index {first} at position .* axis of size {size}"):
            indices_in(indices, size)


@pytest.mark.parametrize("check", [one_type, same_type, same_numbers])
def test_types_are_compared_and_not_promoted(check: Callable[..., None]) -> None:
    check(np.ones(1), np.ones(1))
    check(np.ones(1))
    for a, b in (("int32", "int64"), ("float32", "float64"), ("uint8", "int8"), ("int8", "bool")):
        with pytest.raises(TypeError, match=f"they have {a}, {b}; insert a Cast"):
            check(np.zeros(1, a), np.zeros(1, b))


def test_integers_in_tensors() -> None:
    for value in (np.array(3), np.array([3]), np.array([[3]], np.int32)):
        assert scalar_int(value) == 3
    for value in (np.array([1, 2]), np.zeros(0, np.int64)):
        with pytest.raises(ValueError, match="expected one integer"):
            scalar_int(value)
    assert int_list(np.array(3)) == [3]
    assert int_list(np.array([3, -1], np.int32)) == [3, -1]
    assert int_list(np.zeros(0, np.int64)) == []
    with pytest.raises(ValueError, match="expected a list of integers"):
        int_list(np.zeros((1, 1), np.int64))


@pytest.mark.parametrize("value", [np.array([1.0]), np.array([True]), np.array(["1"], object)])
def test_places_and_counts_are_integers(value: Array) -> None:
    for function in (scalar_int, int_list, integers, lambda v: indices_in(v, 3)):
        with pytest.raises(TypeError, match=f"expected integers, got {value.dtype}"):
            function(value)


@pytest.mark.parametrize("value", [np.array([True]), np.array(["a"], object)])
@pytest.mark.parametrize(
    "op",
    [
        *(ops.add, ops.sub, ops.mul, ops.div, ops.mod, ops.pow_, ops.max_, ops.min_, ops.sum_),
        *(ops.mean, ops.less, ops.less_or_equal, ops.greater, ops.greater_or_equal, ops.prelu),
        *(ops.clip, ops.matmul, ops.swiglu),
        lambda a, b: ops.range_(a, b, b),
        lambda a, b: ops.einsum(a, b, equation="i,i"),
        lambda a, b: ops.gemm(a[None], b[None], transB=1),
    ],
)
def test_nothing_but_numbers_is_computed_with(op: Callable[..., Any], value: Array) -> None:
    with pytest.raises(TypeError, match="expected numbers"):
        op(value, value)


def test_one_number_a_channel() -> None:
    x = np.zeros((2, 3, 4, 5))
    assert per_channel(np.zeros(3), x).shape == (3, 1, 1)
    with pytest.raises(ValueError, match="one number per channel"):
        per_channel(np.zeros(4), x)
    with pytest.raises(ValueError, match="one number per channel"):
        per_channel(np.zeros(1), np.zeros(1))
    with pytest.raises(TypeError, match="float64, float32"):
        per_channel(np.zeros(3, np.float32), x)


def test_one_number_a_column() -> None:
    x, values = np.zeros((2, 3)), np.ones(3)
    assert per_column(values, x) is values
    for other in (np.ones(1), np.ones(2), np.ones((1, 3)), np.ones(())):
        with pytest.raises(ValueError, match=r"expected one number per column of \(2, 3\)"):
            per_column(other, x)
    with pytest.raises(TypeError, match="float64, float32"):
        per_column(values.astype(np.float32), x)


# -- budgets --------------------------------------------------------------------------------------


@given(shapes(max_rank=4, min_side=1, max_side=9), st.sampled_from(NUMBERS))
def test_a_value_may_take_its_bytes_and_no_more(shape: tuple[int, ...], dtype: DType) -> None:
    size = np.zeros(shape, dtype).nbytes
    with spending(Budget(max_bytes=size)):
        reserve(shape, dtype)
    with spending(Budget(max_bytes=size - 1)), pytest.raises(OverBudgetError, match=f"{size} byt"):
        reserve(shape, dtype)


def test_sizes_are_counted_in_python_integers() -> None:
    # In int64 this product is 0.
    with spending(Budget(max_bytes=2**62)), pytest.raises(OverBudgetError, match=str(2**67)):
        reserve((2**32, 2**32), np.float64)


def test_an_empty_axis_hides_no_others() -> None:
    with spending(Budget(max_bytes=800)):
        reserve((0, 100), np.float64)
        with pytest.raises(OverBudgetError, match=r"shape \(101, 0\) takes 808 bytes"):
            reserve((101, 0), np.float64)


def test_shapes_have_as_many_dimensions_as_arrays() -> None:
    reserve([1] * 64, np.float64)
    with pytest.raises(ValueError, match="a shape of 65 dimensions, 64 are possible"):
        reserve([1] * 65, np.float64)


def test_without_a_budget_everything_is_allowed() -> None:
    reserve((2**40, 2**40), np.float64)
    reserve_broadcast(np.broadcast_to(np.zeros(()), (2**40,)), np.zeros((2, 1)))
    turn()
    with spending(Budget()):
        reserve((2**40, 2**40), np.float64)
        turn()


def test_negative_dimensions_are_refused_even_without_a_budget() -> None:
    with pytest.raises(ValueError, match="negative dimension"):
        reserve((2, -1), np.float64)


@given(operands(NUMBERS, count=3))
def test_broadcasts_are_held_to_the_bytes_of_their_result(inputs: tuple[Array, ...]) -> None:
    shape = np.broadcast_arrays(*inputs)[0].shape
    size = math.prod(n or 1 for n in shape) * inputs[0].dtype.itemsize
    with spending(Budget(max_bytes=size)):
        reserve_broadcast(*inputs)
    with spending(Budget(max_bytes=size - 1)), pytest.raises(OverBudgetError):
        reserve_broadcast(*inputs)


def test_budgets_nest_and_end() -> None:
    with spending(Budget(max_bytes=100)) as outer:
        assert outer.max_bytes == 100
        with spending(Budget(max_bytes=10)), pytest.raises(OverBudgetError):
            reserve((11,), np.int8)
        reserve((100,), np.int8)
        with pytest.raises(KeyError), spending(Budget(max_bytes=0)):
            raise KeyError
        reserve((100,), np.int8)
    reserve((101,), np.int8)


def test_a_budget_belongs_to_its_thread() -> None:
    failures: list[Exception] = []

    def other() -> None:
        try:
            reserve((1000,), np.int8)
        except OverBudgetError as error:
            failures.append(error)

    with spending(Budget(max_bytes=1)):
        thread = Thread(target=other)
        thread.start()
        thread.join()
    assert failures == []


def test_turns_are_counted_down() -> None:
    with spending(Budget(max_iterations=2)) as budget:
        turn()
        turn()
        assert budget.max_iterations == 0
        with pytest.raises(OverBudgetError, match="as often as allowed"):
            turn()


def test_the_deadline_is_checked_at_every_turn() -> None:
    with spending(Budget(deadline=time.monotonic() + 60)) as budget:
        turn()
        budget.deadline = time.monotonic() - 1
        with pytest.raises(OverBudgetError, match="time limit has passed"):
            turn()
        with pytest.raises(OverBudgetError, match="time limit has passed"):
            budget.check_time()


def test_the_deadline_is_checked_before_every_item() -> None:
    items = timed(range(3))
    assert list(items) == [0, 1, 2]
    with spending(Budget()):
        assert list(timed("ab")) == ["a", "b"]
    with spending(Budget(deadline=time.monotonic() + 60)) as budget:
        numbers = iter(timed(itertools.count()))
        assert (next(numbers), next(numbers)) == (0, 1)
        budget.deadline = time.monotonic() - 1
        with pytest.raises(OverBudgetError, match="time limit has passed"):
            next(numbers)
