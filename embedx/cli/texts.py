"""Texts from arguments, from files and from stdin."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from embedx.errors import InputError


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the option that names files of texts."""
    parser.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help="a file with one text per line (.jsonl, .ndjson: one JSON string, or object with a "
        "'text', per line); - is stdin",
    )


def texts_of(options: argparse.Namespace) -> Iterator[str]:
    """The texts that the arguments give, in order: themselves, then those of files."""
    for text in options.texts:
        if text == "-":
            yield from lines("-")
        else:
            yield text
    for name in options.input:
        yield from lines(name)


def texts_in(name: str | None) -> list[str] | None:
    """The texts of a file that are not blank; None without a file."""
    return None if name is None else [*filter(str.strip, lines(name))]


def lines(name: str) -> Iterator[str]:
    """The texts of a file: one per line, or one JSON value per line.

    LF, CR LF and CR end a line.
    """
    try:
        if name != "-":
            data = Path(name).read_bytes()
        elif sys.stdin is not None:
            data = sys.stdin.buffer.read()
        else:
            raise InputError("cannot read stdin: it is closed")
        lines = re.split("\r\n|\r|\n", data.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        hint = "; it looks like UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InputError(f"{name} is not UTF-8 (byte {error.start}){hint}") from error
    if not lines[-1]:  # what ends with a line's end has no line behind it
        lines.pop()
    as_json = name.endswith((".jsonl", ".ndjson"))
    for number, line in enumerate(lines, 1):
        yield _json_text(line, f"{name}, line {number}") if as_json else line


def _json_text(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} is not JSON") from error
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise InputError(f"{where} is neither a string nor an object with a string 'text'")
    return text
