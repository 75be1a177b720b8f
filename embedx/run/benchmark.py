"""What a benchmark measured."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, median, pstdev
from typing import Any


@dataclass(frozen=True)
class BenchmarkResults:
    """Wall-clock seconds of repeated runs on batches of one size."""

    batch_size: int
    batch_times: list[float]
    """Seconds, one number per run."""
    outputs: list[list[Any]] | None = None

    def __len__(self) -> int:
        return len(self.batch_times)

    @property
    def num_batches(self) -> int:
        """How many runs were timed."""
        return len(self.batch_times)

    @property
    def num_items(self) -> int:
        """How many items these runs had together."""
        return self.batch_size * len(self.batch_times)

    @property
    def batch_times_mean(self) -> float:
        """Seconds a run, on average."""
        return mean(self.batch_times)

    @property
    def batch_times_median(self) -> float:
        """Seconds a run, in the middle."""
        return median(self.batch_times)

    @property
    def batch_times_std(self) -> float:
        """The standard deviation of the seconds."""
        return pstdev(self.batch_times)

    @property
    def batches_per_second(self) -> float:
        """Runs in a second."""
        return 1 / self.batch_times_mean

    @property
    def items_per_second(self) -> float:
        """Items in a second."""
        return self.batch_size / self.batch_times_mean

    @property
    def ms_per_batch(self) -> float:
        """Milliseconds a run."""
        return 1000 * self.batch_times_mean

    @property
    def ms_per_item(self) -> float:
        """Milliseconds an item."""
        return 1000 * self.batch_times_mean / self.batch_size

    def __str__(self) -> str:
        return (
            f"{self.num_batches} runs of {self.batch_size}: {self.ms_per_batch:.3f} ms a run "
            f"(median {1000 * self.batch_times_median:.3f}), {self.items_per_second:.1f} items/s"
        )
