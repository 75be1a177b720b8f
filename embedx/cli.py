"""The command line: ``embedx COMMAND`` or ``python -m embedx COMMAND``."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import embedx
from embedx.config_file import index_or_name
from embedx.errors import ConfigError, EmbedxError, InputError, OutputError
from embedx.output_file import check_writable, writing
from embedx.server.options import add_arguments, config_of

_REQUIRED = ("numpy", "scipy", "onnx", "tokenizers", "threadpoolctl", "tqdm")
_OPTIONAL = ("onnxruntime", "fastapi", "uvicorn", "PyYAML", "huggingface_hub")
_MODEL = "a model folder, an .onnx file, or a cached name (default: the model of embedx)"
_FORMATS = {".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".npy": "npy", ".csv": "csv"}
"""What a file's suffix says about its format."""


class _Ended(BaseException):
    """The process is to end early; an exception, so that temporary files go first."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went (see README)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args([_dashed(word) for word in given])
        # A server writes no files, and ends in its own way.
        serving = options.command is _serve
        with contextlib.nullcontext() if serving else _ending_by_exceptions():
            options.command(options)
    except EmbedxError as error:
        _complain(f"embedx: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except _Ended as ended:
        return ended.exit_code
    except SystemExit:  # argparse has said what is wrong
        _give_up_if_stuck(sys.stderr)
        raise
    except Exception:
        _complain(f"{traceback.format_exc()}embedx: this is a bug in embedx; please report it")
        return 70
    return 0


@contextmanager
def _ending_by_exceptions() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise, where the system would end the process without more ado."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one need not be patient
        raise _Ended(128 + number)

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


@contextmanager
def _stdout() -> Iterator[TextIO]:
    """Stdout, for text that is out when the block ends. Raises OutputError if it cannot be."""
    if sys.stdout is None:
        raise OutputError("cannot write to stdout: it is closed")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        _give_up_if_stuck(sys.stdout)
        if isinstance(error, BrokenPipeError):  # the reader has seen enough, as head does
            raise _Ended(0) from error
        raise OutputError(f"cannot write to stdout: {error.strerror or error}") from error


def _say(text: str) -> None:
    with _stdout() as stdout:
        print(text, file=stdout)


def _complain(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)
    _give_up_if_stuck(sys.stderr)


def _give_up_if_stuck(stream: TextIO | None) -> None:
    """Drop text that a stream does not take; Python would try again at exit, and complain."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _watched() -> bool:
    """Whether somebody looks at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def _dashed(word: str) -> str:
    """``--sequence_length`` is ``--sequence-length``; values stay as they are."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="embedx", description=embedx.__doc__, allow_abbrev=False)
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="versions, of embedx and others"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    embed = _command(commands, "embed", _embed, "print the embeddings of texts")
    embed.add_argument(
        "texts", nargs="*", metavar="TEXT", help="a text, or - for a text a line on stdin"
    )
    embed.add_argument("-m", "--model", help=_MODEL)
    embed.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="a folder, or a tokenizer.json, to use instead of the model folder's",
    )
    embed.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help="a file with a text a line, or JSON strings a line (.jsonl, .ndjson); - is stdin",
    )
    embed.add_argument(
        "-o", "--output", type=_file, metavar="FILE", help="where to write (default: -, stdout)"
    )
    embed.add_argument(
        "--format",
        choices=dict.fromkeys(_FORMATS.values()),
        help="default: what the suffix of FILE says (.json, .ndjson, .jsonl, .npy, .csv; it may "
        "say nothing, but not something else), or json",
    )
    embed.add_argument("--batch-size", type=_count, default=32)
    embed.add_argument("--sequence-length", type=_count, help="the most tokens of a text")
    embed.add_argument(
        "--extraction-strategy", help="pool as Pipeline.create does, instead of as the folder says"
    )
    embed.add_argument("--emb-extraction-layer", help="an index or a name, as for Pipeline.create")
    embed.add_argument(
        "--prompt-name", help="one of the model's prompts, put in front of each text"
    )
    embed.add_argument("--normalize", action="store_true", help="divide by the L2 norm")
    embed.add_argument("--truncate-dim", type=_count, help="keep the first dimensions")

    inspect = _command(
        commands, "inspect", _inspect, "show what is in a model file, and what is missing"
    )
    inspect.add_argument("model", nargs="?", help=_MODEL)
    inspect.add_argument(
        "--plan", action="store_true", help="the calls of a run, and the nodes that each covers"
    )

    truncate = _command(
        commands, "truncate", _truncate, "write a model that ends at an inner layer"
    )
    truncate.add_argument("model", nargs="?", help=_MODEL)
    truncate.add_argument(
        "--layer", default="-1", help="an index, or a node's or edge's name (default: -1)"
    )
    truncate.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    truncate.add_argument(
        "--external-data", action="store_true", help="put the weights into FILE.data"
    )

    ops = _command(
        commands, "ops", _ops, "list the operators, or show one: signature, text and source"
    )
    ops.add_argument("name", nargs="?", metavar="NAME")

    bench = _command(
        commands, "bench", _bench, "measure the speed of a model, and of other runtimes beside it"
    )
    bench.add_argument("model", nargs="?", help=_MODEL)
    bench.add_argument(
        "--vs", metavar="PEERS", help="onnxruntime or onnx.reference, or both with a comma between"
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
    bench.add_argument("--threads", type=int, default=1, help="of each runtime (default: 1)")
    bench.add_argument("--iterations", type=int, help="measurements (default: 5 seconds of them)")
    bench.add_argument("--html", type=Path, metavar="FILE", help="also write a page with plots")

    serve = commands.add_parser("serve", help="answer over HTTP", allow_abbrev=False)
    serve.set_defaults(command=_serve)
    add_arguments(serve)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _file(text: str) -> Path | None:
    return None if text == "-" else Path(text)


class _Parser(argparse.ArgumentParser):
    """Says so if its help cannot be printed, as other output."""

    def print_help(self, file: Any = None) -> None:
        _say(self.format_help().rstrip())


class _Version(argparse.Action):
    """Prints one version a line, which argparse's own action would wrap into a paragraph."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        _say(versions())
        parser.exit()


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(command=function)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def versions() -> str:
    """embedx' own version and those of what it runs on."""
    from importlib import metadata

    def of(name: str) -> str:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return f"{name} (not installed)"

    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join(
        [
            f"embedx {embedx.__version__}",
            f"python {python}",
            *map(of, _REQUIRED),
            *map(of, _OPTIONAL),
        ]
    )


def _print_json(document: dict[str, Any]) -> None:
    _say(json.dumps({"schema_version": 1, **document}, allow_nan=False))


def _embed(options: argparse.Namespace) -> None:
    form = _format_of(options)
    if options.output is not None:
        check_writable(options.output)
    texts = list(_texts(options))
    if not texts:
        raise InputError("no texts; give them as arguments, with -i FILE, or on stdin with -")
    seed = options.extraction_strategy or options.emb_extraction_layer
    vectors = np.array((_pipeline_vectors if seed else _encoded)(options, texts), np.float32)
    if options.json:
        document = json.dumps(
            {"schema_version": 1, "model": options.model, "embeddings": vectors.tolist()},
            allow_nan=False,
        )
        data = f"{document}\n".encode()
    else:
        data = _formatted(vectors, form)
    if options.output is not None:
        with writing(options.output) as file:
            file.write(data)
    else:
        with _stdout() as stdout:
            stdout.buffer.write(data)


def _format_of(options: argparse.Namespace) -> str:
    wanted = "json" if options.json else options.format
    if options.format not in (None, wanted):
        raise ConfigError(f"--json is not --format {options.format}; leave one of them out")
    named = None if options.output is None else _FORMATS.get(options.output.suffix.lower())
    if named is not None and wanted not in (None, named):
        raise ConfigError(f"{options.output} is named as {named}, but {wanted} is asked for")
    return str(wanted or named or "json")


def _encoded(options: argparse.Namespace, texts: list[str]) -> Any:
    model = embedx.load(
        options.model, tokenizer=options.tokenizer, max_seq_length=options.sequence_length
    )
    return model.encode(
        texts,
        prompt_name=options.prompt_name,
        batch_size=options.batch_size,
        show_progress_bar=_watched() and len(texts) > 1,
        normalize_embeddings=options.normalize,
        truncate_dim=options.truncate_dim,
    )


def _pipeline_vectors(options: argparse.Namespace, texts: list[str]) -> Any:
    for name in ("prompt_name", "normalize", "truncate_dim"):
        if getattr(options, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} does not go with --extraction-strategy and "
                "--emb-extraction-layer"
            )
    pipeline = embedx.Pipeline.create(
        model_path=options.model,
        tokenizer=options.tokenizer,
        emb_extraction_layer=index_or_name(options.emb_extraction_layer or "-1"),
        extraction_strategy=options.extraction_strategy or "per_token",
        sequence_length=options.sequence_length or 128,
        batch_size=options.batch_size,
    )
    return pipeline(texts).embeddings


