"""``embedx quant``: what quantization and half precision cost, and where."""

from __future__ import annotations

import argparse
from typing import Any

from embedx.cli.arguments import command, count
from embedx.cli.output import Ended, complain, print_json, say, watched
from embedx.cli.texts import lines


def add_to(commands: Any) -> None:
    """Add the command ``quant``."""
    quant = command(
        commands, "quant", _quant, "show what quantization or half precision costs, and where"
    )
    quant.epilog = (
        "Exit code 1: what --keep asks for is not kept, half precision fails, or a text depends on "
        "what runs beside it."
    )
    quant.add_argument(
        "reference", metavar="FLOAT", help="the float32 model: a folder, an .onnx file or a name"
    )
    quant.add_argument(
        "candidate", nargs="?", metavar="QUANTIZED",
        help="the same model, quantized; it gets the tokenizer and the pooling of FLOAT",
    )  # fmt: skip
    quant.add_argument(
        "--texts", required=True, metavar="FILE",
        help="texts that are like yours, a hundred or so; one per line (see embed -i)",
    )  # fmt: skip
    quant.add_argument(
        "--keep", type=_share, metavar="SHARE",
        help="what must be kept, such as 0.99; names the nodes that must stay in float for it",
    )  # fmt: skip
    quant.add_argument(
        "--of", default="cosine", type=_measure, metavar="MEASURE",
        help="of what: cosine (the mean; default), top-1, or top-10 (neighbours that stay)",
    )  # fmt: skip
    quant.add_argument(
        "-k", type=count, default=10, metavar="K", help="how many neighbours count (default: 10)"
    )
    quant.add_argument(
        "--regain-texts", type=count, default=8, metavar="N",
        help="on how many texts it is measured what each product regains (default: 8)",
    )  # fmt: skip
    quant.add_argument(
        "--fp16", action="store_true", help="what FLOAT would lose in half precision, and where"
    )
    quant.add_argument(
        "--invariance", action="store_true",
        help="whether a text alone gives the bits that it gives among others, padded, reordered",
    )  # fmt: skip


def _quant(options: argparse.Namespace) -> None:
    from embedx.oracle.quant import Keep, study
    from embedx.oracle.quant_report import as_document, as_text

    neighbours = options.of.removeprefix("top-")
    k = int(neighbours) if neighbours.isdecimal() and neighbours != "1" else options.k
    found = study(
        options.reference,
        options.candidate,
        lines(options.texts),
        keep=None if options.keep is None else Keep(options.keep, options.of),
        k=k,
        regain_texts=options.regain_texts,
        half=options.fp16,
        invariant=options.invariance,
        tell=(lambda what: complain(f"embedx: {what} ...")) if watched() else (lambda _: None),
    )
    if options.json:
        print_json(as_document(found))
    else:
        say(as_text(found))
    if not found.passed:
        raise Ended(1)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, got {text!r}")
    return share


def _measure(text: str) -> str:
    name, _, number = text.partition("-")
    if text == "cosine" or (name == "top" and number.isdecimal() and int(number) > 0):
        return text
    raise argparse.ArgumentTypeError(f"expected cosine, top-1, top-10 or the like, got {text!r}")
