"""Feeds that are made up, and that the model has accepted."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from embedx.run.engine import Engine
from tests.models import model

WIDTH, ROWS = 8, 11


def weighted(text: str, *, opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """A graph in ONNX's text format with weights beside it."""
    proto = model(text, opset=opset, imports=', "com.microsoft" : 1')
    for name, value in weights.items():
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return proto


def made(proto: onnx.ModelProto, batch: int = 2, length: int = 5) -> dict[str, Any]:
    """The feeds, which the model has accepted."""
    engine = Engine(proto)
    feeds = engine.generate_random_inputs(batch, length)
    engine.run(feeds)
    return dict(zip(engine.input_names, feeds, strict=True))


def shapes(proto: onnx.ModelProto, batch: int = 2, length: int = 5) -> list[tuple[int, ...]]:
    return [np.shape(feed) for feed in made(proto, batch, length).values()]