def _texts(options: argparse.Namespace) -> Iterator[str]:
    for text in options.texts:
        if text == "-":
            yield from _lines("-")
        else:
            yield text
    for name in options.input:
        yield from _lines(name)


def _lines(name: str) -> Iterator[str]:
    """The texts of a file: a line each, or a JSON value a line. LF, CR LF and CR end a line."""
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


def _formatted(vectors: np.ndarray[Any, Any], form: str) -> bytes:
    if form == "npy":
        buffer = io.BytesIO()
        np.save(buffer, vectors)
        return buffer.getvalue()
    rows = vectors.tolist()
    if form == "json":
        return f"{json.dumps(rows, allow_nan=False)}\n".encode()
    if form == "ndjson":
        return "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows).encode()
    return "".join(",".join(map(repr, row)) + "\n" for row in rows).encode()


def _inspect(options: argparse.Namespace) -> None:
    from embedx.deployment import find_model, read_deployment
    from embedx.engine import Engine
    from embedx.inspection import as_text, inspect_model, inspect_plan, plan_as_text
    from embedx.onnx_file import read_model
    from embedx.prepare import loading

    path = find_model(options.model)
    if options.plan:
        steps = inspect_plan(Engine(path).plan)
        if options.json:
            _print_json({"plan": steps})
        else:
            _say(plan_as_text(steps))
        return
    with loading():
        facts = inspect_model(read_model(path), path, read_deployment(path))
    if options.json:
        _print_json(facts)
    else:
        _say(as_text(facts))


