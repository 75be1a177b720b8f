"""JSON out of arrays, in pieces, so that a large answer never holds up the event loop."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from starlette.responses import Response

from embedx.model.graph import Array
from embedx.server.service import Service

_PIECE = 4096
"""Numbers that are written at once: the interpreter switches threads only in between."""


def array_json(array: Array) -> str:
    """The nested lists of a finite array; each float32 as the float64 that equals it.

    >>> array_json(np.array([[1.5, 2.0]], np.float32))
    '[[1.5,2.0]]'
    """
    if array.ndim > 1:
        return list_json(map(array_json, array))
    pieces = (array[i : i + _PIECE].tolist() for i in range(0, len(array), _PIECE))
    return list_json(",".join(map(repr, piece)) for piece in pieces)


def base64_json(array: Array) -> str:
    """The array's float32 values, little-endian, in base64, as a JSON string."""
    return f'"{base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()}"'


def list_json(items: Iterable[str]) -> str:
    """A JSON list of what is JSON already."""
    return f"[{','.join(items)}]"


def object_json(known: Mapping[str, Any], written: Mapping[str, str]) -> str:
    """A JSON object of plain values, and of values that are JSON already.

    >>> object_json({"n": 1}, {"x": "[2]"})
    '{"n":1,"x":[2]}'
    """
    plain = {k: json.dumps(v, allow_nan=False, separators=(",", ":")) for k, v in known.items()}
    pairs = (f"{json.dumps(key)}:{value}" for key, value in {**plain, **written}.items())
    return "{" + ",".join(pairs) + "}"


async def arrays_json(service: Service, arrays: Sequence[Array]) -> str:
    """The arrays as a JSON list, written outside the event loop."""
    return await service.help(lambda: list_json(map(array_json, arrays)))


def json_response(text: str) -> Response:
    """The text as an answer."""
    return Response(text, media_type="application/json")
