"""The machine that measurements are made on."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import embedx
from embedx.workers import available_cores


def machine(peers: Sequence[str] = ()) -> dict[str, Any]:
    """What the measurements ran on, and when."""
    from threadpoolctl import threadpool_info

    packages = ("embedx", "numpy", "scipy", "onnx", "onnxruntime", "tokenizers", *peers)
    blas = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return {
        "date": date.today().isoformat(),
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{name: version for name in packages if (version := _version(name))},
            **{i["internal_api"]: f"{i['version']} ({i.get('architecture')})" for i in blas},
        },
    }


def _version(package: str) -> str | None:
    try:
        return embedx.__version__ if package == "embedx" else metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return names[0] if names else platform.machine()
