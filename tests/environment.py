"""The environment of processes that import embedx from this checkout, wherever they run."""

from __future__ import annotations

import os
from pathlib import Path


def environment() -> dict[str, str]:
    paths = (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
