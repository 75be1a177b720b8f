"""Write everyday English sentences that no corpus of documentation holds.

Three kinds, in about equal parts, all seeded:

* frames of templates.txt filled from lexicon.txt, and two of them joined;
* the hand-written sentences of sentences.txt, frames and corpus sentences with some words
  replaced by near words (neighbours among the teacher's word embeddings with the same ending);
* fragments: single words, pairs and short lists of words, phrases cut from the others.

A part of them is followed by edited copies (words dropped, swapped, negated, doubled), so that
near pairs with small differences are met in training.
"""

import argparse
import pathlib
import random
import re

import numpy as np
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).parent
SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
IRREGULAR = {
    "beat": "beat",
    "become": "became",
    "bite": "bit",
    "blow": "blew",
    "break": "broke",
    "build": "built",
    "buy": "bought",
    "catch": "caught",
    "cut": "cut",
    "dig": "dug",
    "do": "did",
    "draw": "drew",
    "drink": "drank",
    "drive": "drove",
    "eat": "ate",
    "fall": "fell",
    "feed": "fed",
    "fight": "fought",
    "find": "found",
    "fly": "flew",
    "forget": "forgot",
    "freeze": "froze",
    "get": "got",
    "give": "gave",
    "go": "went",
    "grow": "grew",
    "have": "had",
    "hide": "hid",
    "hit": "hit",
    "hold": "held",
    "keep": "kept",
    "leave": "left",
    "lend": "lent",
    "lie": "lay",
    "light": "lit",
    "lose": "lost",
    "make": "made",
    "meet": "met",
    "pay": "paid",
    "put": "put",
    "read": "read",
    "ride": "rode",
    "run": "ran",
    "saw": "sawed",
    "see": "saw",
    "sell": "sold",
    "send": "sent",
    "set": "set",
    "sew": "sewed",
    "shoot": "shot",
    "sing": "sang",
    "sit": "sat",
    "sleep": "slept",
    "speak": "spoke",
    "stand": "stood",
    "steal": "stole",
    "strike": "struck",
    "sue": "sued",
    "swim": "swam",
    "take": "took",
    "teach": "taught",
    "tell": "told",
    "think": "thought",
    "throw": "threw",
    "tie": "tied",
    "wake": "woke",
    "win": "won",
    "write": "wrote",
    "withdraw": "withdrew",
    "cast": "cast",
    "quit": "quit",
    "clash": "clashed",
}
PLURAL = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "mouse": "mice",
    "fish": "fish",
    "sheep": "sheep",
    "wolf": "wolves",
    "goose": "geese",
    "deer": "deer",
    "knife": "knives",
    "foot": "feet",
    "tooth": "teeth",
    "shelf": "shelves",
    "leaf": "leaves",
    "person": "people",
    "wife": "wives",
    "bacteria": "bacteria",
}
STOP = set(
    """
    the a an of to and in is for with that this are it or be you on at by from as was were not
    no but if they he she we i his her their our my your its do does did has have had will
    would can could should may might must what which who whom whose when where why how than
    then there here so very too again away off out up down over into about once every after
    before under between during while
    """.split()
)


def double(word: str) -> bool:
    return bool(re.fullmatch(r"(?:[^aeiou]*|qu)[aeiou][bdgmnprt]", word)) or word in (
        "admit",
        "forbid",
        "occur",
    )


