"""``embedx bench``: how fast a model runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from embedx.cli.arguments import MODEL, command, count
from embedx.cli.output import complain, say, watched
from embedx.cli.texts import texts_in
from embedx.errors import ConfigError, InputError
from embedx.output_file import check_writable, writing


def add_to(commands: Any) -> None:
    """Add the command ``bench``."""
    bench = command(
        commands, "bench", _bench, "measure the speed of a model, and of other runtimes beside it"
    )
    bench.add_argument("models", nargs="*", metavar="model", help=f"{MODEL}; or several")
    bench.add_argument(
        "--vs",
        metavar="PEERS",
        help="runtimes to compare with, commas between: onnxruntime, onnx.reference, openvino, "
        "sentence-transformers (for texts)",
    )
    bench.add_argument(
        "--shapes",
        metavar="BATCHxTOKENS",
        help="runs on token ids, such as 1x16,8x128 (default: 8x128, unless --texts or --cold)",
    )
    bench.add_argument("--texts", metavar="FILE", help="embed the texts of a file (see embed -i)")
    bench.add_argument(
        "--cold", action="store_true", help="time a process from its start to an embedding"
    )
    bench.add_argument(
        "--load", action="store_true", help="repeat the shapes beside a process that computes"
    )
    bench.add_argument(
        "--threads",
        type=_counts,
        default=[1],
        metavar="N",
        help="of each runtime; numbers with commas between are measured one after the other "
        "(default: 1)",
    )
    bench.add_argument(
        "--iterations", type=count, metavar="N", help="measurements (default: 5 seconds of them)"
    )
    bench.add_argument("--html", type=Path, metavar="FILE", help="also write a page with plots")
    bench.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="also put one table into a Markdown file, between the lines "
        "<!-- embedx bench --> and <!-- /embedx bench -->",
    )


def _counts(text: str) -> list[int]:
    return [count(part) for part in text.split(",")]


def _bench(options: argparse.Namespace) -> None:
    from embedx.bench import as_html, as_json, as_markdown, as_text, bench, parsed_shapes, put_into

    for path in filter(None, (options.html, options.markdown)):
        check_writable(path)
    if options.markdown is not None:
        put_into(_read(options.markdown), "")  # what is wrong with it is said now
    if options.load and not options.shapes and (options.texts or options.cold):
        raise ConfigError("--load repeats --shapes, which are not given")
    texts = texts_in(options.texts) or []
    if options.texts and not texts:
        raise InputError(f"no texts in {options.texts}")
    shapes = options.shapes
    if shapes is None and not texts and not options.cold:
        shapes = "8x128"
    document = bench(
        options.models or (None,),
        peers=options.vs.split(",") if options.vs else (),
        shapes=() if shapes is None else parsed_shapes(shapes),
        texts=texts,
        cold=options.cold,
        busy=options.load,
        threads=options.threads,
        iterations=options.iterations,
        progress=_progress,
    )
    say(as_json(document) if options.json else as_text(document))
    if options.html is not None:
        with writing(options.html) as file:
            file.write(as_html(document).encode())
    if options.markdown is not None:
        text = put_into(_read(options.markdown), as_markdown(document))
        with writing(options.markdown) as file:
            file.write(text.encode())


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from error


def _progress(what: str) -> None:
    if watched():
        complain(f"embedx: measuring {what}")
