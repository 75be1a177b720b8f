"""Choose the student's WordPiece vocabulary and write its tokenizer.

Candidates are the teacher's own pieces and the frequent words of the corpus. How often a word is
met in general English is estimated from its place in the teacher's vocabulary, which is sorted by
frequency; how often in technical English, from the corpus. The vocabulary starts from all
candidates and loses the rarest pieces until it fits, the words being cut again after each round,
so that pieces which rare words fall into gain weight.
"""

import argparse
import collections
import json
import pathlib
import re

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
ENDINGS = ["s", "es", "ed", "ing", "ly"]
SHARES = (0.5, 0.25, 0.25)  # general, technical, everyday
FLATTEN = 0.75


def tokenizer(pieces: list[str]) -> Tokenizer:
    """A BERT tokenizer (lower case, accents stripped) over a list of pieces."""
    model = models.WordPiece(
        {p: i for i, p in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=100
    )
    result = Tokenizer(model)
    result.normalizer = normalizers.BertNormalizer(lowercase=True)
    result.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    result.decoder = decoders.WordPiece(prefix="##")
    marks = [("[CLS]", pieces.index("[CLS]")), ("[SEP]", pieces.index("[SEP]"))]
    result.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    result.add_special_tokens(SPECIAL)
    return result


def word_weights(vocabulary: list[str], corpus: list[str], everyday: list[str]) -> dict[str, float]:
    """The share of each word in a mixture of general, technical and hand-written everyday English.

    Content words matter more to an embedding than their frequency says: hence the flattened counts.
    """
    ranks = [w for w in vocabulary if re.fullmatch(r"[a-z]{2,}|[ai]", w)]
    general = {w: (rank + 10) ** -FLATTEN for rank, w in enumerate(ranks)}
    parts = [(general, SHARES[0])]
    for text, share, least in ((corpus, SHARES[1], 5), (everyday, SHARES[2], 1)):
        counts = collections.Counter(
            w for line in text for w in re.findall(r"[a-z]+|[0-9]+", line.lower())
        )
        parts.append(({w: n**FLATTEN for w, n in counts.items() if n >= least}, share))
    weights: collections.Counter[str] = collections.Counter()
    for part, share in parts:
        total = sum(part.values())
        for word, weight in part.items():
            weights[word] += share * weight / total
    return dict(weights)


def base_exists(word: str, pieces: set[str]) -> bool:
    """Whether a word is a known word and an ending, so that cutting it in two loses little."""
    return any(
        word.endswith(end)
        and len(word) > len(end) + 2
        and word[: -len(end)] in pieces
        and "##" + end in pieces
        for end in ENDINGS
    )


def choose(weights: dict[str, float], candidates: list[str], size: int) -> list[str]:
    fixed = list(
        dict.fromkeys(
            [
                *SPECIAL,
                *CHARACTERS,
                *("##" + c for c in CHARACTERS if c.isalnum()),
                *("##" + end for end in ENDINGS),
            ]
        )
    )
    pieces = list(dict.fromkeys(fixed + candidates))
    while len(pieces) > size:
        cut = models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")
        use: collections.Counter[str] = collections.Counter()
        for word, weight in weights.items():
            for token in cut.tokenize(word):
                use[token.value] += weight
        known = set(pieces)
        value = {p: use[p] * (0.2 if base_exists(p, known) else 1.0) for p in pieces}
        ranked = sorted((p for p in pieces if p not in set(fixed)), key=lambda p: (-value[p], p))
        pieces = fixed + ranked[: max(size, int(0.8 * len(pieces))) - len(fixed)]
    return pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=pathlib.Path, default=pathlib.Path("data/teacher"))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--size", type=int, default=9000)
    args = parser.parse_args()
    pieces = list(
        json.loads((args.teacher / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    )
    pieces = [p for p in pieces if re.fullmatch(r"(##)?[a-z0-9]+", p)]
    corpus = [
        line.split("\t", 1)[1] for line in (args.data / "train.tsv").read_text("utf-8").splitlines()
    ]
    here = pathlib.Path(__file__).parent
    everyday = [
        (here / name).read_text("utf-8")
        for name in ("lexicon.txt", "templates.txt", "sentences.txt")
    ]
    weights = word_weights(pieces, corpus, everyday)
    frequent = [
        w for w, _ in sorted(weights.items(), key=lambda item: -item[1])[:20000] if len(w) > 1
    ]
    chosen = choose(weights, pieces + frequent, args.size)
    result = tokenizer(chosen)
    result.save(str(args.data / "tokenizer.json"))
    whole = sum(weight for word, weight in weights.items() if len(result.encode(word).ids) == 3)
    print(f"{len(chosen)} pieces; {whole:.3f} of the running words are whole tokens")


if __name__ == "__main__":
    main()
