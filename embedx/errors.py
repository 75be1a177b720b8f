"""Everything that embedx raises on purpose, and the exit code that the command line gives it."""

from __future__ import annotations

_LONGEST = 2000


class EmbedxError(Exception):
    """The base of the family. The message is one line without control characters."""

    exit_code = 70

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class ModelError(EmbedxError):
    """A model file that cannot be parsed, is invalid, or contradicts itself."""

    exit_code = 3


class ExternalDataError(ModelError):
    """Tensor data outside the model file that is missing, too short, or must not be read."""


class UnsupportedOpError(EmbedxError):
    """Operators that the model needs and embedx lacks, all of them at once."""

    exit_code = 3


class DeploymentError(EmbedxError):
    """A tokenizer, pooling or configuration file of a model folder that cannot be used."""

    exit_code = 3


class InputError(EmbedxError):
    """Texts or tensors that do not fit the model's inputs."""

    exit_code = 4


class NodeError(EmbedxError):
    """A node that failed while running."""

    exit_code = 5


class OutputError(EmbedxError):
    """Results that could not be written to their end, as on a full disk."""

    exit_code = 5


class BudgetError(EmbedxError):
    """More memory, time, loop turns or bytes than allowed."""

    exit_code = 6


class ConfigError(EmbedxError):
    """Arguments or a configuration file that make no sense."""

    exit_code = 2


class ToleranceError(EmbedxError, AssertionError):
    """Values that differ by more than they may."""

    exit_code = 1


def _one_line(message: str) -> str:
    r"""Escape what could harm terminals and logs: names in messages come from files.

    >>> _one_line("two\nlines")
    'two\\nlines'
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
