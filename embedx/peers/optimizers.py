"""Which of onnxruntime's optimizers change a model: ``python -m embedx.peers.optimizers JOB``.

onnxruntime has no list of them, but its log names each one that runs. JOB is JSON: the ``model``,
the ``level``, and the names that are ``disabled``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from embedx.errors import ConfigError
from embedx.peers import side
from embedx.peers.process import finding_embedx

_RULES = (
    "CastChainElimination CastElimination ClipQuantRewrite ConvAddFusion ConvBNFusion "
    "ConvMulFusion DivMulFusion EliminateDropout EliminateIdentity EliminateSlice "
    "ExpandElimination FuseReluClip GemmSumFusion GemmTransposeFusion LabelEncoderFusion "
    "MatMul_BatchNormalization_Fusion NoopElimination NotWhereFusion Pad_Fusion "
    "PreShapeNodeElimination ReluQuantRewrite UnsqueezeElimination"
).split()
"""What the log puts together as rules; each can be disabled by its name (onnxruntime 1.32)."""

_LINE = re.compile(r"GraphTransformer (\w+) modified: ([01])")


class Optimizers(NamedTuple):
    """Names that ``disabled_optimizers`` takes."""

    ran: tuple[str, ...]
    """All that looked at the model."""
    changed: tuple[str, ...]
    """Those that changed it; of rules all that may have."""


def optimizers_of(model: Path, level: str, disabled: Sequence[str] = ()) -> Optimizers:
    """The optimizers of onnxruntime at a level (see ``side.LEVELS``) for the model in a file.

    Raises ConfigError if onnxruntime cannot run the model.
    """
    job = json.dumps({"model": str(model), "level": level, "disabled": list(disabled)})
    done = subprocess.run(
        [sys.executable, "-m", "embedx.peers.optimizers", job],
        capture_output=True, text=True, errors="replace", env=finding_embedx(),
    )  # fmt: skip
    if done.returncode:
        told = "".join(done.stderr.strip().splitlines()[-1:])
        raise ConfigError(f"onnxruntime cannot run {model}: {told}")
    found: dict[str, bool] = {}
    for name, changed in _LINE.findall(done.stderr):
        for one in _RULES if name.endswith("_RuleBasedTransformer") else (name,):
            found[one] = found.get(one, False) or changed == "1"
    ran = tuple(name for name in found if name not in disabled)
    return Optimizers(ran, tuple(name for name in ran if found[name]))


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    import_module("onnxruntime").set_default_logger_severity(1)
    side.onnxruntime_session(asked["model"], 1, level=asked["level"], disabled=asked["disabled"])
