"""``embedx similar``: the texts that are nearest to a query."""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np

import embedx
from embedx.cli.arguments import MODEL, add_batch_size, command, count
from embedx.cli.output import print_json, say, watched
from embedx.cli.texts import add_input, texts_of
from embedx.errors import InputError


def add_to(commands: Any) -> None:
    """Add the command ``similar``."""
    similar = command(commands, "similar", _similar, "rank texts by their similarity to a query")
    similar.add_argument("query", metavar="QUERY", help="what to look for")
    similar.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="a text to rank, or - for one text per line on stdin",
    )
    similar.add_argument(
        "-m", "--model", help=f"{MODEL}; it may also stand before QUERY, without -m"
    )
    add_input(similar)
    similar.add_argument(
        "-n", "--top", type=count, default=10, metavar="N", help="how many to show (default: 10)"
    )
    add_batch_size(similar)


def _similar(options: argparse.Namespace) -> None:
    _take_model(options)
    texts = {i: text for i, text in enumerate(texts_of(options)) if text.strip()}
    if not texts:
        raise InputError("no texts to rank; give them behind the query, or with -i FILE")
    model = embedx.load(options.model)
    query = model.encode_query(options.query)
    vectors = model.encode_document(
        [*texts.values()],
        batch_size=options.batch_size,
        show_progress_bar=watched() and len(texts) > 100,
    )
    scores = model.similarity(query, vectors)[0]
    best = np.argsort(-scores, kind="stable")[: options.top].tolist()
    places = list(texts)
    found = [
        {"index": places[i], "score": float(scores[i]), "text": texts[places[i]]} for i in best
    ]
    if options.json:
        print_json({"model": options.model, "query": options.query, "results": found})
        return
    for hit in found:
        say(f"{hit['score']:7.4f}  {' '.join(hit['text'].split())}")


def _take_model(options: argparse.Namespace) -> None:
    """Read MODEL QUERY ... where the first word leads to a model, or can be nothing else."""
    from embedx.text.locate import find_model

    if options.model is not None or not options.texts:
        return
    file_and_two_words = options.input and len(options.texts) == 1
    try:
        find_model(options.query)
    except InputError as error:
        if file_and_two_words:
            raise InputError(
                f"{error} (with -i FILE, two words are MODEL and QUERY; -m MODEL says so, too)"
            ) from error
        if _PATH.fullmatch(options.query):
            raise
        return
    words = [options.query, *options.texts]
    options.model, options.query, options.texts = words[0], words[1], words[2:]


_PATH = re.compile(r"(\.{0,2}/|~|hf:|zoo:)\S*|\S+\.onnx")
"""What is no query: it names a model, be it there or not."""
