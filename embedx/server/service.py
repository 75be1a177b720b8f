"""The loaded endpoints, and the way of a request through them: tokenize, queue, run."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from embedx.model.graph import Array
from embedx.server.batching import Batcher
from embedx.server.config import ServerConfig
from embedx.server.errors import RefusedError
from embedx.server.metrics import Metrics
from embedx.server.views import Endpoint, View, load_endpoint
from embedx.text.text_model import TextModel
from embedx.text.tokens import Tokens
from embedx.workers import available_cores

T = TypeVar("T")


@dataclass(eq=False)
class Facts:
    """What is known about the request that is being answered, for its log line and headers."""

    deadline: float
    """On the event loop's clock."""
    texts: int = 0
    tokens: int = 0
    truncated: int = 0


facts: contextvars.ContextVar[Facts] = contextvars.ContextVar("embedx.server.facts")


def prompted(views: Mapping[str | None, View], prompt_name: str | None) -> View:
    """The view that puts this prompt in front. Raises RefusedError with 422 if there is none."""
    if prompt_name in views:
        return views[prompt_name]
    names = ", ".join(name for name in views if name is not None) or "none"
    raise RefusedError(
        422, f"prompt_name: there is no prompt {prompt_name!r}; the model has {names}"
    )


@dataclass(frozen=True)
class Answer:
    """One array per text, in order, and how many tokens they took."""

    arrays: list[Array]
    tokens: int


class Service:
    """The endpoints of one configuration, loaded, with their queue and workers.

    Raises what loading a model raises; ``models`` are taken over instead of loading them again.
    """

    def __init__(
        self, config: ServerConfig, metrics: Metrics, models: dict[Any, TextModel] | None = None
    ) -> None:
        cores = config.num_cores or available_cores()
        workers = config.num_workers or cores
        loaded = dict(models or {})
        self.config, self.metrics = config, metrics
        self.endpoints = [
            load_endpoint(e, max(1, cores // workers), loaded) for e in config.endpoints
        ]
        used = {id(m) for e in self.endpoints for m in e.embedding_models()}
        self.models = {key: model for key, model in loaded.items() if id(model) in used}
        self.started = time.time()
        self.reload_error: str | None = None
        """Why the configuration file as it is now was not taken over, if so."""
        self.draining = False
        self.requests = self.in_flight = 0
        """All requests that have begun, and those with a body that are being answered; the event
        loop alone counts them."""
        self.batcher = Batcher(
            metrics,
            workers=workers,
            max_batch_tokens=config.max_batch_tokens,
            max_queued_tokens=config.max_queued_tokens,
            wait=config.batch_wait_ms / 1000,
        )
        # Tokenizing and writing JSON: long enough to hold up the event loop, too short to queue.
        self._helpers = ThreadPoolExecutor(2, thread_name_prefix="embedx-helper")

    @property
    def default(self) -> Endpoint:
        """The first endpoint."""
        return self.endpoints[0]

    def find(self, name: str | None) -> Endpoint:
        """The endpoint of that name, or without a name the first. Raises RefusedError with 404."""
        if name is None:
            return self.default
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        names = ", ".join(endpoint.name for endpoint in self.endpoints)
        raise RefusedError(404, f"there is no model {name!r}; this server has {names}")

    async def help(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's result, computed outside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._helpers, function, *arguments)

    async def embed(
        self,
        view: View,
        inputs: Sequence[str | list[int]],
        *,
        truncate: bool | None = None,
    ) -> Answer:
        """What the view makes of each input: a text, or token ids as the model reads them.

        With ``truncate`` what is too long is cut off; without, RefusedError with 413 says so.
        Raises RefusedError with 422 for too many inputs, 429 and 503 as the batcher does;
        InputError for what the model does not take, NodeError if it fails.
        """
        cut = self.config.auto_truncate if truncate is None else truncate
        tokens = await self.help(self.tokens_of, view, inputs, cut)
        now = facts.get()
        now.texts += len(tokens)
        now.tokens += sum(len(t.ids) for t in tokens)
        now.truncated += sum(t.truncated for t in tokens)
        self.metrics.truncated.add(sum(t.truncated for t in tokens))
        arrays = await self.batcher.run(view, tokens, now.deadline)
        return Answer(arrays, sum(len(t.ids) for t in tokens))

    def tokens_of(
        self, view: View, inputs: Sequence[str | list[int]], truncate: bool
    ) -> list[Tokens]:
        """The tokens of each input. Raises RefusedError as :meth:`embed` does, InputError."""
        self.check_texts(inputs)
        texts = [view.text(text) for text in inputs if isinstance(text, str)]
        encoded = iter(view.model.tokenizer.encode(texts, view.max_length) if texts else [])
        tokens = [
            next(encoded) if isinstance(i, str) else Tokens(i, [0] * len(i), len(i)) for i in inputs
        ]
        for i, (given, text) in enumerate(zip(inputs, tokens, strict=True)):
            too_long = text.truncated and not truncate
            if too_long or (not isinstance(given, str) and len(given) > view.max_length):
                raise RefusedError(
                    413,
                    f"text {i} has {text.full_length} tokens, the model takes {view.max_length}; "
                    "shorten it, or ask for truncation where the protocol can",
                )
        return tokens

    def check_texts(self, inputs: Sequence[str | list[int]]) -> None:
        """Raise RefusedError if the inputs are too many, or one is too large to tokenize."""
        most, longest = self.config.max_client_batch_size, self.config.max_text_characters
        if len(inputs) > most:
            raise RefusedError(422, f"{len(inputs)} texts in one request; send at most {most}")
        for i, text in enumerate(inputs):
            if len(text) > longest:
                raise RefusedError(
                    413, f"text {i} has {len(text)} characters; send at most {longest}, in parts"
                )

    def close(self) -> None:
        """Finish what was accepted, then end the threads."""
        self.draining = True
        self.batcher.close()
        self._helpers.shutdown()
        # FastAPI's caches keep the routes, and with them this object; not the weights, though.
        self.endpoints.clear()
        self.models.clear()
