"""What an endpoint can be asked for: a pipeline and an embedder over one set of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from embedx.model.graph import Array
from embedx.server.config import EndpointConfig
from embedx.text.buckets import bucket_of
from embedx.text.deepsparse import SEQUENCE_LENGTH
from embedx.text.embedder import Embedder
from embedx.text.model_folder import read_folder
from embedx.text.pipeline import Pipeline, PipelineConfig
from embedx.text.pooling import check_finite
from embedx.text.text_model import TextModel
from embedx.text.tokens import Tokens


@dataclass(frozen=True, eq=False)
class View:
    """One way to read texts off a model."""

    model: TextModel
    max_length: int
    reduce: Callable[[Array], Array]
    """From (texts, tokens, hidden) to one array per text."""
    batch_size: int | None
    buckets: tuple[int, ...] = ()
    """Lengths to which texts are padded; without them texts run at their own."""
    prefix: str = ""
    """The prompt in front of each text."""

    def text(self, given: str) -> str:
        """The text as it is tokenized."""
        return self.prefix + given

    def width(self, tokens: Tokens) -> int:
        """The length at which a text runs; texts of one width run together."""
        return bucket_of(len(tokens.ids), self.buckets) if self.buckets else len(tokens.ids)

    def run(self, texts: Sequence[Tokens]) -> list[Array]:
        """An array for each of the texts, which have one width.

        Raises NodeError if the model gives NaN or infinity, or fails.
        """
        widths = [self.width(t) for t in texts] if self.buckets else None
        results: list[Array] = [np.zeros(0, np.float32)] * len(texts)
        for places, hidden in self.model.embed(texts, len(texts), widths):
            for place, result in zip(places, self.reduce(hidden), strict=True):
                check_finite(result)
                results[place] = result
        return results


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A loaded endpoint."""

    config: EndpointConfig
    name: str
    pipeline: Pipeline
    embedder: Embedder
    predict: View
    """DeepSparse's embeddings, by the endpoint's strategy."""
    sentence: Mapping[str | None, View]
    """One vector per text, by the prompt's name (None: the model's default): by the endpoint's
    strategy if it gives that, else as the model folder says."""
    tokens: Mapping[str | None, View]
    """The token embeddings at the endpoint's layer, likewise."""

    def embedding_models(self) -> list[TextModel]:
        """The models that it uses."""
        return [self.predict.model, self.sentence[None].model]


def load_endpoint(config: EndpointConfig, num_cores: int, shared: dict[Any, TextModel]) -> Endpoint:
    """The endpoint, its model loaded and run once.

    ``shared`` holds the models that are loaded already; endpoints whose files, edge and length are
    the same use one. Raises what ``Pipeline.create`` and ``load`` raise.
    """
    pipeline, embedder = _loaded(config, num_cores, shared)
    endpoint = _endpoint(config, pipeline, embedder)
    for view in (endpoint.predict, endpoint.sentence[None]):
        view.run(view.model.tokenizer.encode(["a"], view.max_length))
    return endpoint


def _loaded(
    config: EndpointConfig, num_cores: int, shared: dict[Any, TextModel]
) -> tuple[Pipeline, Embedder]:
    lengths = config.sequence_length
    longest = max(lengths) if isinstance(lengths, tuple) else lengths
    settings = PipelineConfig(
        task=config.task,
        model_path=config.model,
        emb_extraction_layer=config.emb_extraction_layer,
        extraction_strategy=config.extraction_strategy,
        sequence_length=SEQUENCE_LENGTH if lengths is None else lengths,
        num_cores=num_cores,
    )
    folder = read_folder(config.model)

    def text_model(edge: str, longest: int | None) -> TextModel:
        key = (folder.stamp(), edge, longest if folder.declares_length else None, num_cores)
        if key not in shared:
            shared[key] = TextModel(folder, edge, longest=longest, num_cores=num_cores)
        return shared[key]

    layer_edge = folder.edge(config.emb_extraction_layer)
    pipeline = Pipeline(settings, text_model(layer_edge, longest or SEQUENCE_LENGTH))
    usual = text_model(folder.usual_edge(pooled=True), longest)
    return pipeline, Embedder(usual, max_seq_length=longest)


def _endpoint(config: EndpointConfig, pipeline: Pipeline, embedder: Embedder) -> Endpoint:
    strategy, size, buckets = config.extraction_strategy, config.batch_size, pipeline.buckets
    model = pipeline.text_model
    limit = buckets[-1]
    if config.sequence_length is None:
        limit = min(embedder.max_seq_length, model.fixed_length or embedder.max_seq_length)
    padded = strategy == "per_token" and not model.pools
    predict = View(model, buckets[-1], pipeline.reduced, size, buckets if padded else ())
    tokens = View(model, limit, _same, size)
    own = predict if strategy not in ("per_token", "auto") else None
    prompts: dict[str | None, str | None] = {None: embedder.default_prompt_name}
    prompts |= {name: name for name in embedder.prompts}
    prefixes = {key: embedder.prefix(name, None) for key, name in prompts.items()}
    return Endpoint(
        config,
        config.name or config.task,
        pipeline,
        embedder,
        predict,
        {k: _prefixed(own or _sentence(embedder, p, size), p) for k, p in prefixes.items()},
        {key: _prefixed(tokens, prefix) for key, prefix in prefixes.items()},
    )


def _sentence(embedder: Embedder, prefix: str, batch_size: int | None) -> View:
    """What ``Embedder.encode`` gives."""
    _, prompt_tokens = embedder.prefixed([], prefix)
    return View(
        embedder.text_model,
        embedder.max_seq_length,
        lambda hidden: embedder.pooled(hidden, prompt_tokens),
        batch_size,
    )


def _prefixed(view: View, prefix: str) -> View:
    # The same view where nothing differs, so that its texts run together.
    return replace(view, prefix=prefix) if prefix else view


def _same(hidden: Array) -> Array:
    return hidden if hidden.ndim == 3 else hidden[:, None]
