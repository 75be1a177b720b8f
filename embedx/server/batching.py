"""Texts of many requests, run together by length in worker threads.

The event loop hands in tokens and awaits arrays; everything that takes long happens in the workers.
A text waits a few milliseconds for others of its view and width, so that a busy server runs large
batches and an idle one answers at once. Texts of different endpoints never share a batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from embedx.errors import EmbedxError
from embedx.model.graph import Array
from embedx.server.errors import RefusedError
from embedx.server.metrics import Metrics
from embedx.server.views import View
from embedx.text.tokens import Tokens

_log = logging.getLogger("embedx.server")


@dataclass(eq=False)
class _Request:
    """The texts of one request, until the last of them has run."""

    results: list[Array]
    missing: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[Array]]
    given_up: bool = False

    def settle(self, error: Exception | None) -> None:
        """Wake the coroutine that waits; called in its event loop."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(self.results)
        else:
            self.done.set_exception(error)


@dataclass(eq=False)
class _Text:
    tokens: Tokens
    place: int
    request: _Request
    arrived: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class _Group:
    """The waiting texts of one view and one width."""

    limit: int
    texts: deque[_Text] = field(default_factory=deque)


class Batcher:
    """A bounded queue and the threads that empty it."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        workers: int,
        max_batch_tokens: int,
        max_queued_tokens: int,
        wait: float,
    ) -> None:
        self._metrics, self._wait = metrics, wait
        self._max_batch_tokens, self._max_queued_tokens = max_batch_tokens, max_queued_tokens
        self._groups: dict[tuple[View, int], _Group] = {}
        self.queued_tokens = 0
        """The tokens, padding included, of all texts that wait to run."""
        self._closing = False
        self._changed = threading.Condition()
        self._workers = workers
        self._threads: list[threading.Thread] = []

    @property
    def queued_texts(self) -> int:
        """How many texts wait to run."""
        with self._changed:
            return sum(len(group.texts) for group in self._groups.values())

    async def run(self, view: View, texts: Sequence[Tokens], deadline: float) -> list[Array]:
        """An array per text, in order. ``deadline`` is a time of the event loop's clock.

        A caller that is cancelled takes its texts out of the queue. Raises RefusedError with 429
        if the queue is full, 503 past the deadline or while closing; else what the view raises.
        """
        if not texts:
            return []
        loop = asyncio.get_running_loop()
        request = _Request([np.zeros(0)] * len(texts), len(texts), loop, loop.create_future())
        self._put(view, texts, request)
        try:
            return await asyncio.wait_for(request.done, deadline - loop.time())
        except asyncio.TimeoutError:
            self._metrics.dropped.add(1, "deadline")
            raise RefusedError(503, "the server is too busy to answer in time; try again") from None
        except asyncio.CancelledError:
            self._metrics.dropped.add(1, "client gone")
            raise
        finally:
            request.given_up = True

    def close(self) -> None:
        """Refuse new texts, run those that wait, and end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _put(self, view: View, texts: Sequence[Tokens], request: _Request) -> None:
        widths = [view.width(text) for text in texts]
        with self._changed:
            if self._closing:
                raise RefusedError(503, "the server is shutting down")
            full = self.queued_tokens + sum(widths) > self._max_queued_tokens
            if full and self.queued_tokens:
                raise RefusedError(429, "the queue is full; try again in a moment")
            if not self._threads:
                self._start()
            self.queued_tokens += sum(widths)
            for place, (tokens, width) in enumerate(zip(texts, widths, strict=True)):
                group = self._groups.get((view, width))
                if group is None:
                    limit = max(1, self._max_batch_tokens // max(width, 1))
                    group = _Group(min(limit, view.batch_size or limit))
                    self._groups[view, width] = group
                group.texts.append(_Text(tokens, place, request))
            self._changed.notify(len(self._threads))

    def _start(self) -> None:
        """Start the threads; not before the first request, as a process may fork until then."""
        self._threads = [
            threading.Thread(target=self._work, name=f"embedx-worker-{i}", daemon=True)
            for i in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while batch := self._next():
            view, texts = batch
            start = time.monotonic()
            for text in texts:
                self._metrics.queue_seconds.observe(start - text.arrived)
            self._run(view, texts)
            self._metrics.batch_texts.observe(len(texts))
            self._metrics.batch_seconds.observe(time.monotonic() - start)

    def _next(self) -> tuple[View, list[_Text]] | None:
        """The next batch: of the text that waits longest, and others of its width."""
        with self._changed:
            while True:
                key = self._ready(time.monotonic())
                if isinstance(key, tuple):
                    if texts := self._take(*key):
                        return key[0], texts
                elif self._closing and key is None:
                    return None
                else:
                    self._changed.wait(key)

    def _ready(self, now: float) -> tuple[View, int] | float | None:
        """The group to run now, or how long to wait for it, or None if nothing waits."""
        if not self._groups:
            return None
        due = {
            key: group.texts[0].arrived
            + (0 if len(group.texts) >= group.limit or self._closing else self._wait)
            for key, group in self._groups.items()
        }
        key = min(due, key=lambda k: due[k])
        return key if due[key] <= now else due[key] - now

    def _take(self, view: View, width: int) -> list[_Text]:
        """Up to a batch of the group's texts, without those that nobody waits for any more."""
        group = self._groups[view, width]
        taken: list[_Text] = []
        while group.texts and len(taken) < group.limit:
            text = group.texts.popleft()
            self.queued_tokens -= width
            if not text.request.given_up:
                taken.append(text)
        if not group.texts:
            del self._groups[view, width]
        return taken

    def _run(self, view: View, texts: list[_Text]) -> None:
        try:
            results = view.run([text.tokens for text in texts])
        except Exception as error:
            if len(texts) > 1:
                # One text must not fail its neighbours.
                for text in texts:
                    self._run(view, [text])
                return
            if isinstance(error, EmbedxError):
                error = type(error)(f"text {texts[0].place}: {error}")
            else:
                _log.exception("a batch failed")
            self._finish(texts[0].request, error)
            return
        for text, result in zip(texts, results, strict=True):
            # Results are copied: a view would keep the whole batch's memory.
            text.request.results[text.place] = np.array(result)
            self._metrics.tokens.add(len(text.tokens.ids))
            self._metrics.texts.add(1)
            with self._changed:
                text.request.missing -= 1
                last = text.request.missing == 0
            if last:
                self._finish(text.request, None)

    def _finish(self, request: _Request, error: Exception | None) -> None:
        try:
            request.loop.call_soon_threadsafe(request.settle, error)
        except RuntimeError:  # the event loop has ended without us
            _log.warning("a result came after the server had ended")
