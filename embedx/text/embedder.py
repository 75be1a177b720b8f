"""Texts to embeddings, by sentence-transformers' names: load(path).encode(texts)."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from embedx.errors import ConfigError, InputError
from embedx.model.graph import Array
from embedx.run.binding import Precision
from embedx.text import pooling
from embedx.text.deployment import EMPTY_PROMPTS
from embedx.text.model_folder import read_folder
from embedx.text.modules import SENTENCE, TOKENS, Pooling
from embedx.text.text_model import TextModel
from embedx.text.tokens import Tokens

OutputPrecision: TypeAlias = Literal["float32", "int8", "uint8", "binary", "ubinary"]
OutputValue: TypeAlias = Literal["sentence_embedding", "token_embeddings"] | None

_log = logging.getLogger("embedx")


def load(
    name: str | os.PathLike[str] | None = None,
    *,
    file_name: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    pooling_mode: str | None = None,
    max_seq_length: int | None = None,
    num_cores: int | None = None,
    precision: Precision = "native",
) -> Embedder:
    """The sentence embedding model in a folder, in an .onnx file, or in a local cache.

    Without a name it is the small English model that comes with embedx.

    Pooling, dense layers, normalisation, prompts and the maximal length come from the
    sentence-transformers files of the folder. ``pooling_mode`` (``mean``, ``cls``, ``max``,
    ``lasttoken``, ``weightedmean``, ``mean_sqrt_len``) stands for all that the files do behind the
    transformer, and ``max_seq_length`` for their length. Where no file says how to pool, a graph
    that pools by itself is taken as it is, and others get sentence-transformers' default: the last
    token of a causal language model, else the mean.

    ``file_name`` picks one of several ONNX files, such as ``onnx/model_O3.onnx``. ``tokenizer`` is
    a folder or a tokenizer.json to use instead of the model folder's, as for a file that
    ``embedx truncate`` has written elsewhere.

    Raises InputError if nothing is found, ModelError, UnsupportedOpError or DeploymentError for a
    model that cannot be used.
    """
    if pooling_mode is not None and pooling_mode not in pooling.POOLINGS:
        raise ConfigError(
            f"pooling_mode is one of {', '.join(pooling.POOLINGS)}, not {pooling_mode!r}"
        )
    folder = read_folder(name, file_name=file_name, tokenizer=tokenizer)
    text_model = TextModel(
        folder,
        folder.usual_edge(pooled=pooling_mode is None),
        longest=max_seq_length,
        num_cores=num_cores,
        precision=precision,
    )
    return Embedder(text_model, pooling_mode, max_seq_length)


class Embedder:
    """A sentence embedding model, around a text model that others may share; see :func:`load`."""

    def __init__(
        self,
        text_model: TextModel,
        pooling_mode: str | None = None,
        max_seq_length: int | None = None,
    ) -> None:
        self.text_model = text_model
        deployment = text_model.deployment
        self.max_seq_length = max_seq_length or text_model.usual_length
        self.prompts = dict(deployment.prompts)
        self.default_prompt_name = deployment.default_prompt_name
        self.truncate_dim = deployment.truncate_dim
        own = () if pooling_mode else deployment.modules
        mode = pooling_mode or _default_mode(deployment.config)
        self.modules = own or (Pooling((mode,)),)
        self._guess = None if own or pooling_mode else mode

    def __getstate__(self) -> dict[str, Any]:
        """All but what is read again where it is unpickled."""
        own = self.modules is self.text_model.deployment.modules
        return {**self.__dict__, "modules": None if own else self.modules}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.modules is None:
            self.modules = self.text_model.deployment.modules

    def encode(
        self,
        inputs: str | Sequence[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue = "sentence_embedding",
        precision: OutputPrecision = "float32",
        convert_to_numpy: bool = True,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """The embeddings of the texts, in order: (texts, dimensions), or 1-D for a single text.

        A prompt (by name, or itself) is put in front of each text. ``output_value`` may ask for
        ``token_embeddings`` (a list of (tokens, hidden) arrays), or None for dicts of both.
        ``truncate_dim`` keeps the first dimensions, ``normalize_embeddings`` then divides by the L2
        norm, and ``precision`` quantizes to int8, uint8 (over the range of these embeddings), or
        packed bits. Without ``convert_to_numpy`` the result is a list of arrays. The bar shows
        by default when the logger ``embedx`` is at INFO. A text without tokens gives zeros.

        White space around a text is part of it, as in sentence-transformers from release 6 on. A
        text's embedding does not depend on the texts beside it: bit for bit in ``exact`` precision,
        up to rounding (about 1e-7) in ``native``.

        Raises InputError for what is no text, ConfigError for unknown options.
        """
        single = isinstance(inputs, str)
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if output_value not in ("sentence_embedding", "token_embeddings", None):
            raise ConfigError(
                "output_value is sentence_embedding, token_embeddings or None, "
                f"not {output_value!r}"
            )
        truncate_dim = self.truncate_dim if truncate_dim is None else truncate_dim
        if batch_size < 1 or (truncate_dim is not None and truncate_dim < 1):
            raise ConfigError("batch_size and truncate_dim must be at least 1")
        prefix = self.prefix(prompt_name, prompt)
        tokens, prompt_tokens = self.prefixed(texts, prefix)
        show = _log.isEnabledFor(logging.INFO) if show_progress_bar is None else show_progress_bar
        results: list[Any] = [None] * len(texts)
        for places, hidden in self._progress(tokens, batch_size, show):
            vectors = self.pooled(hidden, prompt_tokens)
            for row, place in enumerate(places):
                pooling.check_finite(vectors[row], f"text {place}")
                results[place] = {
                    SENTENCE: vectors[row],
                    TOKENS: hidden[row] if hidden.ndim == 3 else hidden[row : row + 1],
                    "input_ids": tokens[place].ids,
                }
        return self._output(
            results,
            single,
            output_value,
            precision,
            convert_to_numpy,
            normalize_embeddings,
            truncate_dim,
        )

    def encode_query(self, inputs: str | Sequence[str], **options: Any) -> Any:
        """As :meth:`encode`, with the prompt named ``query`` if the model has one."""
        return self._encode_as(("query",), inputs, options)

    def encode_document(self, inputs: str | Sequence[str], **options: Any) -> Any:
        """As :meth:`encode`, with the first of the prompts document, passage and corpus.

        In sentence-transformers 5 and 6 every model has a prompt named document, which is empty
        unless a file says otherwise, so that they never come to the other two.
        """
        return self._encode_as(("document", "passage", "corpus"), inputs, options)

    def _encode_as(
        self, names: Sequence[str], inputs: str | Sequence[str], options: dict[str, Any]
    ) -> Any:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            options["prompt_name"] = next((n for n in names if n in self.prompts), None)
        return self.encode(inputs, **options)

    def similarity(self, a: Array, b: Array) -> Array:
        """The similarity of each row of ``a`` to each row of ``b``, by the model's own measure.

        Cosine, dot product, or the negative Euclidean or Manhattan distance.
        """
        measure = self.text_model.deployment.similarity
        a, b = np.atleast_2d(a), np.atleast_2d(b)
        if measure == "dot":
            return np.asarray(a @ b.T)
        if measure in ("euclidean", "manhattan"):
            order = 2 if measure == "euclidean" else 1
            return np.asarray(-np.linalg.norm(a[:, None] - b[None], ord=order, axis=-1))
        return np.asarray(pooling.normalize(a) @ pooling.normalize(b).T)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, cut off at ``max_seq_length``."""
        return self.text_model.tokenizer.encode(texts, self.max_seq_length)

    def get_embedding_dimension(self) -> int:
        """The length of an embedding."""
        return len(self._of_no_tokens[SENTENCE][: self.truncate_dim])

    get_sentence_embedding_dimension = get_embedding_dimension

    def prefix(self, name: str | None, prompt: str | None) -> str:
        """What goes in front of each text. Raises ConfigError for a name that is not known."""
        if prompt is not None:
            return prompt
        name = name or self.default_prompt_name
        if name is None:
            return ""
        if name not in (*EMPTY_PROMPTS, *self.prompts):
            raise ConfigError(
                f"there is no prompt {name!r}; the model has {', '.join(self.prompts) or 'none'}"
            )
        return self.prompts.get(name, "")

    def prefixed(self, texts: list[str], prefix: str) -> tuple[list[Tokens], int]:
        """The tokens of the texts with the prefix in front, and how many of them are its."""
        tokenizer = self.text_model.tokenizer
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {i} is {type(text).__name__}, expected str")
        whole = [prefix + text for text in texts]
        tokens = self.text_model.tokens(whole, self.max_seq_length)
        if not prefix:
            return tokens, 0
        (alone,) = tokenizer.encode([prefix], self.max_seq_length)
        # As sentence-transformers counts: without one special token behind it, if there are any.
        ends = tokenizer.specials > tokenizer.leading_specials
        return tokens, len(alone.ids) - ends

    def _progress(
        self, tokens: list[Tokens], batch_size: int, show: bool
    ) -> Iterator[tuple[list[int], Array]]:
        groups = self.text_model.embed(tokens, batch_size)
        if not show:
            yield from groups
            return
        from tqdm import tqdm

        with tqdm(total=len(tokens), unit="text", file=sys.stderr) as bar:
            for places, hidden in groups:
                yield places, hidden
                bar.update(len(places))

    def pooled(self, hidden: Array, prompt_tokens: int) -> Array:
        """One row per text from what the graph gives, through the model's own modules.

        Raises DeploymentError if these make no embedding of it.
        """
        if hidden.ndim == 3 and self._guess is not None:
            _log.warning(
                "no 1_Pooling/config.json in %s says how to pool, so %s is used; pooling_mode= (on "
                "the command line --extraction-strategy) sets it",
                self.text_model.deployment.folder,
                self._guess,
            )
            self._guess = None
        return pooling.after_graph(hidden, self.modules, prompt_tokens)

    @cached_property
    def _of_no_tokens(self) -> dict[str, Any]:
        """What a text without tokens gives: as wide as the result for some token."""
        hidden = self.text_model.of_one_token
        return {
            SENTENCE: np.zeros(self.pooled(hidden, 0).shape[1], np.float32),
            TOKENS: np.zeros((0, hidden.shape[-1]), np.float32),
            "input_ids": [],
        }

    def _output(
        self,
        results: list[Any],
        single: bool,
        value: OutputValue,
        precision: OutputPrecision,
        as_array: bool,
        normalized: bool,
        truncate_dim: int | None,
    ) -> Any:
        results = [r or self._of_no_tokens for r in results]
        if value == TOKENS:
            rows = np.cumsum([len(r[TOKENS]) for r in results])[:-1]
            stacked = np.concatenate([r[TOKENS] for r in results or [self._of_no_tokens]])
            tokens = np.split(quantized(stacked, precision), rows) if results else []
            return tokens[0] if single else tokens
        vectors = np.array([r[SENTENCE] for r in results or [self._of_no_tokens]], np.float32)
        vectors = vectors[: len(results), :truncate_dim]
        vectors = quantized(pooling.normalize(vectors) if normalized else vectors, precision)
        if value is None:
            dicts = [{**r, SENTENCE: v} for r, v in zip(results, vectors, strict=True)]
            return dicts[0] if single else dicts
        if single:
            return vectors[0]
        return vectors if as_array else list(vectors)


