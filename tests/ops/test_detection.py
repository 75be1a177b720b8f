"""Boxes and regions, spelled out one after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import Array, max_roi_pool, non_max_suppression, roi_align, roi_align_10
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole

F32 = np.dtype(np.float32)


def overlap(a: list[float], b: list[float]) -> float:
    """The intersection of two boxes [y1, x1, y2, x2] over their union."""
    sides = [
        (min(a[i + 2], b[i + 2]) - max(a[i], b[i]), a[i + 2] - a[i], b[i + 2] - b[i])
        for i in range(2)
    ]
    shared = math.prod(max(side[0], 0.0) for side in sides)
    one, other = (math.prod(side[k] for side in sides) for k in (1, 2))
    return shared / (one + other - shared) if one > 0 and other > 0 else 0.0


def suppressed(
    boxes: Array, scores: Array, limit: int, iou: float, least: float | None
) -> list[list[int]]:
    rows = []
    for b, c in np.ndindex(scores.shape[:2]):
        by_score = sorted(range(boxes.shape[1]), key=lambda i: (-scores[b, c, i], i))
        kept: list[int] = []
        for i in by_score:
            fits = all(overlap(boxes[b, i].tolist(), boxes[b, k].tolist()) <= iou for k in kept)
            if fits and len(kept) < limit and (least is None or scores[b, c, i] > least):
                kept.append(i)
        rows += [[b, c, i] for i in kept]
    return rows


@st.composite
def boxes(draw: st.DrawFn) -> Array:
    corner = whole(draw, 2, 6, 2)
    return np.concatenate([corner, corner + np.abs(whole(draw, 2, 6, 2))], axis=-1)


@given(boxes(), st.data())
def test_boxes_that_overlap_a_better_one_are_left_out(found: Array, data: st.DataObject) -> None:
    scores = whole(data.draw, 2, 3, 6)
    limit, iou = data.draw(st.integers(0, 6)), data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    least = data.draw(st.sampled_from([None, -1.0, 2.0]))
    threshold = None if least is None else np.array(least)
    kept = non_max_suppression(found, scores, np.array(limit), np.array([iou]), threshold)
    expected = suppressed(found, scores, limit, iou, least)
    assert_equal(kept, np.array(expected, np.int64).reshape(-1, 3))


@given(boxes(), st.data())
def test_boxes_may_be_spelled_in_other_ways(found: Array, data: st.DataObject) -> None:
    scores = whole(data.draw, 2, 1, 6)
    expected = non_max_suppression(found, scores, np.array(6), np.array(0.25))
    swapped = found[..., [2, 1, 0, 3]]  # any two opposite corners
    assert_equal(non_max_suppression(swapped, scores, np.array(6), np.array(0.25)), expected)
    low, high = found[..., :2], found[..., 2:]
    centred = np.concatenate([(low + high) / 2, high - low], axis=-1)[..., [1, 0, 3, 2]]
    again = non_max_suppression(centred, scores, np.array(6), np.array(0.25), center_point_box=1)
    assert_equal(again, expected)


def test_no_box_is_chosen_unless_asked_for() -> None:
    one = np.ones((1, 1, 4), np.float32)
    assert non_max_suppression(one, one[..., :1]).shape == (0, 3)


def bilinear(image: Array, y: float, x: float) -> list[float]:
    """The weighed pixels of a point, which count as nothing more than one pixel outside."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return [0.0] * 4
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    values = []
    for i, wy in ((top, 1 - (y - top)), (min(top + 1, height - 1), y - top)):
        for j, wx in ((left, 1 - (x - left)), (min(left + 1, width - 1), x - left)):
            values.append(float(image[i, j]) * wy * wx)
    return values


