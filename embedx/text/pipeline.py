"""Texts to embeddings, by DeepSparse's names: Pipeline.create, then call it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from embedx.config_file import parse_yaml, read_config, refuse_unknown
from embedx.errors import ConfigError, InputError
from embedx.model.graph import Array
from embedx.text import deepsparse, pooling
from embedx.text.buckets import bucket_of, checked_lengths
from embedx.text.model_folder import read_folder
from embedx.text.text_model import TextModel

STRATEGIES = (*deepsparse.STRATEGIES, *pooling.POOLINGS, "auto")


@dataclass(frozen=True)
class EmbeddingExtractionInput:
    """What a pipeline takes."""

    inputs: str | Sequence[str]


@dataclass(frozen=True)
class Usage:
    """What a call consumed."""

    tokens: int
    """Tokens run, special ones included, padding not."""
    truncated: int
    """Texts of which something was cut off."""


@dataclass(frozen=True)
class EmbeddingExtractionOutput:
    """What a pipeline gives: one flat list of floats (or array) per text, in order."""

    embeddings: list[Any]
    usage: Usage = field(default=Usage(0, 0))

    def model_dump(self) -> dict[str, Any]:
        """As plain data."""
        lists = [e.tolist() if isinstance(e, np.ndarray) else e for e in self.embeddings]
        return {"embeddings": lists, "usage": asdict(self.usage)}

    def model_dump_json(self) -> str:
        """As JSON."""
        return json.dumps(self.model_dump(), allow_nan=False)


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that a pipeline was created with; ``Pipeline.from_config`` makes it again.

    Raises ConfigError for what makes no sense.
    """

    task: str = deepsparse.TASKS[0]
    model_path: str | None = None
    emb_extraction_layer: int | str | None = -1
    extraction_strategy: str = "per_token"
    sequence_length: int | tuple[int, ...] = deepsparse.SEQUENCE_LENGTH
    batch_size: int = 1
    num_cores: int | None = None
    return_numpy: bool = False
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, lists instead of tuples."""
        lengths = self.sequence_length
        listed = list(lengths) if isinstance(lengths, tuple) else lengths
        return {**asdict(self), "sequence_length": listed}

    def to_json(self) -> str:
        """As JSON, which is YAML as well."""
        return json.dumps(self.to_dict(), indent=2)

    def to_yaml(self) -> str:
        """As YAML."""
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in self.to_dict().items())


class Pipeline:
    """Embedding extraction from texts; made by :meth:`create`.

    ``text_model`` is the model that ``config`` names, if it is loaded already.
    """

    input_schema = EmbeddingExtractionInput
    output_schema = EmbeddingExtractionOutput

    def __init__(self, config: PipelineConfig, text_model: TextModel | None = None) -> None:
        self.config = config
        lengths = checked_lengths(self.config.sequence_length)
        self.text_model = text_model or _loaded(self.config, lengths[-1])
        limit = self.text_model.fixed_length or lengths[-1]
        self.buckets = tuple(n for n in lengths if n <= limit) or (limit,)
        strategy = self.config.extraction_strategy
        if strategy == "cls_token" and self.text_model.tokenizer.leading_specials == 0:
            raise ConfigError("cls_token: this model's tokenizer puts no token in front of a text")
        if strategy == "auto" and not self.text_model.deployment.modules:
            raise ConfigError(
                f"auto: {self.text_model.deployment.folder} has no 1_Pooling/config.json that says "
                f"how to pool; choose one of {', '.join(STRATEGIES[:-1])}"
            )

    @classmethod
    def create(
        cls,
        task: str = deepsparse.TASKS[0],
        model_path: str | os.PathLike[str] | None = None,
        *,
        model: str | os.PathLike[str] | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        emb_extraction_layer: int | str | None = -1,
        model_size: int | None = None,
        extraction_strategy: str = "per_token",
        sequence_length: int | Sequence[int] = deepsparse.SEQUENCE_LENGTH,
        batch_size: int = 1,
        num_cores: int | None = None,
        return_numpy: bool = False,
    ) -> Pipeline:
        """A pipeline for the model at ``model_path`` (``model`` is another name of it).

        Without one it is the small English model that comes with embedx. Else it is a folder, an
        .onnx file, a name in the local Hugging Face cache, or a ``zoo:`` stub in the local
        SparseZoo cache. ``tokenizer`` is a folder or a tokenizer.json to use instead of the
        model folder's. ``emb_extraction_layer``: -1 for the last transformer layer, another
        index, a node's or an edge's name, or None for the graph's first output.
        ``extraction_strategy``: ``per_token`` (all tokens, flattened, padding included),
        ``reduce_mean`` and ``reduce_max`` (over all tokens but [CLS]), ``cls_token``;
        sentence-transformers' ``mean``, ``max``, ``cls``, ``lasttoken``, ``weightedmean``,
        ``mean_sqrt_len``; or ``auto``, which does what the model folder says. ``sequence_length``
        is the most tokens of a text, or a list of buckets. ``model_size`` is accepted for the sake
        of existing calls; the width comes from the graph.

        Raises ConfigError for arguments that make no sense, InputError for a model that is not
        found, ModelError, UnsupportedOpError or DeploymentError for one that cannot be used.
        """
        path = model_path if model_path is not None else model
        listed = isinstance(sequence_length, list | tuple)
        return cls(
            PipelineConfig(
                task=task,
                model_path=None if path is None else os.fspath(path),
                emb_extraction_layer=emb_extraction_layer,
                extraction_strategy=extraction_strategy,
                sequence_length=tuple(sequence_length) if listed else sequence_length,  # type: ignore[arg-type]
                batch_size=batch_size,
                num_cores=num_cores,
                return_numpy=return_numpy,
                tokenizer=None if tokenizer is None else os.fspath(tokenizer),
            )
        )

    @classmethod
    def from_config(
        cls, config: PipelineConfig | Mapping[str, Any] | str | os.PathLike[str]
    ) -> Pipeline:
        """The pipeline that an object, a mapping, a .json or .yaml file, or its text describes."""
        if isinstance(config, PipelineConfig):
            return cls(config)
        if not isinstance(config, Mapping):
            if not isinstance(config, str | os.PathLike):
                kind = type(config).__name__
                raise ConfigError(f"a configuration is a mapping, a path or a text, not {kind}")
            text = os.fspath(config)
            is_file = "\n" not in text and not text.lstrip().startswith("{")
            config = read_config(Path(text)) if is_file else parse_yaml(text)
        kwargs = config.get("kwargs") or {}
        if not isinstance(kwargs, Mapping):
            raise ConfigError(f"kwargs is {type(kwargs).__name__}, expected a mapping")
        values = {**config, **kwargs}
        values.pop("kwargs", None)
        if "model" in values:
            values.setdefault("model_path", values.pop("model"))
        refuse_unknown(values, PipelineConfig.__dataclass_fields__, "a pipeline's configuration")
        if isinstance(values.get("sequence_length"), list):
            values["sequence_length"] = tuple(values["sequence_length"])
        return cls(PipelineConfig(**values))

    def to_config(self) -> PipelineConfig:
        """What this pipeline was created with."""
        return self.config

    def __call__(self, *args: Any, inputs: Any = None) -> EmbeddingExtractionOutput:
        """The embeddings of one text, several, or a list of them, in order.

        They depend neither on each other nor on padding, but for rounding (about 1e-7).

        Raises InputError for anything but texts.
        """
        texts = _texts(args, inputs)
        model, strategy = self.text_model, self.config.extraction_strategy
        tokens = model.tokens(texts, self.buckets[-1])
        results: list[Array] = [np.zeros(0, np.float32)] * len(texts)
        padded = strategy == "per_token" and not model.pools
        widths = [bucket_of(len(t.ids), self.buckets) for t in tokens] if padded else None
        for places, hidden in model.embed(tokens, self.config.batch_size, widths):
            vectors = self.reduced(hidden)
            for place, vector in zip(places, vectors, strict=True):
                pooling.check_finite(vector, f"text {place}")
                results[place] = vector
        if any(r.size == 0 for r in results):  # texts without a single token
            zeros = np.zeros_like(self.reduced(model.of_one_token)[0])
            results = [r if r.size else zeros for r in results]
        usage = Usage(sum(len(t.ids) for t in tokens), sum(t.truncated for t in tokens))
        listed = results if self.config.return_numpy else [r.tolist() for r in results]
        return EmbeddingExtractionOutput(listed, usage)

    def reduced(self, hidden: Array) -> Array:
        """One row per text from (texts, tokens, hidden), as the extraction strategy says."""
        strategy, leading = (
            self.config.extraction_strategy,
            self.text_model.tokenizer.leading_specials,
        )
        if strategy == "auto":
            return pooling.after_graph(hidden, self.text_model.deployment.modules)
        if hidden.ndim == 2:
            if strategy != "per_token":
                raise ConfigError(
                    f"{strategy}: {self.text_model.edge!r} has one vector per text already; "
                    "use per_token"
                )
            return hidden
        if strategy == "per_token":
            return hidden.reshape(len(hidden), -1)
        return pooling.reduce(hidden, strategy, leading)

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(f'{k}={v!r}' for k, v in self.config.to_dict().items())})"


def _loaded(config: PipelineConfig, longest: int) -> TextModel:
    folder = read_folder(config.model_path, tokenizer=config.tokenizer)
    edge = folder.edge(config.emb_extraction_layer)
    return TextModel(folder, edge, longest=longest, num_cores=config.num_cores)


def _check(config: PipelineConfig) -> None:
    task = str(config.task).lower().replace("-", "_").replace(" ", "_")
    if task not in deepsparse.TASKS:
        raise ConfigError(
            f"there is no task {config.task!r}; the tasks are {', '.join(deepsparse.TASKS)}"
        )
    if config.extraction_strategy not in STRATEGIES:
        raise ConfigError(
            f"extraction_strategy is one of {', '.join(STRATEGIES)}, "
            f"not {config.extraction_strategy!r}"
        )
    for name in ("model_path", "tokenizer"):
        path = getattr(config, name)
        if not isinstance(path, str | None):
            raise ConfigError(f"{name} is {path!r}, expected a path or a name")
    layer = config.emb_extraction_layer
    if isinstance(layer, bool) or not isinstance(layer, int | str | None):
        raise ConfigError(f"emb_extraction_layer is an index, a name or None, not {layer!r}")
    for name in ("batch_size", "num_cores"):
        number = getattr(config, name)
        if number is not None and (type(number) is not int or number < 1):
            raise ConfigError(f"{name} must be a number of at least 1, not {number!r}")
    checked_lengths(config.sequence_length)


def _texts(args: tuple[Any, ...], inputs: Any) -> list[str]:
    if bool(args) == (inputs is not None):
        raise InputError("give the texts once: as arguments, or as inputs=")
    given = inputs if inputs is not None else args[0] if len(args) == 1 else list(args)
    if isinstance(given, EmbeddingExtractionInput):
        given = given.inputs
    if isinstance(given, str):
        return [given]
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list | tuple | set):
        raise InputError(f"inputs are a text or a list of texts, not {type(given).__name__}")
    return list(given)
