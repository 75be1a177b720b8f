"""``embedx embed``: texts to vectors."""

from __future__ import annotations

import argparse
import io
import json
from typing import Any

import numpy as np

import embedx
from embedx.cli.arguments import MODEL, add_batch_size, command, count, file
from embedx.cli.output import stdout, watched
from embedx.cli.texts import add_input, texts_of
from embedx.config_file import index_or_name
from embedx.errors import ConfigError, InputError
from embedx.output_file import check_writable, writing


def add_to(commands: Any) -> None:
    """Add the command ``embed``."""
    embed = command(commands, "embed", _embed, "print the embeddings of texts")
    embed.add_argument(
        "texts", nargs="*", metavar="TEXT", help="a text, or - for one text per line on stdin"
    )
    embed.add_argument("-m", "--model", help=MODEL)
    embed.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="a folder, or a tokenizer.json, to use instead of the model folder's",
    )
    add_input(embed)
    embed.add_argument(
        "-o", "--output", type=file, metavar="FILE", help="where to write (default: -, stdout)"
    )
    embed.add_argument(
        "--format",
        choices=dict.fromkeys(_FORMATS.values()),
        help="default: what the suffix of FILE says (.json, .ndjson, .jsonl, .npy, .csv; it may "
        "say nothing, but not something else), or json",
    )
    add_batch_size(embed)
    embed.add_argument("--sequence-length", type=count, help="the most tokens of a text")
    embed.add_argument(
        "--extraction-strategy", help="pool as Pipeline.create does, instead of as the folder says"
    )
    embed.add_argument("--emb-extraction-layer", help="an index or a name, as for Pipeline.create")
    embed.add_argument(
        "--prompt-name", help="one of the model's prompts, put in front of each text"
    )
    embed.add_argument("--normalize", action="store_true", help="divide by the L2 norm")
    embed.add_argument("--truncate-dim", type=count, help="keep the first dimensions")


_FORMATS = {".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".npy": "npy", ".csv": "csv"}
"""What a file's suffix says about its format."""


def _embed(options: argparse.Namespace) -> None:
    form = _format_of(options)
    if options.output is not None:
        check_writable(options.output)
    texts = list(texts_of(options))
    if not texts:
        raise InputError("no texts; give them as arguments, with -i FILE, or on stdin with -")
    pooled = options.extraction_strategy or options.emb_extraction_layer
    vectors = np.array((_pipeline_vectors if pooled else _encoded)(options, texts), np.float32)
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
        with stdout() as stream:
            stream.buffer.write(data)


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
        show_progress_bar=watched() and len(texts) > 1,
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
    given = options.sequence_length
    pipeline = embedx.Pipeline.create(
        model_path=options.model,
        tokenizer=options.tokenizer,
        emb_extraction_layer=index_or_name(options.emb_extraction_layer or "-1"),
        extraction_strategy=options.extraction_strategy or "per_token",
        batch_size=options.batch_size,
        **({} if given is None else {"sequence_length": given}),
    )
    return pipeline(texts).embeddings


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
