"""``embedx serve``: answer over HTTP."""

from __future__ import annotations

import argparse
from typing import Any

from embedx.errors import ConfigError
from embedx.server.options import add_arguments, config_of


def add_to(commands: Any) -> None:
    """Add the command ``serve``."""
    serve = commands.add_parser("serve", help="answer over HTTP", allow_abbrev=False)
    serve.set_defaults(command=serve_command)
    add_arguments(serve)


def serve_command(options: argparse.Namespace) -> None:
    """Serve until the process is told to end."""
    try:
        from embedx.server.run import serve
    except ImportError as error:
        raise ConfigError(
            f"{error}; serving needs the extra: pip install '.[server]' in a checkout"
        ) from error
    serve(lambda: config_of(options), options.config_file)
