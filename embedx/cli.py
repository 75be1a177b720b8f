"""The command line: ``embedx COMMAND`` or ``python -m embedx COMMAND``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import embedx
from embedx.config_file import index_or_name
from embedx.errors import ConfigError, EmbedxError, InputError
from embedx.server.options import add_arguments, config_of

_REQUIRED = ("numpy", "scipy", "onnx", "tokenizers", "threadpoolctl", "tqdm")
_OPTIONAL = ("onnxruntime", "fastapi", "uvicorn", "PyYAML", "huggingface_hub")
_MODEL = "a model folder, an .onnx file, or a cached name (default: the model of embedx)"
_FORMATS = ("json", "ndjson", "npy", "csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went (see README)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args([_dashed(word) for word in given])
    try:
        options.command(options)
        sys.stdout.flush()
    except EmbedxError as error:
        print(f"embedx: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has gone, as in 'embedx ops | head'; Python's own flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        traceback.print_exc()
        print("embedx: this is a bug in embedx; please report the lines above", file=sys.stderr)
        return 70
    return 0


def _dashed(word: str) -> str:
    """``--sequence_length`` is ``--sequence-length``; values stay as they are."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="embedx", description=embedx.__doc__, allow_abbrev=False)
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
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help="a file with a text a line, or JSON strings a line (.jsonl, .ndjson); - is stdin",
    )
    embed.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write (default: stdout)"
    )
    embed.add_argument("--format", choices=_FORMATS, default="json")
    embed.add_argument("--batch-size", type=int, default=32)
    embed.add_argument("--sequence-length", type=int, help="the most tokens of a text")
    embed.add_argument(
        "--extraction-strategy", help="pool as Pipeline.create does, instead of as the folder says"
    )
    embed.add_argument("--emb-extraction-layer", help="an index or a name, as for Pipeline.create")
    embed.add_argument(
        "--prompt-name", help="one of the model's prompts, put in front of each text"
    )
    embed.add_argument("--normalize", action="store_true", help="divide by the L2 norm")
    embed.add_argument("--truncate-dim", type=int, help="keep the first dimensions")

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


class _Version(argparse.Action):
    """Prints one version a line, which argparse's own action would wrap into a paragraph."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(versions())
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
    print(json.dumps({"schema_version": 1, **document}, allow_nan=False))


def _embed(options: argparse.Namespace) -> None:
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
        _write(options.output, f"{document}\n".encode())
    else:
        _write(options.output, _formatted(vectors, options.format))


def _encoded(options: argparse.Namespace, texts: list[str]) -> Any:
    model = embedx.load(options.model, max_seq_length=options.sequence_length)
    return model.encode(
        texts,
        prompt_name=options.prompt_name,
        batch_size=options.batch_size,
        show_progress_bar=sys.stderr.isatty() and len(texts) > 1,
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
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        lines = text.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 (byte {error.start})") from error
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


def _write(path: Path | None, data: bytes) -> None:
    """To stdout, or to a file that is replaced as a whole."""
    if path is None:
        sys.stdout.buffer.write(data)
        return
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".embedx-", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def _inspect(options: argparse.Namespace) -> None:
    from embedx.deployment import find_model, read_deployment
    from embedx.engine import Engine
    from embedx.inspection import as_text, inspect_model, inspect_plan, plan_as_text
    from embedx.onnx_file import read_model

    path = find_model(options.model)
    if options.plan:
        steps = inspect_plan(Engine(path).plan)
        if options.json:
            _print_json({"plan": steps})
        else:
            print(plan_as_text(steps))
        return
    facts = inspect_model(read_model(path), path, read_deployment(path))
    if options.json:
        _print_json(facts)
    else:
        print(as_text(facts))


def _truncate(options: argparse.Namespace) -> None:
    from embedx.deployment import find_model
    from embedx.engine import Engine
    from embedx.graph import TensorType
    from embedx.layers import edge_of
    from embedx.onnx_file import read_model, write_model
    from embedx.rewrite import drop_dead, inline_functions, sort_nodes, truncate

    path = find_model(options.model)
    if options.output.exists() and options.output.samefile(path):
        raise ConfigError(f"{path} is the model itself; it is never written to")
    graph = drop_dead(sort_nodes(inline_functions(read_model(path))))
    edge = edge_of(graph, index_or_name(options.layer)) or graph.outputs[0].name
    cut = truncate(graph, edge)
    # The file may not declare the edge's type, so one run finds it out.
    engine = Engine(cut)
    (sample,) = engine.run(engine.generate_random_inputs(sequence_length=8))
    ids = cut.feeds[0].type
    sizes = ids.shape if isinstance(ids, TensorType) and ids.shape is not None else ()
    shape = (*sizes[: sample.ndim - 1], *sample.shape[len(sizes[: sample.ndim - 1]) :])
    output = replace(cut.outputs[0], type=TensorType(sample.dtype, shape))
    try:
        write_model(
            replace(cut, outputs=(output,)), options.output, external_data=options.external_data
        )
    except OSError as error:
        raise ConfigError(f"cannot write {options.output}: {error.strerror or error}") from error
    facts = {
        "file": str(options.output),
        "edge": edge,
        "nodes": len(cut.nodes),
        "nodes_before": len(graph.nodes),
    }
    if options.json:
        _print_json(facts)
    else:
        print(f"{options.output}: ends at {edge}, {len(cut.nodes)} of {len(graph.nodes)} nodes")


def _ops(options: argparse.Namespace) -> None:
    from embedx import catalogue

    if options.name:
        if options.json:
            _print_json({"behaviours": catalogue.facts(options.name)})
        else:
            print(catalogue.card(options.name))
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
        print(catalogue.table())


def _bench(options: argparse.Namespace) -> None:
    from embedx.bench import as_html, as_json, as_text, bench, parsed_shapes

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
    print(as_json(document) if options.json else as_text(document), flush=True)
    if options.html:
        _write(options.html, as_html(document).encode())


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"embedx: measuring {what}", file=sys.stderr)


def _serve(options: argparse.Namespace) -> None:
    try:
        from embedx.server.run import serve
    except ImportError as error:
        raise ConfigError(
            f"{error}; serving needs the extra: pip install '.[server]' in a checkout"
        ) from error
    serve(lambda: config_of(options), options.config_file)
