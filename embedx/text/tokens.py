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

from embedx.errors import ConfigError, DeploymentError, EmbedxError, InputError
from embedx.text.json_file import MAX_JSON_BYTES, read_json


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
    """The tokenizer in a folder or in a tokenizer.json, as transformers reads it.

    A folder may hold tokenizer.json, the vocab.txt of a WordPiece tokenizer, or the vocab.json and
    merges.txt of a RoBERTa or GPT-2 one. ``config`` is tokenizer_config.json: what it says about
    case, accents, Chinese characters, prefix spaces, added tokens and the side of truncation wins
    over tokenizer.json. The side of padding does not matter, as nothing looks at padding.
    """

    def __init__(
        self,
        place: Path,
        config: Mapping[str, Any],
        *,
        do_lower_case: bool = False,
        adds_special_tokens: bool = True,
    ) -> None:
        self._special = adds_special_tokens
        with _guarded(place, DeploymentError):
            self._tokenizer, config = _load(place, config)
            self.truncation_side: str = config["truncation_side"]
            """Where a text that is too long loses its tokens: ``right`` or ``left``."""
            if do_lower_case:
                _lower_first(self._tokenizer)
            layout = _layout(self._tokenizer) if adds_special_tokens else [_TEXT]
        self.leading_specials = layout.index(_TEXT)
        """How many special tokens (such as [CLS]) stand before every text."""
        self.specials = len(layout) - 1
        """How many special tokens are added to every text."""
        self.pad_id = self._pad_id(config)

    def _pad_id(self, config: Mapping[str, Any]) -> int:
        for key in ("pad_token", "eos_token"):
            found = self._tokenizer.token_to_id(_content(config.get(key)))
            if found is not None:
                return int(found)
        return int(self._tokenizer.token_to_id("[PAD]") or 0)

    def encode(self, texts: Sequence[str], max_length: int) -> list[Tokens]:
        """Each text's tokens, at most ``max_length`` of them, special ones included.

        What is too much is cut off at ``truncation_side``. Raises InputError naming the text that
        is no string, or that cannot be tokenized.
        """
        if max_length < max(self.specials, 1):
            raise ConfigError(f"{max_length} tokens do not hold the {self.specials} special ones")
        checked = [self._checked(text, i) for i, text in enumerate(texts)]
        with _guarded("the texts", InputError):
            encodings = self._tokenizer.encode_batch(checked, add_special_tokens=self._special)
            return [
                self._cut(text, encoding, max_length)
                for text, encoding in zip(checked, encodings, strict=True)
            ]

    def pieces(self, text: str, *, special: bool = True) -> list[Piece]:
        """Every token of a text, nothing cut off, with or without those that a model adds."""
        checked = self._checked(text, 0)
        with _guarded("the text", InputError):
            e = self._tokenizer.encode(checked, add_special_tokens=special and self._special)
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
        return text

    def _cut(self, text: str, encoding: Any, max_length: int) -> Tokens:
        full = len(encoding.ids)
        if full > max_length:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            encoding.truncate(max_length - self.specials, direction=self.truncation_side)
            if self._special:
                encoding = self._tokenizer.post_process(encoding)
        return Tokens(encoding.ids, encoding.type_ids, full)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The token that each id stands for."""
        return [self._tokenizer.id_to_token(i) or "" for i in ids]


_TEXT = "\0"
"""Stands for a text among the special tokens around it."""

_SWITCHES = {
    "do_lower_case": ("BertNormalizer", "lowercase"),
    "strip_accents": ("BertNormalizer", "strip_accents"),
    "tokenize_chinese_chars": ("BertNormalizer", "handle_chinese_chars"),
    "add_prefix_space": ("ByteLevel", "add_prefix_space"),
}
"""Keys of tokenizer_config.json, and what they are called in a part of tokenizer.json."""
_NO_SWITCHES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""The classes of transformers that use a tokenizer.json as it stands."""
_WORDPIECE = frozenset(
    "Bert ConvBert DPRContextEncoder DPRQuestionEncoder DPRReader DistilBert Electra LayoutLM "
    "Lxmert MPNet MobileBert RetriBert SqueezeBert".split()
)
_BYTE_LEVEL = frozenset("Bart GPT2 LED Longformer Mvp Roberta".split())
_BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_MPNET_TOKENS = {**_ROBERTA_TOKENS, "unk_token": "[UNK]"}
_WRITE_ONE = (
    "write a tokenizer.json with AutoTokenizer.from_pretrained(folder).save_pretrained(folder) of "
    "transformers, or name a tokenizer elsewhere (tokenizer=, --tokenizer)"
)
_GPT2_TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")


