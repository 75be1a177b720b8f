"""A tiny BERT in a folder, and its copies as onnxruntime's quantizer writes them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.tiny import bert, deployment

TEXTS = [
    "the cat sat on the mat",
    "a dog ran away",
    "the big red dog and the blue cat",
    "cat",
    "far away from the mat",
    "a cat and a dog ran far away from the red mat !",
    "blue dogs",
    "the cat ran",
]


def folder(place: Path, model: onnx.ModelProto | None = None) -> Path:
    """A folder with a model, that of a BERT if none is given, which pools by the mean."""
    return deployment(place, bert() if model is None else model, pooling={})


def dynamic(source: Path, target: Path, **options: Any) -> Path:
    """A folder's model with weights and activations in 8 bits, scaled as it runs."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    logging.disable()  # it advises what does not matter here
    quantization.quantize_dynamic(
        str(source / "model.onnx"),
        str(target),
        **{"weight_type": quantization.QuantType.QInt8, **options},
    )
    logging.disable(logging.NOTSET)
    return target


def static(source: Path, target: Path, feeds: Sequence[dict[str, Any]], **options: Any) -> Path:
    """A folder's model with scales from some feeds."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Any]] = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    logging.disable()
    quantization.quantize_static(
        str(source / "model.onnx"),
        str(target),
        Reader(),
        **{"op_types_to_quantize": ["MatMul"], **options},
    )
    logging.disable(logging.NOTSET)
    return target


def scaled(model: onnx.ModelProto, part: str, factor: float) -> onnx.ModelProto:
    """The model with the weights of that name multiplied."""
    for tensor in model.graph.initializer:
        if part in tensor.name:
            value = (numpy_helper.to_array(tensor) * factor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return model
