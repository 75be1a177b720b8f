"""Subgraphs for the operators that call one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Declared: TypeAlias = "tuple[np.dtype[Any], tuple[int | None, ...]]"


class Body:
    """A subgraph made of a Python function, with the declared types of its inputs and outputs."""

    def __init__(
        self,
        function: Callable[..., tuple[Any, ...]],
        *outputs: Declared | None,
        inputs: Sequence[Declared | None] = (),
    ) -> None:
        self._function = function
        self.inputs = inputs
        self.outputs: Sequence[Declared | None] = outputs

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        return self._function(*inputs)
