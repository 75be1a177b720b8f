"""``embedx --version``."""

from __future__ import annotations

from embedx.cli.versions import versions


def test_versions_name_what_it_runs_on() -> None:
    names = [line.split()[0] for line in versions().splitlines()]
    assert names[:6] == ["embedx", "python", "numpy", "scipy", "onnx", "tokenizers"]
