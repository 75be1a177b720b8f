"""What is lost and regained, against arithmetic on one product, and against requantizing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.errors import ConfigError
from embedx.oracle.quant import Keep, study
from embedx.oracle.quantization import Side, Text, in_float, losses, pairs_of, smallest
from embedx.text.embedder import load
from tests.oracle.quantized import TEXTS, dynamic, folder, static
from tests.oracle.test_products import CODES, FORMS, REFERENCE, SCALE, W, X
from tests.tiny import bert


def db(exact: np.ndarray, other: np.ndarray) -> float:
    noise = ((exact - other) ** 2).sum()
    return float(10 * np.log10((exact**2).sum() / noise))


def text() -> Text:
    return Text({"x": X}, {"x": X}, lambda y: y.reshape(1, -1))


def test_the_loss_of_one_product_is_that_of_its_arithmetic() -> None:
    sides = Side(REFERENCE), Side(FORMS["MatMulInteger"])
    low, high = min(X.min(), 0), max(X.max(), 0)
    scale = (high - low) / np.float32(255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    codes = np.clip(np.rint(X / scale) + zero, 0, 255)
    y = ((codes - zero) * scale).astype(np.float64) @ (CODES * SCALE).astype(np.float64)
    found = losses(sides, pairs_of(sides), [text()])
    ((_, loss),) = found.products
    expected = db(X.astype(np.float64) @ W, y)
    assert loss.local == pytest.approx(expected, abs=1e-3)
    assert loss.cumulative == pytest.approx(expected, abs=1e-3)
    assert found.in_float == 0


def test_equal_models_lose_nothing() -> None:
    sides = Side(REFERENCE), Side(REFERENCE)
    found = losses(sides, pairs_of(sides), [text()])
    assert found.products == ()
    assert found.in_float == 1


def test_a_quantized_reference_is_refused() -> None:
    with pytest.raises(ConfigError, match="give the float model first"):
        pairs_of((Side(FORMS["MatMulInteger"]), Side(FORMS["QDQ"])))


@pytest.mark.parametrize("ops", [["MatMul"], ["MatMul", "Gather"]])
def test_all_in_float_is_the_float_model(tmp_path: Path, ops: list[str]) -> None:
    source = folder(tmp_path / "float")
    found = study(
        source,
        dynamic(source, tmp_path / "int8.onnx", op_types_to_quantize=ops),
        TEXTS,
        keep=Keep(1 - 1e-9),
        regain_texts=2,
    ).lost
    assert found is not None
    assert not found.choice.kept
    assert found.choice.after == pytest.approx(1, abs=1e-9)
    assert {p.layer for p, _ in found.losses.products} >= {0, 1}


def test_what_is_foretold_is_what_requantizing_gives(tmp_path: Path) -> None:
    source = folder(tmp_path / "float")
    before = study(source, dynamic(source, tmp_path / "int8.onnx"), TEXTS, keep=Keep(0.9999)).lost
    assert before is not None
    names = [pair.to_exclude for pair in before.choice.pairs]
    assert 0 < len(names) < len(before.losses.products)
    assert not before.choice.kept
    assert before.choice.found
    again = dynamic(source, tmp_path / "again.onnx", nodes_to_exclude=names)
    after = study(source, again, TEXTS, keep=Keep(0.9999), regain_texts=1).lost
    assert after is not None
    assert after.choice.kept
    assert after.consequences.mean_cosine == pytest.approx(before.choice.after, abs=1e-7)
    left = {pair.to_exclude for pair, _ in after.losses.products}
    assert left == {pair.to_exclude for pair, _ in before.losses.products} - set(names)


def test_what_one_product_regains_is_what_requantizing_regains(tmp_path: Path) -> None:
    source = folder(tmp_path / "float")
    found = study(source, dynamic(source, tmp_path / "int8.onnx"), TEXTS, regain_texts=99).lost
    assert found is not None
    for pair, loss in found.losses.products[::5]:
        target = dynamic(source, tmp_path / "one.onnx", nodes_to_exclude=[pair.to_exclude])
        alone = study(source, target, TEXTS, regain_texts=1).lost
        assert alone is not None
        gain = alone.consequences.mean_cosine - found.consequences.mean_cosine
        assert loss.regained == pytest.approx(gain, abs=1e-7)


def test_static_quantization_is_read_in_both_of_its_formats(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantFormat

    source = folder(tmp_path / "float")
    model = load(source).text_model
    feeds = [model.feeds([t], len(t.ids)) for t in model.tokens(TEXTS, 64)]
    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        target = static(source, tmp_path / f"{form}.onnx", feeds, quant_format=form)
        found = study(source, target, TEXTS, regain_texts=2).lost
        assert found is not None
        products = [p for p, _ in found.losses.products if not p.candidate.looks_up]
        assert len(products) == 16
        assert all(
            loss.local is not None and 15 < loss.local < 70 for _, loss in found.losses.products
        )
        sides = tuple(Side(load(p).text_model.engine.graph) for p in (source, source))
        assert len(pairs_of((sides[0], sides[1]))) == 19


def test_layers_are_measured_each_with_what_the_layer_before_gave(tmp_path: Path) -> None:
    source = folder(tmp_path / "float", bert(layers=3))
    # Only the second layer is quantized, so the third one makes nothing worse than it is.
    names = [n.name for n in load(source).text_model.engine.graph.nodes if n.op_type == "MatMul"]
    target = dynamic(source, tmp_path / "int8.onnx", nodes_to_quantize=names[8:16])
    found = study(source, target, TEXTS, regain_texts=2).lost
    assert found is not None
    first, second, third = found.losses.layers
    assert first.local is not None
    assert first.local > 120
    assert second.local == second.cumulative
    assert third.local is not None
    assert third.local > 120
    assert third.cumulative is not None
    assert third.cumulative < 80
    assert first.regained == third.regained == 0
    assert second.regained == pytest.approx(1 - found.regain_cosine, abs=1e-7)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 100))
def test_where_worth_adds_up_the_choice_is_the_smallest(worth: list[int], percent: int) -> None:
    order = sorted(worth, reverse=True)
    items = list(enumerate(order))
    wanted = sum(order) * percent / 100

    def score(chosen: Sequence[tuple[int, int]]) -> float:
        return sum(value for _, value in chosen)

    chosen = smallest(items, score, wanted)
    assert chosen is not None
    assert score(chosen) >= wanted
    fewest = next(
        n for n in range(len(items) + 1) if any(score(c) >= wanted for c in combinations(items, n))
    )
    assert len(chosen) == fewest


@given(st.dictionaries(st.frozensets(st.integers(0, 4)), st.floats(0, 1)), st.floats(0, 1))
def test_of_any_choice_none_can_be_spared(
    scores: dict[frozenset[int], float], wanted: float
) -> None:
    def score(chosen: Sequence[int]) -> float:
        return scores.get(frozenset(chosen), 0.0)

    chosen = smallest(range(5), score, wanted)
    if chosen is None:
        assert score(range(5)) < wanted
        return
    assert score(chosen) >= wanted


def test_pieces_of_a_choice_in_float_change_only_what_they_touch() -> None:
    sides = Side(REFERENCE), Side(FORMS["QDQ"])
    (pair,) = pairs_of(sides)
    rows = in_float(sides, [pair], [text()])
    np.testing.assert_allclose(rows, (X @ W).reshape(1, -1), atol=1e-5)
    assert not np.allclose(in_float(sides, [], [text()]), rows, atol=1e-4)
