"""A model folder as a function from tokens to token embeddings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from embedx.errors import InputError, ModelError
from embedx.model.external_data import digests, mapped_file, refuse_changed
from embedx.model.graph import Array, Graph, Node, TensorType, Value
from embedx.rewrite.cut import truncate, with_free_lengths
from embedx.run.binding import Precision
from embedx.run.engine import Engine
from embedx.run.prepare import loading
from embedx.run.random_feeds import table_rows
from embedx.text.buckets import batches
from embedx.text.deployment import files_beside
from embedx.text.model_folder import ModelFolder, rank, read_folder
from embedx.text.tokens import Tokenizer, Tokens
from embedx.workers import pieces_of, spread, threads

_log = logging.getLogger("embedx")
_DEFAULT_LENGTH = 512

_BATCH_WIDE = (
    "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QuantizedLinear"
)  # fmt: skip
"""Operators whose scale depends on the whole tensor, so on a text's neighbours and padding."""


class TextModel:
    """A model folder's tokenizer, and its graph up to an edge.

    ``longest`` frees a declared length that is shorter, where nothing in the graph depends on it.
    """

    def __init__(
        self,
        folder: ModelFolder,
        edge: str,
        *,
        longest: int | None = None,
        num_cores: int | None = None,
        precision: Precision = "native",
    ) -> None:
        self.path = folder.path
        self.deployment = folder.deployment
        self.edge = edge
        self._options: dict[str, Any] = {
            "edge": edge, "longest": longest, "num_cores": num_cores, "precision": precision,
        }  # fmt: skip
        with loading():
            graph = truncate(folder.graph, edge)
        self.pools = rank(graph.outputs[0]) == 2
        self.tokenizer = Tokenizer(
            self.deployment.tokenizer,
            self.deployment.tokenizer_config,
            do_lower_case=self.deployment.do_lower_case,
            adds_special_tokens=self.deployment.adds_special_tokens,
        )
        self._roles = {v.name: _role(v, graph) for v in graph.feeds}
        self._ids = next((v for v in graph.feeds if self._roles[v.name] == "ids"), graph.feeds[0])
        batch, length = _fixed_sizes(self._ids)
        if length is not None and longest is not None and longest > length:
            # Exports often declare a length that nothing in the graph depends on.
            graph, length = with_free_lengths(graph, length), None
        self.fixed_batch, self.fixed_length = batch, length
        self.engine = Engine(graph, num_cores=num_cores, precision=precision, per_text=True)
        self._rows = table_rows(self.engine.graph).get(self._ids.name)
        self.one_by_one: bool = any(_is_batch_wide(s.node) for s in self.engine.plan.walk())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled are the path, the options, and the digests of the files that were read."""
        places = self.path.absolute(), self.deployment.tokenizer.absolute()
        return _unpickled, (*places, self._options, self._digests())

    def _digests(self) -> dict[str, str]:
        beside = map(mapped_file, files_beside(self.deployment))
        return digests([*self.engine.graph.files, *beside])

    def tokens(self, texts: Sequence[str], longest: int) -> list[Tokens]:
        """The tokens of each text, cut off at ``longest``, of which a warning is logged.

        Raises InputError naming what is no text.
        """
        tokens = self.tokenizer.encode(texts, longest) if texts else []
        cut = sum(t.truncated for t in tokens)
        if cut:
            _log.warning(
                "%d of %d texts are longer than %d tokens and were cut off",
                cut,
                len(tokens),
                longest,
            )
        return tokens

    def embed(
        self, texts: Sequence[Tokens], batch_size: int, pad_to: Sequence[int] | None = None
    ) -> Iterator[tuple[list[int], Array]]:
        """For groups of texts: their places, and (texts, tokens, hidden) or (texts, hidden) floats.

        The texts of a group have one length, and no padding; with ``pad_to`` each text is padded
        to that many tokens, and the padding is part of the result. A text without tokens is in no
        group.

        A text's values depend neither on its group nor on padding: where an operator looks at the
        whole batch, texts run alone. In ``exact`` precision that holds to the last bit; in
        ``native`` but for rounding, as a matrix product adds up in an order that depends on its
        size: about 1e-7 of the values' size.

        Raises InputError for a token that the model does not know, ModelError for an output that is
        no embedding, and what the engine raises.
        """
        widths = [len(t.ids) for t in texts] if pad_to is None else list(pad_to)
        size = 1 if self.one_by_one else batch_size
        groups = (places for places in batches(widths, size) if widths[places[0]])
        with threads(self.engine.num_cores):
            count = pieces_of(len(texts), 1)
        while some := list(islice(groups, count)):
            inputs = [([texts[i] for i in places], widths[places[0]]) for places in some]
            yield from zip(some, self._beside_each_other(inputs, count), strict=True)

    def _beside_each_other(
        self, groups: Sequence[tuple[Sequence[Tokens], int]], count: int
    ) -> list[Array]:
        """What comes of groups of texts, each of one width, on ``count`` threads.

        As many threads as groups meet nobody on the way; fewer groups run one after the other.
        """
        made: dict[int, Array] = {}

        def run(start: int, stop: int) -> None:
            for i in range(start, stop):
                texts, width = groups[i]
                hidden = self._run(texts, width)
                made[i] = hidden[:, :width] if hidden.ndim == 3 else hidden

        with threads(count):
            spread(run, len(groups), 1 if len(groups) == count else len(groups))
        return [made[i] for i in range(len(groups))]

    @property
    def usual_length(self) -> int:
        """At how many tokens texts are cut off where nobody says otherwise."""
        return self.fixed_length or self.deployment.max_seq_length or _DEFAULT_LENGTH

    @cached_property
    def of_one_token(self) -> Array:
        """What the graph makes of some text of one token, and so how wide its output is."""
        token = Tokens([self.tokenizer.pad_id], [0], 1)
        ((_, hidden),) = self.embed([token], 1)
        return hidden

    def _run(self, texts: Sequence[Tokens], width: int) -> Array:
        rows = []
        step = self.fixed_batch or len(texts)
        for i in range(0, len(texts), step):
            some = list(texts[i : i + step])
            filler = [some[-1]] * (step - len(some))
            feeds = self.feeds([*some, *filler], self.fixed_length or width)
            (output,) = self.engine.run(feeds)
            floats = output.dtype.kind == "f" or output.dtype.name == "bfloat16"
            if output.ndim not in (2, 3) or len(output) != step or not floats:
                raise ModelError(
                    f"{self.edge!r} is {output.dtype}{list(output.shape)} for {step} texts; "
                    "expected floats (texts, hidden) or (texts, tokens, hidden); "
                    "emb_extraction_layer= and embedx truncate choose another edge"
                )
            rows.append(output[: len(some)].astype(np.float32, copy=False))
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def feeds(self, texts: Sequence[Tokens], width: int) -> dict[str, Array]:
        """What the graph is fed for texts, each padded to ``width`` tokens.

        Raises InputError for a token that the model does not know.
        """
        shape = (len(texts), width)
        ids = np.full(shape, self.tokenizer.pad_id)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, text in enumerate(texts):
            n = len(text.ids)
            ids[row, :n], mask[row, :n], types[row, :n] = text.ids, 1, text.type_ids
        if self._rows is not None and ids.max() >= self._rows:
            token = int(ids.max())
            raise InputError(
                f"token {self.tokenizer.tokens([token])[0]!r} has the id {token}, the model knows "
                f"{self._rows}; is this the model's own tokenizer?"
            )
        flat = "offsets" in self._roles.values()
        made = {
            "ids": ids[mask.astype(bool)] if flat else ids,
            "mask": mask,
            "types": types,
            "positions": np.broadcast_to(np.arange(width), shape),
            "offsets": np.cumsum([0, *(len(t.ids) for t in texts[:-1])]),
        }
        feeds = {}
        for value in self.engine.graph.feeds:
            assert isinstance(value.type, TensorType)
            role = self._roles[value.name]
            array = _empty_past(value, len(texts)) if role == "past" else made[role]
            feeds[value.name] = array.astype(value.type.dtype, copy=False)
        return feeds


def _unpickled(
    path: Path, tokenizer: Path, options: dict[str, Any], expected: dict[str, str]
) -> TextModel:
    model = TextModel(read_folder(path, tokenizer=tokenizer), **options)
    refuse_changed(model._digests(), expected)
    return model


def _is_batch_wide(node: Node) -> bool:
    return node.op_type in _BATCH_WIDE and not node.attributes.get("by_text")


def _role(value: Value, graph: Graph) -> str:
    """What a text model's input wants, by its name. Raises ModelError for what no text gives."""
    name = value.name.lower()
    for word, role in (
        ("past", "past"),
        ("mask", "mask"),
        ("position", "positions"),
        ("type", "types"),
        ("segment", "types"),
        ("offset", "offsets"),
        ("ids", "ids"),
        ("tokens", "ids"),
    ):
        if word in name and isinstance(value.type, TensorType):
            return role
    if (
        len(graph.feeds) == 1
        and isinstance(value.type, TensorType)
        and value.type.dtype.kind == "i"
    ):
        return "ids"
    raise ModelError(f"the input {value.name!r} ({value.type}) cannot be made from a text")


def _fixed_sizes(ids: Value) -> tuple[int | None, int | None]:
    assert isinstance(ids.type, TensorType)
    shape = ids.type.shape or ()
    sizes = [dim if isinstance(dim, int) else None for dim in (*shape, None, None)]
    return sizes[0], sizes[1] if len(shape) > 1 else None


def _empty_past(value: Value, batch: int) -> Array:
    """Keys or values of no earlier tokens: 0 where a decoder's past length stands."""
    assert isinstance(value.type, TensorType)
    shape = value.type.shape or ()
    if len(shape) != 4 or not isinstance(shape[3], int):
        raise ModelError(f"the input {value.name!r} ({value.type}) is no cache of keys or values")
    heads = shape[1] if isinstance(shape[1], int) else 1
    return np.zeros((batch, heads, 0, shape[3]))
