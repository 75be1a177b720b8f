"""A ModelProto's bytes without its weights, so that parsing does not copy them.

Only what leads there is read: ModelProto.graph (field 7), GraphProto.initializer (5),
TensorProto.raw_data (9). https://protobuf.dev/programming-guides/encoding has the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_BYTES = 2  # the wire type of what has a length in front
_LARGE = 4096
"""Bytes from which on leaving them out is worth the trouble."""


def without_weights(data: memoryview) -> tuple[bytes, dict[int, memoryview]]:
    """The message without the large raw_data of its initializers, and these by their places.

    Of bytes that are no protobuf message, or repeat what should be there once, nothing is left
    out; the parser says what is wrong with them.
    """
    raw: dict[int, memoryview] = {}
    try:
        fields = list(_fields(data))
        if sum(number == _GRAPH for number, *_ in fields) != 1:
            return bytes(data), {}
        parts = [
            _message(number, _graph(body, raw)) if number == _GRAPH else bytes(whole)
            for number, whole, body in fields
        ]
    except (IndexError, ValueError):
        return bytes(data), {}
    return b"".join(parts), raw


def _graph(data: memoryview, raw: dict[int, memoryview]) -> bytes:
    parts, place = [], 0
    for number, whole, body in _fields(data):
        if number == _INITIALIZER:
            parts.append(_message(number, _tensor(body, raw, place)))
            place += 1
        else:
            parts.append(bytes(whole))
    return b"".join(parts)


def _tensor(data: memoryview, raw: dict[int, memoryview], place: int) -> bytes:
    fields = list(_fields(data))
    found = [body for number, _, body in fields if number == _RAW_DATA]
    if len(found) != 1 or len(found[0]) < _LARGE:
        return bytes(data)
    raw[place] = found[0]
    return b"".join(bytes(whole) for number, whole, _ in fields if number != _RAW_DATA)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, whole extent and content of each field. Raises ValueError or IndexError."""
    start = 0
    while start < len(data):
        key, place = _varint(data, start)
        kind = key & 7
        if kind == 0:
            _, end = _varint(data, place)
        elif kind == _BYTES:
            length, place = _varint(data, place)
            end = place + length
        elif kind in (1, 5):
            end = place + {1: 8, 5: 4}[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if end > len(data):
            raise ValueError("cut off")
        number = key >> 3 if kind == _BYTES else 0  # what is read here has a length
        yield number, data[start:end], data[place:end]
        start = end


def _varint(data: memoryview, start: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[start]
        value |= (byte & 127) << shift
        start += 1
        if byte < 128:
            return value, start
    raise ValueError("a number of more than 64 bits")


def _message(number: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([number << 3 | _BYTES])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + body