def _truncate(options: argparse.Namespace) -> None:
    from embedx.deployment import find_model
    from embedx.engine import Engine
    from embedx.graph import TensorType
    from embedx.layers import edge_of
    from embedx.onnx_file import read_model, write_model
    from embedx.prepare import loading
    from embedx.rewrite import normal_form, truncate

    made = [options.output]
    if options.external_data:
        made.insert(0, options.output.with_name(f"{options.output.name}.data"))
        if options.output.exists() and not options.output.is_file():
            raise ConfigError(f"no data can lie beside {options.output}, which is no plain file")
    for target in made:
        check_writable(target)
    with loading():
        whole = read_model(find_model(options.model))
        graph = normal_form(whole)
    for source in (file.path for file in whole.files):
        if any(target.exists() and target.samefile(source) for target in made):
            raise ConfigError(f"{source} belongs to the model itself; it is never written to")
    edge = edge_of(graph, index_or_name(options.layer)) or graph.outputs[0].name
    cut = truncate(graph, edge)
    # The file may not declare the edge's type, so one run finds it out.
    engine = Engine(cut)
    (sample,) = engine.run(engine.generate_random_inputs(sequence_length=8))
    ids = cut.feeds[0].type
    sizes = ids.shape if isinstance(ids, TensorType) and ids.shape is not None else ()
    shape = (*sizes[: sample.ndim - 1], *sample.shape[len(sizes[: sample.ndim - 1]) :])
    output = replace(cut.outputs[0], type=TensorType(sample.dtype, shape))
    write_model(
        replace(cut, outputs=(output,)), options.output, external_data=options.external_data
    )
    facts = {
        "file": str(options.output),
        "edge": edge,
        "nodes": len(cut.nodes),
        "nodes_before": len(graph.nodes),
    }
    if options.json:
        _print_json(facts)
    else:
        _say(f"{options.output}: ends at {edge}, {len(cut.nodes)} of {len(graph.nodes)} nodes")


def _ops(options: argparse.Namespace) -> None:
    from embedx import catalogue

    if options.name is not None:
        if options.json:
            _print_json({"behaviours": catalogue.facts(options.name)})
        else:
            _say(catalogue.card(options.name))
    elif options.json:
        listed = [
            {
                "domain": domain or "ai.onnx",
                "name": name,
                "since": [entry.since for entry in versions],
            }
            for (domain, name), versions in catalogue.families().items()
        ]
        _print_json({"operators": listed})
    else:
        _say(catalogue.table())


def _bench(options: argparse.Namespace) -> None:
    from embedx.bench import as_html, as_json, as_text, bench, parsed_shapes

    if options.html is not None:
        check_writable(options.html)
    if options.load and not options.shapes and (options.texts or options.cold):
        raise ConfigError("--load repeats --shapes, which are not given")
    texts = [] if options.texts is None else [*filter(str.strip, _lines(options.texts))]
    if options.texts and not texts:
        raise InputError(f"no texts in {options.texts}")
    shapes = options.shapes
    if shapes is None and not texts and not options.cold:
        shapes = "8x128"
    document = bench(
        options.model,
        peers=options.vs.split(",") if options.vs else (),
        shapes=() if shapes is None else parsed_shapes(shapes),
        texts=texts,
        cold=options.cold,
        busy=options.load,
        threads=options.threads,
        iterations=options.iterations,
        progress=_progress,
    )
    _say(as_json(document) if options.json else as_text(document))
    if options.html is not None:
        with writing(options.html) as file:
            file.write(as_html(document).encode())


def _progress(what: str) -> None:
    if _watched():
        _complain(f"embedx: measuring {what}")


def _serve(options: argparse.Namespace) -> None:
    try:
        from embedx.server.run import serve
    except ImportError as error:
        raise ConfigError(
            f"{error}; serving needs the extra: pip install '.[server]' in a checkout"
        ) from error
    serve(lambda: config_of(options), options.config_file)