def inflect(phrase: str, form: str | None) -> str:
    """The phrase with its first word (plural of a noun: its last word) inflected."""
    if form is None:
        return phrase
    if form == "A":
        if phrase in UNCOUNTED or phrase.startswith(("a ", "an ", "the ")):
            return phrase
        return ("an " if re.match(r"[aeio]|un[^i]|ugly|um", phrase.lower()) else "a ") + phrase
    first, _, rest = phrase.partition(" ")
    rest = rest and " " + rest
    if form == "ing":
        stem = first[:-2] + "y" if first.endswith("ie") else re.sub(r"(?<=[^eoy])e$", "", first)
        return (stem + stem[-1] if double(first) else stem) + "ing" + rest
    if form == "ed":
        if first in IRREGULAR:
            return IRREGULAR[first] + rest
        stem = first + first[-1] if double(first) else first
        return re.sub(r"(?<=[^aeiou])y$", "i", stem).removesuffix("e") + "ed" + rest
    if " " in phrase and first not in VERBS:
        head, _, last = phrase.rpartition(" ")
        return head + " " + inflect(last, "s")
    if first in PLURAL and first not in VERBS:
        return PLURAL[first]
    if re.search(r"(?:s|x|z|ch|sh|[^o]o)$", first):
        return ("has" if first == "have" else first + "es") + rest
    return ("has" if first == "have" else re.sub(r"(?<=[^aeiou])y$", "ie", first) + "s") + rest


def load_lexicon() -> dict[str, list[str]]:
    lines = (HERE / "lexicon.txt").read_text("utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return {name: entries.split(", ") for name, entries in pairs}


LEXICON = load_lexicon()
UNCOUNTED = set(LEXICON["food"]) | set(LEXICON["weather"]) - {"rainy", "sunny", "cloudy"}
VERBS = {
    entry.split()[0] for name in ("activity", "do", "news_act", "goal") for entry in LEXICON[name]
}
TEMPLATES = [
    t
    for t in (HERE / "templates.txt").read_text("utf-8").splitlines()
    if t and not t.startswith("#")
]
SEEDS = (HERE / "sentences.txt").read_text("utf-8").splitlines()


def frame(rng: random.Random) -> str:
    """A filled template."""
    text = rng.choice(TEMPLATES)
    while CHOICE.search(text):
        text = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), text)
    text = SLOT.sub(lambda m: inflect(rng.choice(LEXICON[m[1]]), m[2]), text)
    text = " ".join(text.split()).replace(" .", ".").replace(" ?", "?")
    return text[0].upper() + text[1:]


