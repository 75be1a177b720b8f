"""Texts and token ids in requests: how the docs show them, and how they are checked.

Plain functions, and not a union of types: one error instead of one for every type and item, and in
words that say what to do.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

_MAX_ID = 2**31 - 1
TEXT_SCHEMA = {"type": "string"}
ID_SCHEMA = {"type": "integer", "minimum": 0, "maximum": _MAX_ID}


def list_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list with at least one item."""
    return {"type": "array", "items": schema, "minItems": 1}


def checked_text(value: object, where: str = "") -> str:
    """The value if it is a text that can be encoded. Raises ValueError saying where it stands."""
    if not isinstance(value, str):
        raise ValueError(f"{where} is {_kind(value)}, expected a text".strip())
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            message = f"{where} has a lone surrogate at character {error.start}".strip()
            raise ValueError(message) from None
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def checked_items(value: object, where: str = "") -> list[Any]:
    """The value if it is a list with something in it. Raises ValueError saying where it stands."""
    if not isinstance(value, list):
        raise ValueError(f"{where} is {_kind(value)}, expected a list".strip())
    if not value:
        raise ValueError(f"{where} is an empty list, expected at least one item".strip())
    return value


def checked_ids(value: object, where: str = "") -> list[int]:
    """The value if it is a list of token ids. Raises ValueError saying where it stands."""
    for i, item in enumerate(checked_items(value, where)):
        if type(item) is not int or not 0 <= item <= _MAX_ID:
            message = f"{where} has no token id from 0 to {_MAX_ID} at place {i}".strip()
            raise ValueError(message)
    return value  # type: ignore[return-value]


def checked_texts(value: object) -> list[str]:
    """The texts of a text or a list of texts."""
    if isinstance(value, str):
        return [checked_text(value)]
    return [checked_text(item, f"item {i}") for i, item in enumerate(checked_items(value))]


def _texts_or_ids(value: object) -> list[str | list[int]]:
    """The inputs of a text, a list of texts, one text's token ids, or a list of such."""
    if isinstance(value, list) and value and type(value[0]) is int:
        return [checked_ids(value)]
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [checked_ids(item, f"item {i}") for i, item in enumerate(value)]
    return [*checked_texts(value)]


Texts = Annotated[
    list[str],
    PlainValidator(checked_texts),
    WithJsonSchema({"anyOf": [TEXT_SCHEMA, list_of(TEXT_SCHEMA)]}),
]
"""A text or a list of texts; always a list once it is checked."""
TextsOrIds = Annotated[
    list[str | list[int]],
    PlainValidator(_texts_or_ids),
    WithJsonSchema(
        {
            "anyOf": [
                TEXT_SCHEMA,
                list_of(TEXT_SCHEMA),
                list_of(ID_SCHEMA),
                list_of(list_of(ID_SCHEMA)),
            ]
        }
    ),
]
Text = Annotated[str, PlainValidator(checked_text), WithJsonSchema(TEXT_SCHEMA)]
