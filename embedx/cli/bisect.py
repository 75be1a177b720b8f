"""``embedx bisect``: where a candidate first parts from exact arithmetic, and what makes it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from embedx.cli.arguments import MODEL, add_inputs, command, count
from embedx.cli.output import Ended, print_json, say
from embedx.cli.texts import texts_in


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands, "bisect", _bisect,
        "find the first node where a candidate parts from exact arithmetic, and what makes it",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help=MODEL.partition(" (")[0])
    parser.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE", help="another model (default: the same one)"
    )
    parser.add_argument(
        "--with", dest="engine", default="onnxruntime", metavar="ENGINE",
        help="what runs the candidate (default: onnxruntime)",
    )  # fmt: skip
    source = add_inputs(parser)
    source.add_argument(
        "--seeds", type=count, default=1, metavar="N", help="make up N inputs (default: 1)"
    )
    parser.add_argument(
        "--repro", type=Path, metavar="FOLDER",
        help="a new folder for a small model that shows it, its data, a failing test and a report",
    )  # fmt: skip


def _bisect(options: argparse.Namespace) -> None:
    from embedx.oracle.bisect import bisect
    from embedx.oracle.repro import check_place, write_repro

    if options.repro:
        check_place(options.repro, options.model, options.candidate)
    found = bisect(
        options.model, options.candidate, with_=options.engine, inputs=options.inputs,
        texts=texts_in(options.texts), seeds=options.seeds,
    )  # fmt: skip
    written = write_repro(found, options.repro) if options.repro and found.piece else []
    if options.json:
        print_json({**found.document, "repro": str(options.repro) if written else None})
    else:
        none = "none, since no piece was found to show it" if options.repro else ""
        repro = written[0] if written else none
        say(f"{found}\n\nrepro      {repro}" if repro and found.parted else str(found))
    if found.parted:
        raise Ended(1)
