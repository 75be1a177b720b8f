"""Score models on heldout.tsv: Spearman correlation of their similarities with the teacher's.

Exported folders are run by onnxruntime, checkpoints in single precision with nothing quantized;
bags of words stand beside them, plain and weighted by rarity in the training text (TF-IDF).
"""

import argparse
import collections
import csv
import json
import math
import pathlib
import re

import numpy as np
import onnx
import torch
from export import embeddings
from scipy.stats import spearmanr
from student import load_student
from train import encode, pad


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def bag_of_words(texts: list[str], weight: dict[str, float], other: float) -> np.ndarray:
    """Word counts as vectors, every word with a weight (``other`` for words without one)."""
    numbers = {w: i for i, w in enumerate(sorted({w for text in texts for w in words(text)}))}
    vectors = np.zeros((len(texts), len(numbers)), np.float32)
    for row, text in enumerate(texts):
        for word in words(text):
            vectors[row, numbers[word]] += weight.get(word, other)
    return vectors


def by_student(path: pathlib.Path, ids: list[np.ndarray]) -> np.ndarray:
    student = load_student(path)
    student.eval()
    order = np.argsort([len(line) for line in ids])
    vectors = np.zeros((len(ids), student.config.hidden_size), np.float32)
    with torch.inference_mode():
        for rows in np.split(order, np.arange(64, len(order), 64)):
            vectors[rows] = student.embed(*pad([ids[i] for i in rows])).numpy()
    return vectors


def similarities(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return (unit[pairs[:, 0]] * unit[pairs[:, 1]]).sum(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--checkpoint", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--folder", type=pathlib.Path, nargs="*", default=[], help="as exported")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write the scores to")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = pathlib.Path(__file__).parent / "heldout.tsv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    texts = list(dict.fromkeys(row[side] for row in rows for side in ("sentence_a", "sentence_b")))
    number = {text: i for i, text in enumerate(texts)}
    pairs = np.array([(number[row["sentence_a"]], number[row["sentence_b"]]) for row in rows])
    wanted = np.array([float(row["teacher_cosine"]) for row in rows])
    sets = np.array([row["set"] for row in rows])

    seen: collections.Counter[str] = collections.Counter()
    lines = (args.data / "selection.tsv").read_text("utf-8").splitlines()
    for line in lines:
        seen.update(set(words(line.split("\t", 1)[1])))
    rarity = {w: math.log(len(lines) / n) for w, n in seen.items()}
    ids = encode(args.data / "tokenizer.json", texts)
    models = {
        "word counts": bag_of_words(texts, {}, 1.0),
        "tf-idf": bag_of_words(texts, rarity, math.log(len(lines))),
    }
    models |= {p.stem: by_student(p, ids) for p in args.checkpoint}
    models |= {p.name: embeddings(onnx.load(p / "model.onnx"), ids) for p in args.folder}
    groups = {"all": np.ones(len(rows), bool)}
    for name in ("technical", "everyday"):
        groups[name] = np.char.startswith(sets, name)
    groups |= {name: sets == name for name in dict.fromkeys(sets.tolist())}
    scores = {"pairs": {group: int(members.sum()) for group, members in groups.items()}}
    for name, vectors in models.items():
        found = similarities(vectors, pairs)
        scores[name] = {
            group: round(float(spearmanr(found[members], wanted[members])[0]), 4)
            for group, members in groups.items()
        }
    text = json.dumps(scores, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
