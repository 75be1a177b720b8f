"""One family of errors, whose messages are one line and do no harm."""

from __future__ import annotations

import ast
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import embedx
from embedx import errors
from embedx.errors import EmbedxError, ToleranceError

FAMILY = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EmbedxError)
]


@given(st.text())
def test_messages_are_one_printable_line(text: str) -> None:
    message = str(EmbedxError(text))
    assert message.isprintable()
    assert len(message.splitlines()) <= 1
    # A Python literal with the same escapes stands for the text.
    if "\\" not in text:
        quoted = message.replace('"', '\\"')
        assert ast.literal_eval(f'"{quoted}"') == text


@given(st.integers(1900, 2100))
def test_long_messages_are_cut(length: int) -> None:
    message = str(EmbedxError("x" * length))
    assert len(message) <= 2000
    assert message == "x" * length if length <= 2000 else message.endswith("x ...")


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_and_is_exported(kind: type[EmbedxError]) -> None:
    # 2 is argparse's, and from 126 on a shell has meanings of its own.
    assert 0 < kind.exit_code < 126
    assert getattr(embedx, kind.__name__) is kind
    assert kind.__doc__


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_errors_come_back_whole_from_other_processes(kind: type[EmbedxError]) -> None:
    again = pickle.loads(pickle.dumps(kind("two\nlines")))
    assert type(again) is kind
    assert str(again) == "two\\nlines"


def test_differences_fail_tests() -> None:
    assert issubclass(ToleranceError, AssertionError)