def aligned(
    image: Array, roi: list[float], shape: tuple[int, int], ratio: int, half: bool, mode: str
) -> Array:
    x1, y1, x2, y2 = (v - 0.5 * half for v in roi)
    height, width = y2 - y1, x2 - x1
    if not half:
        height, width = max(height, 1), max(width, 1)
    cell_h, cell_w = height / shape[0], width / shape[1]
    rows, columns = (ratio or math.ceil(cell) for cell in (cell_h, cell_w))
    out = np.zeros(shape)
    for p, q in np.ndindex(shape):
        points = [
            bilinear(
                image,
                y1 + (p + (i + 0.5) / rows) * cell_h,
                x1 + (q + (j + 0.5) / columns) * cell_w,
            )
            for i in range(rows)
            for j in range(columns)
        ]
        if points:
            flat = [value for point in points for value in point]
            out[p, q] = sum(flat) / len(points) if mode == "avg" else max(flat)
    return out


@given(st.data(), st.sampled_from(["avg", "max"]), st.booleans(), st.integers(0, 2))
def test_roi_align_interpolates_and_pools(
    data: st.DataObject, mode: str, half: bool, ratio: int
) -> None:
    x = whole(data.draw, 2, 2, 3, 4)
    corner = whole(data.draw, 2, 2) / 4
    rois = np.concatenate([corner, corner + np.abs(whole(data.draw, 2, 2))], axis=1)
    owners = np.array(data.draw(st.lists(st.integers(0, 1), min_size=2, max_size=2)))
    attributes: dict[str, Any] = {
        "mode": mode, "output_height": 2, "output_width": 3, "sampling_ratio": ratio
    }  # fmt: skip
    word = "half_pixel" if half else "output_half_pixel"
    found = roi_align(x, rois, owners, coordinate_transformation_mode=word, **attributes)
    for r, c in np.ndindex(2, 2):
        image = x[owners[r], c]
        expected = aligned(image, rois[r].tolist(), (2, 3), ratio, half, mode)
        assert_close(found[r, c], expected, F32, floor=64)
    if not half:
        assert_equal(roi_align_10(x, rois, owners, **attributes), found)


@given(st.data())
def test_max_roi_pool_takes_the_largest_of_each_cell(data: st.DataObject) -> None:
    x = whole(data.draw, 2, 2, 4, 5)
    corner = whole(data.draw, 3, 2)
    far = corner + np.abs(whole(data.draw, 3, 2))
    owners = np.array([[0], [1], [0]], np.float32)
    found = max_roi_pool(x, np.concatenate([owners, corner, far], axis=1), pooled_shape=(2, 3))
    for r, c, p, q in np.ndindex(3, 2, 2, 3):
        (left, top), (right, bottom) = corner[r].astype(int), far[r].astype(int)
        height, width = bottom - top + 1, right - left + 1
        rows = range(top + p * height // 2, top - (-(p + 1) * height // 2))
        columns = range(left + q * width // 3, left - (-(q + 1) * width // 3))
        inside = [
            float(x[int(owners[r, 0]), c, i, j])
            for i in rows
            for j in columns
            if 0 <= i < 4 and 0 <= j < 5
        ]
        assert found[r, c, p, q] == max(inside, default=0)


def test_regions_are_scaled_and_rounded_away_from_zero() -> None:
    x = np.arange(4.0).reshape(1, 1, 1, 4)
    roi = np.array([[0.0, 1.0, 0.0, 3.0, 0.0]])  # from 0.5 to 1.5, which is 1 to 2
    assert max_roi_pool(x, roi, pooled_shape=(1, 2), spatial_scale=0.5).tolist() == [[[[1, 2]]]]


X = np.zeros((1, 1, 2, 2))
ROI = np.zeros((1, 4))


@pytest.mark.parametrize("owner", [-1, 1])
def test_a_region_must_belong_to_an_image(owner: int) -> None:
    with pytest.raises(IndexError, match="belongs to none of 1 images"):
        roi_align(X, ROI, np.array([owner]))
    with pytest.raises(IndexError, match="belongs to none of 1 images"):
        max_roi_pool(X, np.array([[owner, 0, 0, 1, 1]]), pooled_shape=(1, 1))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="avg or max"):
        roi_align(X, ROI, np.array([0]), mode="mean")
    with pytest.raises(ValueError, match="unknown transformation"):
        roi_align(X, ROI, np.array([0]), coordinate_transformation_mode="asymmetric")
    with pytest.raises(ValueError, match="expected one integer"):
        non_max_suppression(X, X[0, :1], np.array([1, 2]))
