"""Strings, and the losses of classifiers."""

from __future__ import annotations

from typing import Any

from .base import Case, f32, f64, i64, some, words

CLASSES, TARGETS, WEIGHTS = some(2, 3, 2), i64([0, 2], [1, 1]), f32(0.5, 2, 1)
IGNORED = i64([0, -5], [1, -5])
GRAMS: dict[str, Any] = {
    "max_gram_length": 2,
    "max_skip_count": 1,
    "min_gram_length": 1,
    "ngram_counts": [0, 2],
    "ngram_indexes": [0, 1, 2, 3],
    "weights": [0.5, 2.0, 4.0, 8.0],
}
POOL = [1, 2, 1, 2, 2, 1]
TOKENS = i64([1, 2, 1, 2], [2, 2, 3, 1])
WORDS: dict[str, Any] = {"mark": 0, "mincharnum": 1, "pad_value": "#"}

LOSSES = [
    *[
        Case(f"{way}_weights", 13, [CLASSES, TARGETS, WEIGHTS], {"reduction": way})
        for way in ("none", "sum", "mean")
    ],
    Case("ignored", 13, [CLASSES, IGNORED, WEIGHTS], {"ignore_index": -5}),
    Case("opset12", 12, [CLASSES[:, :, 0].copy(), TARGETS[0]]),
]

CASES: dict[str, list[Case]] = {
    "NegativeLogLikelihoodLoss": [*LOSSES, Case("float64", 13, [f64([-1, -2]), i64(1)])],
    "SoftmaxCrossEntropyLoss": [
        *LOSSES,
        Case("log_prob", 13, [CLASSES, TARGETS], {}, (True, True)),
        Case("unlikely", 13, [f32([0, -2000]), i64(1)]),
    ],
    "RegexFullMatch": [
        Case("ascii_words", 20, [words("a_1", "é", "")], {"pattern": "\\w+"}),
        Case("case", 20, [words("aB", "ab!")], {"pattern": "(?i)AB"}),
        Case("counted", 20, [words("ab", "abab", "ababab")], {"pattern": "(ab){1,2}"}),
        Case("anchors", 20, [words("a", "b")], {"pattern": "^a$|\\bb\\b"}),
        Case("newline", 20, [words("\n")], {"pattern": "."}),
    ],
    "StringConcat": [Case("broadcast", 20, [words(["a"], ["b"]), words("x", "")])],
    "StringSplit": [
        Case("space", 20, [words("  a  b ", "", "c")], {}, (True, True)),
        Case("suffix", 20, [words(" a b  c ")], {"maxsplit": 1}, (True, True)),
        Case("delimiter", 20, [words("a,,b", "c")], {"delimiter": ","}, (True, True)),
    ],
    "TfIdfVectorizer": [
        *[
            Case(mode.lower(), 9, [TOKENS], {**GRAMS, "mode": mode, "pool_int64s": POOL})
            for mode in ("TF", "IDF", "TFIDF")
        ],
        Case("words", 9, [words("b", "a", "b")], {
            **GRAMS, "mode": "TF", "pool_strings": ["a", "b", "a", "b", "b", "b"],
        }),
    ],
    "com.microsoft.Tokenizer": [
        Case("space", 1, [words("a b  c", "", "d")], {**WORDS, "separators": [" "]}),
        Case("table", 1, [words(["a b", "c"], ["", "ab c d"])], {
            **WORDS, "mark": 1, "pad_value": "", "separators": [" "],
        }),
        Case("one_after_the_other", 1, [words("fooxbarxb")], {**WORDS, "separators": ["x", "xb"]}),
        Case("longest", 1, [words("fooxbarx")], {**WORDS, "separators": ["x|xb"]}),
        Case("characters", 1, [words("a é", "")], {**WORDS, "separators": [""]}),
        Case("expression", 1, [words("Ab c_1, dé!", "...")], {**WORDS, "tokenexp": "\\w\\w+"}),
        Case("longest_tokens", 1, [words("aabab", "ababab")], {
            **WORDS, "mark": 1, "tokenexp": "a|ab|abab",
        }),
        Case("edges", 1, [words("foo bar")], {**WORDS, "tokenexp": "^.|\\b[a-z]+\\b$"}),
        Case("long_words", 1, [words("éa aéa b", "ccc")], {
            **WORDS, "mincharnum": 3, "separators": ["[ ,]"],
        }),
        Case("no_token", 1, [words("!", "")], {**WORDS, "mark": 1, "tokenexp": "[a-z]*"}),
    ],
}  # fmt: skip
