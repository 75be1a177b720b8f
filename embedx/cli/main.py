"""The command line: ``embedx COMMAND`` or ``python -m embedx COMMAND``."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from embedx.cli import bench, bisect, compare, embed, golden, model, quant, serve, similar
from embedx.cli.arguments import Parser
from embedx.cli.output import Ended, complain, give_up_if_stuck
from embedx.cli.versions import Version
from embedx.errors import EmbedxError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went (see README)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args([_dashed(word) for word in given])
        # A server writes no files, and ends in its own way.
        serving = options.command is serve.serve_command
        with contextlib.nullcontext() if serving else _ending_by_exceptions():
            options.command(options)
    except EmbedxError as error:
        complain(f"embedx: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Ended as ended:
        return ended.exit_code
    except SystemExit:  # argparse has said what is wrong
        give_up_if_stuck(sys.stderr)
        raise
    except Exception:
        complain(f"{traceback.format_exc()}embedx: this is a bug in embedx; please report it")
        return 70
    return 0


@contextmanager
def _ending_by_exceptions() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise, where the system would end the process without more ado."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one need not be patient
        raise Ended(128 + number)

    taken = []
    if threading.current_thread() is threading.main_thread():
        numbers = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))
        taken = [n for n in numbers if n and signal.getsignal(n) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _dashed(word: str) -> str:
    """``--sequence_length`` is ``--sequence-length``; values stay as they are."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="embedx",
        description="Run transformer encoders from ONNX files in NumPy: embed texts, see what is "
        "in a model, and what its operators mean.",
        epilog="'embedx COMMAND --help' tells more about a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="versions, of embedx and others")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (embed, similar, model, compare, bisect, quant, golden, bench, serve):
        module.add_to(commands)
    return parser
