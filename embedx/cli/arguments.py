"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from embedx.cli.output import complain, say

MODEL = "a model folder, an .onnx file, or a cached name (default: the model of embedx)"


def count(text: str) -> int:
    """The type of an argument that is a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def file(text: str) -> Path | None:
    """The type of an argument that names a file; None for ``-``, which is stdout."""
    return None if text == "-" else Path(text)


class Parser(argparse.ArgumentParser):
    """Says so if its help cannot be printed, as other output, and ends well if an error cannot."""

    intermixed = False
    """Whether options may stand between positional arguments."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, or with options anywhere."""
        if not self.intermixed or "--" in (args or ()):  # which argparse then gets wrong
            return super().parse_known_args(args, namespace)
        self.intermixed = False  # since what is called calls this one again
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixed = True

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and end with the code 2."""
        complain(f"{self.format_usage()}{self.prog}: error: {message}")
        raise SystemExit(2)

    def print_help(self, file: Any = None) -> None:
        """Print the help."""
        say(self.format_help().rstrip())


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many texts run together."""
    parser.add_argument(
        "--batch-size", type=count, default=32, metavar="N",
        help="how many texts run together (default: 32)",
    )  # fmt: skip


def add_inputs(parser: argparse.ArgumentParser) -> Any:
    """Add the options that say what a model is fed; the group in which one of them may stand."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--inputs", type=Path, metavar="X",
        help="an .npz of feeds by name, or a folder with test_data_set_0 (default: made up)",
    )  # fmt: skip
    source.add_argument("--texts", metavar="FILE", help="texts to make the feeds of (see embed -i)")
    return source


def command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    """Add a command that ``function`` carries out; every one can answer in JSON."""
    parser: Parser = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(command=function)
    parser.intermixed = True
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
