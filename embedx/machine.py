"""The machine on which results are made, as far as they may depend on it."""

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
    """Its processor, system and software, and the date."""
    from threadpoolctl import threadpool_info

    packages = ("embedx", "numpy", "scipy", "onnx", "onnxruntime", "tokenizers", *peers)
    blas = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return {
        "date": date.today().isoformat(),
        "cpu": cpu_name(),
        "cpu_features": cpu_features(),
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


def cpu_name() -> str:
    """What the processor calls itself."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return names[0] if names else platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """Those of the processor's instruction sets on which results of other runtimes depend."""
    flags = re.findall(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    found = set(flags[0].split()) if flags else set()
    return [name for name in _FEATURES if name in found]


_FEATURES = (
    "avx2 fma f16c avx_vnni avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_int8 amx_bf16 "
    "asimd asimddp fphp asimdhp bf16 i8mm sve sve2"
).split()
"""Sums in wider registers, products of 8-bit integers without saturation, and half precision."""


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return ""