def _load(place: Path, config: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The tokenizer, and ``config`` with what it leaves to the tokenizer's class or file."""
    from tokenizers import Tokenizer as Native

    path = place if place.is_file() else place / "tokenizer.json"
    if path.exists():
        if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
            raise DeploymentError(f"{path} is no regular file of at most 64 MiB")
        native = Native.from_str(path.read_text("utf-8-sig"))
        if config.get("tokenizer_class") not in _NO_SWITCHES:
            _switch(native, config)
    else:
        native, config = _from_vocabulary(place, config)
    side = config.get("truncation_side") or (native.truncation or {}).get("direction", "right")
    native.no_truncation()
    native.no_padding()
    native.encode_special_tokens = bool(config.get("split_special_tokens"))
    _add_tokens(native, config)
    return native, {**config, "truncation_side": side}


def _from_vocabulary(folder: Path, config: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    name = config.get("tokenizer_class") or ""
    kind = name.removesuffix("Fast").removesuffix("Tokenizer")
    added = read_json(folder / "added_tokens.json")
    config = {
        "added_tokens_decoder": {i: {"content": token} for token, i in added.items()},
        **{key: value for key, value in config.items() if value is not None},
    }
    wordpieces, pairs = folder / "vocab.txt", (folder / "vocab.json", folder / "merges.txt")
    if wordpieces.is_file() and (not kind or kind in _WORDPIECE):
        return _wordpiece(wordpieces, config)
    if all(path.is_file() for path in pairs) and (not kind or kind in _BYTE_LEVEL):
        return _byte_level(*pairs, config)
    raise DeploymentError(
        f"{folder} has neither tokenizer.json nor vocab.txt (WordPiece) nor vocab.json and "
        f"merges.txt (RoBERTa, GPT-2){f' for a {name}' * bool(name)}; {_WRITE_ONE}"
    )


def _wordpiece(path: Path, config: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    from tokenizers import Tokenizer as Native
    from tokenizers import models, normalizers, pre_tokenizers, processors

    native = Native(models.WordPiece.from_file(str(path)))
    mpnet = native.token_to_id("[CLS]") is None
    config = {**(_MPNET_TOKENS if mpnet else _BERT_TOKENS), **config}
    native.model.unk_token = _content(config["unk_token"])
    native.normalizer = normalizers.BertNormalizer()
    native.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    native.post_processor = processors.BertProcessing(*_ends(native, config, path))
    _switch(native, config)
    return native, config


def _byte_level(
    vocabulary: Path, merges: Path, config: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]]:
    from tokenizers import Tokenizer as Native
    from tokenizers import models, pre_tokenizers, processors

    native = Native(models.BPE.from_file(str(vocabulary), str(merges)))
    native.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if native.token_to_id("<s>") is None:
        config = {**_GPT2_TOKENS, **config}
        if config.get("add_bos_token") or config.get("add_eos_token"):
            raise DeploymentError(f"{vocabulary}: add_bos_token and add_eos_token: {_WRITE_ONE}")
    else:
        config = {**_ROBERTA_TOKENS, **config}
        native.post_processor = processors.RobertaProcessing(*_ends(native, config, vocabulary))
    _switch(native, config)
    return native, config


def _ends(
    native: Any, config: Mapping[str, Any], path: Path
) -> tuple[tuple[str, int], tuple[str, int]]:
    """What stands behind and before a text, with ids."""
    tokens = [_content(config[key]) for key in ("sep_token", "cls_token")]
    for token in tokens:
        if native.token_to_id(token) is None:
            raise DeploymentError(f"{path} lacks the token {token!r}")
    behind, before = ((token, native.token_to_id(token)) for token in tokens)
    return behind, before


def _content(token: Any) -> str:
    """The text of a special token, which files write with or without its properties."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _switch(native: Any, config: Mapping[str, Any]) -> None:
    from tokenizers import normalizers, pre_tokenizers

    for component in (native.normalizer, native.pre_tokenizer):
        several = isinstance(component, normalizers.Sequence | pre_tokenizers.Sequence)
        for part in list(component) if several else [component]:
            for key, (kind, attribute) in _SWITCHES.items():
                value = config.get(key)
                # Accents without a word about them go where the letters' case does.
                told = key in config and (value is not None or key == "strip_accents")
                if type(part).__name__ == kind and told:
                    setattr(part, attribute, value)


def _lower_first(native: Any) -> None:
    from tokenizers import normalizers

    own = [] if native.normalizer is None else [native.normalizer]
    native.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])


def _add_tokens(native: Any, config: Mapping[str, Any]) -> None:
    """Make tokens of what ``config`` names, where the tokenizer does not do that by itself."""
    numbered = (config.get("added_tokens_decoder") or {}).items()
    named = [config.get(f"{name}_token") for name in "bos eos unk sep pad cls mask".split()]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        extra = config.get(key) or ()
        named += extra.values() if isinstance(extra, dict) else extra
    known = {token.content for token in native.get_added_tokens_decoder().values()}
    for i, entry in sorted((int(i), entry) for i, entry in numbered):
        token = _added_token(entry)
        if token.content not in known:
            native.add_tokens([token])
            known.add(token.content)
            found = native.token_to_id(token.content)
            if found != i:
                raise DeploymentError(
                    f"added_tokens_decoder: the token {token.content!r} has the id {i}, and "
                    f"{found} in the tokenizer"
                )
    for token in (_added_token(entry, special=True) for entry in named):
        # A token beyond the vocabulary is none that the model knows.
        if token.content not in known and native.token_to_id(token.content) is not None:
            native.add_tokens([token])


def _added_token(entry: Any, **properties: bool) -> Any:
    from tokenizers import AddedToken

    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    own = {n: entry[n] for n in names if n in entry} if isinstance(entry, dict) else {}
    return AddedToken(_content(entry), **{**own, **properties})


def _layout(native: Any) -> list[str]:
    """The tokens around a text, with ``_TEXT`` in its place."""
    text = native.encode([], is_pretokenized=True, add_special_tokens=False)
    text.pad(1, pad_token=_TEXT)
    return list(native.post_process(text).tokens)


@contextmanager
def _guarded(where: object, kind: Callable[[str], EmbedxError]) -> Iterator[None]:
    try:
        yield
    except (EmbedxError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a Rust panic is no Exception
        raise kind(f"{where}: the tokenizer fails with {type(error).__name__}: {error}") from error
