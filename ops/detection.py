"""Object detection: non-maximum suppression, and pooling of regions of interest."""

from __future__ import annotations

import math

import numpy as np

from ._budget import reserve, timed, turn
from ._checks import scalar_int
from ._interpolation import linear_kernel, taps
from ._registry import op
from ._typing import Array


@op("NonMaxSuppression", since=10)
def non_max_suppression(
    boxes: Array,
    scores: Array,
    max_output_boxes_per_class: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    /,
    *,
    center_point_box: int = 0,
) -> Array:
    """The best boxes of each class that overlap no better one by more than ``iou_threshold``.

    ``boxes`` is (batch, boxes, 4), each [y1, x1, y2, x2] with two opposite corners, or with
    ``center_point_box`` [x_center, y_center, width, height]; ``scores`` is (batch, classes, boxes).
    At most ``max_output_boxes_per_class`` (default 0) boxes per class are selected, with scores
    above ``score_threshold``. The result (int64) has rows [batch, class, box], the best first.
    Raises ValueError for a limit that is not one number, TypeError for one that is not an integer.

    >>> boxes = np.float32([[[0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3]]])
    >>> scores = np.float32([[[0.5, 0.9, 0.7]]])
    >>> non_max_suppression(boxes, scores, np.array(9), np.float32(0.5))
    array([[0, 0, 1],
           [0, 0, 2]])

    Spec: NonMaxSuppression-11.
    """
    limit = 0 if max_output_boxes_per_class is None else scalar_int(max_output_boxes_per_class)
    overlap = 0.0 if iou_threshold is None else iou_threshold.item()
    low, high = _corners(boxes, center_point_box)
    rows = [np.empty((0, 3), np.int64)]
    for image, label in timed(np.ndindex(scores.shape[:2])):
        score = scores[image, label]
        order = np.argsort(-score, kind="stable")
        if score_threshold is not None:
            order = order[score[order] > score_threshold.item()]
        kept = _suppress(low[image], high[image], order, limit, overlap)
        rows.append(np.array([(image, label, box) for box in kept], np.int64).reshape(-1, 3))
    return np.concatenate(rows)


def _corners(boxes: Array, center_point_box: int) -> tuple[Array, Array]:
    first, second = boxes[..., :2], boxes[..., 2:]
    if center_point_box:
        return first - second / 2, first + second / 2
    return np.minimum(first, second), np.maximum(first, second)


def _suppress(low: Array, high: Array, order: Array, limit: int, overlap: float) -> list[int]:
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        turn()
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[~(_iou(low[best], high[best], low[order], high[order]) > overlap)]
    return kept


def _iou(low: Array, high: Array, lows: Array, highs: Array) -> Array:
    """The intersection of one box with others over their union; 0 for a box without area."""
    sides = np.maximum(np.minimum(high, highs) - np.maximum(low, lows), 0)
    shared, one, other = sides.prod(-1), (high - low).prod(-1), (highs - lows).prod(-1)
    union = one + other - shared
    solid = (one > 0) & (other > 0) & (union > 0)
    return np.where(solid, shared / np.where(solid, union, 1), 0)


