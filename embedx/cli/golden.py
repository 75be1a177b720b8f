"""``embedx golden``: what a model gave, recorded, and held against what it gives now."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedx.cli.arguments import MODEL, add_inputs, command
from embedx.cli.output import Ended, print_json, say
from embedx.cli.texts import texts_in

if TYPE_CHECKING:
    from embedx.oracle.comparison import Comparison


def add_to(commands: Any) -> None:
    """Add the commands ``golden record`` and ``golden check``."""
    purpose = "record what a model gives in ONNX's layout of test data, and check it later"
    golden = commands.add_parser(
        "golden", help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.",
        allow_abbrev=False,
    )  # fmt: skip
    actions = golden.add_subparsers(title="commands", required=True, metavar="COMMAND")

    record = command(actions, "record", _record, "write what a model gives for some inputs")
    record.add_argument("model", metavar="MODEL", help=MODEL.partition(" (")[0])
    record.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder to write"
    )
    add_inputs(record)
    record.add_argument(
        "--with", dest="engine", default="embedx:exact", metavar="ENGINE",
        help="what runs the model (default: embedx:exact, which gives the same bits everywhere)",
    )  # fmt: skip
    record.add_argument(
        "--no-model", action="store_true", help="do not copy the model into the folder"
    )

    check = command(
        actions, "check", _check, "hold recorded values against what exact arithmetic gives now"
    )
    check.add_argument("folder", type=Path, metavar="FOLDER", help="what golden record wrote")
    check.add_argument(
        "model", nargs="?", metavar="MODEL", help="the model (default: the one in FOLDER)"
    )
    check.add_argument(
        "--with", dest="engine", metavar="ENGINE",
        help="also judge what this engine gives for the recorded inputs",
    )  # fmt: skip


def _record(options: argparse.Namespace) -> None:
    from embedx.oracle.recording import record

    count, there = record(
        options.model,
        options.output,
        inputs=options.inputs,
        texts=texts_in(options.texts),
        with_=options.engine,
        copy_model=not options.no_model,
    )
    if options.json:
        facts = {"folder": str(options.output), "data_sets": count, "model": there}
        print_json({**facts, "engine": options.engine})
        return
    model = "" if there else "; the model is not in it, golden check wants it named"
    say(f"{options.output}: data sets: {count}, by {options.engine}{model}")


def _check(options: argparse.Namespace) -> None:
    from embedx.oracle.recording import check, golden_document

    comparisons = check(options.folder, options.model, with_=options.engine)
    if options.json:
        print_json(golden_document(comparisons))
    else:
        say("\n\n".join(_told(options, comparisons)))
    if not all(comparison.passed for comparison in comparisons):
        raise Ended(1)


def _told(options: argparse.Namespace, comparisons: Sequence[Comparison]) -> list[str]:
    """The comparisons as text, each under what it is about if there are several."""
    if options.engine is None:
        return [str(comparison) for comparison in comparisons]
    heads = (
        f"The values recorded in {options.folder}:",
        f"What {options.engine} gives for the recorded inputs:",
    )
    return [f"{head}\n\n{c}" for head, c in zip(heads, comparisons, strict=True)]
