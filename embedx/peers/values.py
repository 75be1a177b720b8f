"""A runtime that gives values, alone in its process: ``python -m embedx.peers.values JOB``.

JOB is JSON: the runtime's name (``side``), the ``model``, the ``threads``, and for onnxruntime
perhaps the ``level`` of its optimizations, the optimizers that are ``disabled``, and a file to
which the optimized model is ``saved``. When the model is open the process says so; then each line
on stdin is a request in JSON: the ``.npz`` of the ``feeds``, the names of the ``outputs``, and the
``.npz`` to which they are written under their places in that list. Values that are no plain
arrays are left out. Each answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from embedx.peers import side
from embedx.peers.process import write_arrays


def main(job: dict[str, Any]) -> None:
    """Open the model, then answer what stdin asks for until it ends."""
    options = {k: job[k] for k in ("level", "disabled", "saved") if job.get(k) is not None}
    session = side.opener(job["side"], job["threads"], **options)(job["model"])
    side.answer()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with np.load(request["feeds"]) as file:
                feeds = dict(file.items())
            values = session.run(request["outputs"], feeds)
            plain = {
                str(place): value
                for place, value in enumerate(values)
                if isinstance(value, np.ndarray) and value.dtype != object
            }
            write_arrays(Path(request["to"]), plain)
        except Exception as error:
            side.answer(error=f"{type(error).__name__}: {error}")
        else:
            side.answer()


if __name__ == "__main__":
    side.asker = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print something must not be heard as answers
    try:
        main(json.loads(sys.argv[1]))
    except Exception as error:
        side.answer(error=f"{type(error).__name__}: {error}")
