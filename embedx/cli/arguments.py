"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedx.cli.output import say

MODEL = "a model folder, an .onnx file, or a cached name (default: the model of embedx)"


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def file(text: str) -> Path | None:
    return None if text == "-" else Path(text)


class Parser(argparse.ArgumentParser):
    """Says so if its help cannot be printed, as other output."""

    def print_help(self, file: Any = None) -> None:
        say(self.format_help().rstrip())


def command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(command=function)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