class Neighbours:
    """Words near a word, by the teacher's word embeddings, among words with the same ending."""

    def __init__(self, teacher: pathlib.Path, count: int = 40) -> None:
        table = load_file(teacher / "model.safetensors")["embeddings.word_embeddings.weight"]
        vocabulary = (teacher / "vocab.txt").read_text("utf-8").splitlines()
        ranked = [i for i, w in enumerate(vocabulary) if re.fullmatch(r"[a-z]+", w) and len(w) > 1]
        chosen = [i for i in ranked[120:] if len(vocabulary[i]) > 2 and vocabulary[i] not in STOP]
        self.words = [vocabulary[i] for i in chosen]
        vectors = table[chosen] - table[chosen].mean(0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ends = np.array(
            [next((e for e in ("ing", "ed", "ly", "s") if w.endswith(e)), "") for w in self.words]
        )
        self.near: dict[str, list[str]] = {}
        for start in range(0, len(chosen), 1000):
            scores = vectors[start : start + 1000] @ vectors.T
            scores[ends[start : start + 1000, None] != ends[None]] = -1
            order = np.argsort(-scores, axis=1)[:, 1 : count + 1]
            for row, best in enumerate(order):
                self.near[self.words[start + row]] = [self.words[j] for j in best]

    def replace(self, text: str, share: float, reach: int, rng: random.Random) -> str:
        """The text, a share of its content words replaced by one of their ``reach`` nearest."""

        def other(match: re.Match[str]) -> str:
            near = self.near.get(match[0].lower())
            return rng.choice(near[:reach]) if near and rng.random() < share else match[0]

        return re.sub(r"[A-Za-z]+", other, text)


def edit(text: str, near: Neighbours, rng: random.Random) -> str:
    """A copy with one small change, of a kind that may or may not change the meaning."""
    words = text.split()
    place = rng.randrange(len(words))
    kind = rng.random()
    if kind < 0.15 and len(words) > 3:
        del words[place]
    elif kind < 0.25 and len(words) > 3:
        other = rng.randrange(len(words))
        words[place], words[other] = words[other], words[place]
    elif kind < 0.35:
        verb = next(
            (i for i, w in enumerate(words) if w in ("is", "are", "was", "will", "can", "should")),
            None,
        )
        words.insert(0 if verb is None else verb + 1, "never" if verb is None else "not")
    elif kind < 0.45 and len(words) > 6:
        half = rng.randrange(3, len(words) - 2)
        words = words[half:] + words[:half]
    elif kind < 0.55 and len(words) > 6:
        words = words[: rng.randrange(3, len(words))]
    elif kind < 0.65:
        words = [
            rng.choice(
                ("Today", "In the end", "Sometimes", "Of course", "Again", "Perhaps", "However")
            ),
            *words,
        ]
    else:
        return near.replace(text, 0.3, rng.choice((3, 10, 40)), rng)
    return " ".join(words)


def fragment(near: Neighbours, corpus: list[str], rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(near.words)
    if kind < 0.5:
        return " ".join(rng.choice(near.words) for _ in range(rng.choice((2, 2, 3, 4, 6))))
    if kind < 0.7:
        word = rng.choice(near.words)
        joint = rng.choice(("and", "of", "or", "with", "in", "for", "the", ""))
        return f"{word} {joint} {rng.choice(near.near[word])}"
    words = (rng.choice(corpus) if kind < 0.85 else rng.choice(SEEDS)).split()
    start = rng.randrange(len(words))
    return " ".join(words[start : start + rng.randrange(2, 7)])


def sentence(near: Neighbours, corpus: list[str], rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.30:
        text = frame(rng)
        return text if rng.random() < 0.5 else near.replace(text, 0.3, 40, rng)
    if kind < 0.36:
        joint = rng.choice((" ", " ", " and ", ", but ", " because "))
        second = frame(rng)
        return frame(rng).rstrip(".?") + (". " + second if joint == " " else joint + second)
    if kind < 0.66:
        return near.replace(
            rng.choice(SEEDS), rng.choice((0.15, 0.3, 0.5, 0.8)), rng.choice((8, 20, 40)), rng
        )
    if kind < 0.78:
        return near.replace(rng.choice(corpus), rng.choice((0.3, 0.6, 0.9)), 40, rng)
    if kind < 0.84:
        word = rng.choice(near.words)  # every word of the language is met in some frame
        text = re.sub(r"\b[a-z]{4,}\b", word, rng.choice(SEEDS), count=1)
        return text if rng.random() < 0.5 else near.replace(text, 0.3, 20, rng)
    return fragment(near, corpus, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=pathlib.Path, default=pathlib.Path("data/teacher"))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--count", type=int, default=700_000)
    parser.add_argument(
        "--edited", type=float, default=0.25, help="share of the sentences with an edited copy"
    )
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    near = Neighbours(args.teacher)
    corpus = [
        line.split("\t", 1)[1] for line in (args.data / "train.tsv").read_text("utf-8").splitlines()
    ]
    held = (HERE / "heldout_everyday.txt").read_text("utf-8") + (
        HERE / "heldout_pairs.tsv"
    ).read_text("utf-8")
    forbidden = {line.strip(" .?!").lower() for line in re.split(r"[\n\t]", held)}
    found = dict.fromkeys(text for text in SEEDS)
    found.update(dict.fromkeys(near.words))
    while len(found) < args.count:
        text = sentence(near, corpus, rng)
        found[text] = None
        if rng.random() < args.edited and " " in text:
            found[edit(text, near, rng)] = None
    kept = [text for text in found if text.strip(" .?!").lower() not in forbidden]
    (args.data / "synthetic.tsv").write_text(
        "".join(f"synthetic\t{text}\n" for text in kept), "utf-8"
    )
    print(len(kept), "sentences")


if __name__ == "__main__":
    main()
