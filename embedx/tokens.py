"""Texts to token ids, through the tokenizers package and nowhere else.

The library is native code that can panic on crafted files, with an exception that ``except
Exception`` does not catch; and files bring truncation and padding of their own, which are put
aside: lengths are the pipeline's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedx.deployment import MAX_JSON_BYTES, read_json
from embedx.errors import ConfigError, DeploymentError, EmbedxError, InputError


@dataclass(frozen=True)
class Tokens:
    """One text as the model reads it."""

    ids: list[int]
    type_ids: list[int]
    full_length: int
    """How many tokens the text has without truncation, special ones included."""

    @property
    def truncated(self) -> bool:
        """Whether something was cut off."""
        return len(self.ids) < self.full_length


@dataclass(frozen=True)
class Piece:
    """One token, and where in the text it stands."""

    id: int
    token: str
    special: bool
    start: int
    """In characters; equal to ``stop`` for a token that the tokenizer added."""
    stop: int


class Tokenizer:
    """The tokenizer of a model folder: tokenizer.json, or vocab.txt for WordPiece models."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any], *, do_lower_case: bool = False
    ) -> None:
        self._lower = do_lower_case
        with _guarded(folder, DeploymentError):
            self._tokenizer = _load(folder, config)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            probe = self._tokenizer.encode("a")
            mask = probe.special_tokens_mask
        self.leading_specials = next(
            (i for i, special in enumerate(mask) if not special), len(mask)
        )
        """How many special tokens (such as [CLS]) stand before every text."""
        self.specials = sum(mask)
        """How many special tokens are added to every text."""
        self.pad_id = self._pad_id(folder, config)

    def _pad_id(self, folder: Path, config: Mapping[str, Any]) -> int:
        named = {**read_json(folder / "special_tokens_map.json"), **config}
        for key in ("pad_token", "eos_token"):
            token = named.get(key)
            content = token.get("content") if isinstance(token, dict) else token
            found = self._tokenizer.token_to_id(content) if isinstance(content, str) else None
            if found is not None:
                return int(found)
        return int(self._tokenizer.token_to_id("[PAD]") or 0)

    def encode(self, texts: Sequence[str], max_length: int) -> list[Tokens]:
        """Each text's tokens, the last ones cut off beyond ``max_length`` (special ones included).

        Raises InputError naming the text that is no string, or that cannot be tokenized.
        """
        if max_length < max(self.specials, 1):
            raise ConfigError(f"{max_length} tokens do not hold the {self.specials} special ones")
        checked = [self._checked(text, i) for i, text in enumerate(texts)]
        with _guarded("the texts", InputError):
            encodings = self._tokenizer.encode_batch(checked)
            return [
                self._cut(text, encoding, max_length)
                for text, encoding in zip(checked, encodings, strict=True)
            ]

    def pieces(self, text: str, *, special: bool = True) -> list[Piece]:
        """Every token of a text, nothing cut off, with or without those that a model adds."""
        checked = self._checked(text, 0)
        with _guarded("the text", InputError):
            e = self._tokenizer.encode(checked, add_special_tokens=special)
            rows = zip(e.ids, e.tokens, e.special_tokens_mask, e.offsets, strict=True)
            return [Piece(i, token, bool(mark), *place) for i, token, mark, place in rows]

    def _checked(self, text: object, index: int) -> str:
        if not isinstance(text, str):
            raise InputError(f"text {index} is {type(text).__name__}, expected str")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {index} has a lone surrogate at character {error.start}"
            ) from error
        return text.lower() if self._lower else text

    def _cut(self, text: str, encoding: Any, max_length: int) -> Tokens:
        full = len(encoding.ids)
        if full > max_length:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            encoding.truncate(max_length - self.specials)
            encoding = self._tokenizer.post_process(encoding)
        return Tokens(encoding.ids, encoding.type_ids, full)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The token that each id stands for."""
        return [self._tokenizer.id_to_token(i) or "" for i in ids]


def _load(folder: Path, config: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer as Native

    path = folder / "tokenizer.json"
    if path.exists():
        if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
            raise DeploymentError(f"{path} is no regular file of at most 64 MiB")
        return Native.from_str(path.read_text("utf-8-sig"))
    if (folder / "vocab.txt").is_file():
        from tokenizers.implementations import BertWordPieceTokenizer

        return BertWordPieceTokenizer(
            str(folder / "vocab.txt"), lowercase=config.get("do_lower_case", True) is not False
        )._tokenizer
    raise DeploymentError(f"{folder} has neither tokenizer.json nor vocab.txt")


@contextmanager
def _guarded(where: object, kind: Callable[[str], EmbedxError]) -> Iterator[None]:
    try:
        yield
    except (EmbedxError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a Rust panic is no Exception
        raise kind(f"{where}: the tokenizer fails with {type(error).__name__}: {error}") from error