def _default_mode(config: Mapping[str, Any]) -> str:
    """How sentence-transformers pools where no file says it, by the model's config.json."""
    names = config.get("architectures")
    first = str(names[0]) if isinstance(names, list) and names else ""
    causal = first.endswith("ForCausalLM") and config.get("is_causal", True)
    return "lasttoken" if causal else "mean"


def quantized(vectors: Array, precision: OutputPrecision) -> Array:
    """Embeddings as int8 or uint8 over the range of each dimension, or as packed sign bits.

    By the formulas of sentence-transformers' quantize_embeddings. Raises ConfigError for another
    precision, or for the range of a single embedding, which is none.

    >>> quantized(np.array([[0.0, -1.0], [1.0, 1.0]]), "uint8")
    array([[  0,   0],
           [255, 255]], dtype=uint8)
    """
    if precision == "float32":
        return vectors
    if precision in ("binary", "ubinary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
    if precision not in ("int8", "uint8"):
        raise ConfigError(
            f"precision is float32, int8, uint8, binary or ubinary, not {precision!r}"
        )
    if len(vectors) == 1:
        raise ConfigError(f"{precision} needs the range of several embeddings, and there is one")
    low, high = vectors.min(axis=0, initial=np.inf), vectors.max(axis=0, initial=-np.inf)
    step = np.where(high > low, (high - low) / 255, 1)
    level = np.trunc((vectors - low) / step)
    return (level - 128).astype(np.int8) if precision == "int8" else level.astype(np.uint8)
