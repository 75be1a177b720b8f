"""What the command line says on stdout and stderr, and what it does if nobody can hear it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from embedx.errors import OutputError


class Ended(BaseException):
    """The process is to end early; an exception, so that temporary files go first."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


@contextmanager
def stdout() -> Iterator[TextIO]:
    """Stdout, for text that is out when the block ends. Raises OutputError if it cannot be."""
    if sys.stdout is None:
        raise OutputError("cannot write to stdout: it is closed")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        give_up_if_stuck(sys.stdout)
        if isinstance(error, BrokenPipeError):  # the reader has seen enough, as head does
            raise Ended(0) from error
        raise OutputError(f"cannot write to stdout: {error.strerror or error}") from error


def say(text: str) -> None:
    """Print a text and the end of its line on stdout."""
    with stdout() as stream:
        print(text, file=stream)


def complain(text: str) -> None:
    """Print a text on stderr, if it can be printed there."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)
    give_up_if_stuck(sys.stderr)


def give_up_if_stuck(stream: TextIO | None) -> None:
    """Drop text that a stream does not take; Python would try again at exit, and complain."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def watched() -> bool:
    """Whether somebody looks at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def print_json(document: dict[str, Any]) -> None:
    """Print a result as one JSON document."""
    say(json.dumps({"schema_version": 1, **document}, allow_nan=False))
