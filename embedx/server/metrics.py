"""Counts and distributions, and Prometheus' text format for them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Counter:
    """Numbers that only grow, one for each combination of labels."""

    def __init__(self, name: str, help: str, *labels: str) -> None:
        self.name, self.help, self._labels = name, help, labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}
        self._lock = threading.Lock()

    def add(self, amount: float, *labels: str) -> None:
        """Grow the number of these labels."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def lines(self) -> Iterator[str]:
        """Its part of the page."""
        yield from _head(self.name, self.help, "counter")
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_braces(self._labels, labels)} {value:g}"


class Histogram:
    """How often values fell below each bound, for each combination of labels."""

    def __init__(self, name: str, help: str, bounds: Sequence[float], *labels: str) -> None:
        self.name, self.help, self._bounds, self._labels = name, help, bounds, labels
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Count one value."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
            counts[place] += 1
            self._sums[labels] = self._sums.get(labels, 0) + value

    def lines(self) -> Iterator[str]:
        """Its part of the page."""
        yield from _head(self.name, self.help, "histogram")
        with self._lock:
            found = [(k, list(v), self._sums[k]) for k, v in self._counts.items()]
        for labels, counts, total in found:
            below = 0
            for bound, count in zip(
                [*map("{:g}".format, self._bounds), "+Inf"], counts, strict=True
            ):
                below += count
                braces = _braces((*self._labels, "le"), (*labels, bound))
                yield f"{self.name}_bucket{braces} {below}"
            braces = _braces(self._labels, labels)
            yield f"{self.name}_sum{braces} {total:.6f}"
            yield f"{self.name}_count{braces} {below}"


class Metrics:
    """What the server counts; it outlives a reload of the configuration."""

    def __init__(self) -> None:
        self.requests = Counter(
            "embedx_requests_total", "Requests answered.", "method", "route", "status"
        )
        self.latency = Histogram(
            "embedx_request_seconds", "From arrival to the last byte.", SECONDS, "route"
        )
        self.batch_texts = Histogram("embedx_batch_texts", "Texts that ran together.", SIZES)
        self.batch_seconds = Histogram("embedx_batch_seconds", "Time of a batch.", SECONDS)
        self.queue_seconds = Histogram("embedx_queue_seconds", "Wait before running.", SECONDS)
        self.texts = Counter("embedx_texts_total", "Texts embedded.")
        self.tokens = Counter("embedx_tokens_total", "Tokens run, special ones included.")
        self.truncated = Counter("embedx_truncated_texts_total", "Texts of which some was cut off.")
        self.dropped = Counter(
            "embedx_dropped_requests_total", "Requests given up before they ran.", "reason"
        )
        self.reloads = Counter(
            "embedx_config_reloads_total", "Reloads of the configuration.", "result"
        )

    def page(self, **gauges: float) -> str:
        """All of it, and numbers as they are now, in Prometheus' text format, version 0.0.4."""
        lines = [line for part in vars(self).values() for line in part.lines()]
        for name, value in gauges.items():
            lines += [f"# TYPE embedx_{name} gauge", f"embedx_{name} {value:g}"]
        return "".join(f"{line}\n" for line in lines)


def _head(name: str, help: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    r"""The labels of a sample.

    >>> _braces(["route"], ['/a"b'])
    '{route="/a\\"b"}'
    """
    if not names:
        return ""
    escaped = (v.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for v in values)
    pairs = (f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))
    return "{" + ",".join(pairs) + "}"
