"""``embedx compare``: verdicts on a runtime, a file or stored values."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedx.cli.arguments import MODEL, add_inputs, command, count
from embedx.cli.output import Ended, print_json, say
from embedx.cli.texts import texts_in
from embedx.errors import ConfigError
from embedx.oracle.verdicts import VERDICTS
from embedx.output_file import check_writable, writing


def add_to(commands: Any) -> None:
    """Add the command ``compare``."""
    compare = command(
        commands, "compare", _compare,
        "judge what a runtime or a file makes of a model by what rounding explains",
    )  # fmt: skip
    compare.epilog = (
        "Verdicts, from best to worst: identical, rounding, quantization (roundings to integers "
        "fell the other way, as they may), suspicious, impossible. Exit code 0 up to quantization."
    )
    compare.add_argument("model", metavar="MODEL", help=MODEL.partition(" (")[0])
    compare.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE",
        help="another model, an .npz of outputs or inner values by name, or a folder with "
        "test_data_set_0 (default: the same model)",
    )  # fmt: skip
    compare.add_argument(
        "--with", dest="engines", action="append", metavar="ENGINE",
        help="what runs the candidate: embedx (default), embedx:exact, embedx:plain, onnxruntime, "
        "onnxruntime:off|basic|extended|all, onnx.reference, openvino, or "
        "'cmd:PROGRAM {model} {inputs} {outputs}'; given twice, it is told which of them moved",
    )  # fmt: skip
    add_inputs(compare)
    compare.add_argument(
        "--level", choices=("outputs", "sites", "nodes"), default="outputs",
        help="judge the outputs, or each piece between sites or nodes as well (default: outputs)",
    )  # fmt: skip
    compare.add_argument(
        "--samples", type=count, default=8, metavar="N",
        help="runs with noise for the noise floor (default: 8)",
    )  # fmt: skip
    compare.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of made-up inputs and noise"
    )
    compare.add_argument("--rtol", type=float, help="a relative tolerance, if you insist")
    compare.add_argument("--atol", type=float, help="an absolute one")
    line = compare.add_mutually_exclusive_group()
    line.add_argument(
        "--allow", choices=VERDICTS, default="quantization",
        help="the worst verdict that passes (default: quantization)",
    )  # fmt: skip
    line.add_argument("--fail-on", choices=VERDICTS[1:], help="the best verdict that fails")
    for name, what in (
        ("--html", "write a page with the growth of the error, and the culprit"),
        ("--model-explorer", "write node data for Google's Model Explorer"),
        ("--perfetto", "write a timeline for Perfetto, as Chrome trace events"),
        ("--verification-info", "write the fields of torch.onnx's VerificationInfo"),
    ):
        compare.add_argument(name, type=Path, metavar="FILE", help=what)


def _refuse_inputs(path: Path, options: argparse.Namespace) -> None:
    """Raise ConfigError if ``path`` is something that is read."""
    read = (options.model, options.candidate, options.inputs, options.texts)
    for source in (Path(name) for name in read if name is not None):
        if path.exists() and source.exists() and path.samefile(source):
            raise ConfigError(f"{path} is what is compared; it is never written to")
        if source.is_dir() and path.exists() and source.resolve() in path.resolve().parents:
            raise ConfigError(f"{path} belongs to {source}; it is never written to")


def _compare(options: argparse.Namespace) -> None:
    from embedx.oracle.blame import blame, moved
    from embedx.oracle.compare import compare
    from embedx.oracle.exports import model_explorer, trace_events, verification_info
    from embedx.oracle.page import page

    written: dict[Path, Callable[[Any], str]] = {}
    for path, makes in (
        (options.html, page),
        (options.model_explorer, lambda found: json.dumps(model_explorer(found))),
        (options.perfetto, lambda found: json.dumps(trace_events(found))),
        (options.verification_info, lambda found: json.dumps(verification_info(found))),
    ):
        if path is not None:
            check_writable(path)
            _refuse_inputs(path, options)
            written[path] = makes
    allow = options.allow
    if options.fail_on is not None:
        allow = VERDICTS[VERDICTS.index(options.fail_on) - 1]
    several = [
        compare(
            options.model, options.candidate, with_=engine, inputs=options.inputs,
            texts=texts_in(options.texts), level=options.level, samples=options.samples,
            seed=options.seed, rtol=options.rtol, atol=options.atol, allow=allow,
        )
        for engine in options.engines or ["embedx"]
    ]  # fmt: skip
    first, *others = several
    for path, makes in written.items():
        with writing(path) as file:
            file.write(makes(first).encode())
    if options.json:
        more = {"others": [o.document for o in others], "moved": moved(several)} if others else {}
        print_json({**first.document, **more})
    else:
        say("\n\n".join([*map(str, several), *([blame(several)] if others else [])]))
    if not all(found.passed for found in several):
        raise Ended(1)
