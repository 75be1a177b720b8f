"""The command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def process(
    arguments: list[object], *, shell: str = "", before: str = "", **env: str
) -> tuple[int, bytes, str]:
    """The exit code, stdout and stderr of a process; ``shell`` redirects, ``before`` is code."""
    code = f"import sys; {before or 'pass'}; from embedx.cli.main import main; "
    code += "sys.exit(main(sys.argv[1:]))"
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", code]
    # Streams without buffers fail at another moment.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True, timeout=120, env={**environment, **env},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


needs_sigterm = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM to catch")
TERMINATED = "import os, signal; os.fsync = lambda _: os.kill(os.getpid(), signal.SIGTERM)"
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
