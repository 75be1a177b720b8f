"""``embedx.server ...`` and ``python -m embedx.server ...``: DeepSparse's spellings."""

from __future__ import annotations

import sys

from embedx.cli import main as cli


def main() -> int:
    """Run ``embedx serve`` with the arguments of the process; the exit code."""
    return cli.main(["serve", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