@op("RoiAlign", since=16, rounds=True)
def roi_align(
    x: Array,
    rois: Array,
    batch_indices: Array,
    /,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """Each region divided into ``output_height x output_width`` bins, and each bin averaged.

    X is (batch, channels, height, width); ``rois`` (regions, 4) has [x1, y1, x2, y2], to be
    multiplied by ``spatial_scale``; ``batch_indices`` (int64) has the image of each region. A bin
    is sampled at ``sampling_ratio`` points per axis (0: about one per pixel) by linear
    interpolation; ``mode="max"`` takes the largest weighted pixel instead of the average.
    "half_pixel" has pixel centres at half integers, "output_half_pixel" at integers (and no region
    below 1 x 1). Raises ValueError for unknown modes, IndexError for an image that does not exist.

    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> roi_align(x, np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([0]))
    array([[[[1.5]]]])

    Spec: RoiAlign-22; He et al. 2017.
    """
    if mode not in ("avg", "max"):
        raise ValueError(f"mode is avg or max, not {mode!r}")
    half = coordinate_transformation_mode == "half_pixel"
    if not half and coordinate_transformation_mode != "output_half_pixel":
        raise ValueError(f"unknown transformation {coordinate_transformation_mode!r}")
    scaled = rois[:, [1, 0, 3, 2]] * spatial_scale - (0.5 if half else 0)
    shape = (output_height, output_width)
    reserve((len(rois), x.shape[1], *shape), x.dtype)
    y = np.zeros((len(rois), x.shape[1], *shape), x.dtype)
    for i, owner in timed(enumerate(_owners(batch_indices, len(x)))):
        low, high = np.split(scaled[i], 2)
        sides = high - low if half else np.maximum(high - low, 1)
        rows = _sampled(x[owner], 1, low[0], sides[0], output_height, sampling_ratio, mode)
        bins = _sampled(rows, 3, low[1], sides[1], output_width, sampling_ratio, mode)
        if bins.size:
            y[i] = bins.sum(axis=(2, 4)) if mode == "avg" else bins.max(axis=(2, 4))
    return y


def _sampled(
    image: Array, axis: int, start: float, side: float, bins: int, ratio: int, mode: str
) -> Array:
    """``axis`` replaced by two, one for the bins, one for the weighted pixels of each."""
    size = image.shape[axis]
    count = ratio if ratio > 0 else max(math.ceil(side / bins), 0)
    reserve((bins, 2 * count, *image.shape[:axis], *image.shape[axis + 1 :]), np.float64)
    points = start + (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / count) * side / bins
    places, weights = taps(np.clip(points, 0, size - 1), linear_kernel, 1)
    weights = weights * ((points >= -1) & (points <= size))[..., None]
    weights = weights.reshape(bins, 2 * count) / (count if mode == "avg" else 1)
    seen = image.take(np.minimum(places, size - 1).reshape(bins, 2 * count), axis)
    return seen * weights.reshape(bins, -1, *[1] * (image.ndim - axis - 1)).astype(image.dtype)


def _owners(indices: Array, count: int) -> list[int]:
    if ((indices < 0) | (indices >= count)).any():
        raise IndexError(f"a region belongs to none of {count} images: {indices.tolist()[:9]}")
    return [int(i) for i in indices]


@op("RoiAlign", since=10, rounds=True)
def roi_align_10(
    x: Array,
    rois: Array,
    batch_indices: Array,
    /,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """RoiAlign with ``"output_half_pixel"``: pixel centres at integers.

    Raises ValueError for an unknown mode, IndexError for an image that does not exist.

    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> roi_align_10(x, np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([0]))
    array([[[[1.5]]]])

    Spec: RoiAlign-10.
    """
    return roi_align(
        x, rois, batch_indices, coordinate_transformation_mode="output_half_pixel", mode=mode,
        output_height=output_height, output_width=output_width,
        sampling_ratio=sampling_ratio, spatial_scale=spatial_scale,
    )  # fmt: skip


@op("MaxRoiPool", since=1)
def max_roi_pool(
    x: Array, rois: Array, /, *, pooled_shape: tuple[int, ...], spatial_scale: float = 1.0
) -> Array:
    """The maximum of each bin of each region; 0 for a bin without pixels.

    X is (batch, channels, height, width); ``rois`` (regions, 5) has [batch, x1, y1, x2, y2] with
    both corners inside, to be multiplied by ``spatial_scale`` and rounded. A region is divided into
    ``pooled_shape`` bins, which share the pixels on their borders. Raises IndexError for an image
    that does not exist.

    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> max_roi_pool(x, np.array([[0.0, 0.0, 0.0, 1.0, 2.0]]), pooled_shape=(1, 2))
    array([[[[6., 7.]]]])

    Spec: MaxRoiPool-22; Girshick 2015.
    """
    scaled = rois[:, [2, 1, 4, 3]] * spatial_scale
    # Regions are bounded like int32, for arithmetic that cannot overflow.
    away_from_zero = np.trunc(scaled + np.copysign(0.5, scaled))
    whole = np.clip(away_from_zero, -(2**31), 2**31).astype(np.int64)
    shape = (len(rois), x.shape[1], *pooled_shape)
    reserve(shape, x.dtype)
    y = np.empty(shape, x.dtype)
    for i, owner in timed(enumerate(_owners(rois[:, 0].astype(np.int64), len(x)))):
        top, left, bottom, right = whole[i]
        rows = _largest(x[owner], 1, top, bottom, pooled_shape[0])
        y[i] = _largest(rows, 2, left, right, pooled_shape[1])
    return y


def _largest(image: Array, axis: int, first: int, last: int, bins: int) -> Array:
    """``axis`` from ``first`` to ``last`` divided into bins, with the maximum of each."""
    side = max(int(last - first) + 1, 1)
    found = np.zeros((bins, *image.shape[:axis], *image.shape[axis + 1 :]), image.dtype)
    for i in range(bins):
        turn()
        low, high = i * side // bins, -(-(i + 1) * side // bins)
        inside = np.clip((first + low, first + high), 0, image.shape[axis])
        bin_ = image.take(range(*inside.tolist()), axis)
        if bin_.shape[axis]:
            found[i] = bin_.max(axis)
    return np.moveaxis(found, 0, axis)
