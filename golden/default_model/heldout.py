"""Choose the held-out pairs and write heldout.tsv: two sentences, the teacher's cosine, the set.

No sentence of them is in the training text. The sets:

    technical random    two sentences of documentation held out of the corpus
    technical near      one of these with one of its five nearest by the teacher
    everyday random     two hand-written sentences on varied topics
    everyday near       as above
    everyday written    hand-written: paraphrases, one-word changes, sentences with shared words
"""

import argparse
import pathlib

import numpy as np

WATCHED = 1000  # technical sentences that training was watched on; the pairs are of the others
COUNTS = {"technical": (400, 400), "everyday": (200, 150)}  # random, near
NEAREST = 5


def pairs_of(
    target: np.ndarray, random: int, near: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Random pairs and near pairs of some embeddings, none twice, as [n, 2]."""
    scores = target @ target.T
    np.fill_diagonal(scores, -1)
    best = np.argsort(-scores, axis=1)[:, :NEAREST]
    first = rng.permutation(len(target))
    close = np.stack([first, best[first, rng.integers(0, NEAREST, len(first))]], 1)
    close = close[np.sort(np.unique(np.sort(close, axis=1), axis=0, return_index=True)[1])]
    far = rng.integers(0, len(target), (4 * random, 2))
    far = far[far[:, 0] < far[:, 1]]
    far = far[np.sort(np.unique(far, axis=0, return_index=True)[1])]
    return [far[:random], close[:near]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--seed", type=int, default=6)
    args = parser.parse_args()
    here = pathlib.Path(__file__).parent
    rng = np.random.default_rng(args.seed)
    texts = {
        "technical": (args.data / "heldout_technical.txt").read_text("utf-8").splitlines(),
        "everyday": (here / "heldout_everyday.txt").read_text("utf-8").splitlines(),
    }
    rows = []

    def add(name: str, lines: list[str], target: np.ndarray, pairs: np.ndarray) -> None:
        for a, b in pairs:
            rows.append((lines[a], lines[b], f"{float(target[a] @ target[b]):.4f}", name))

    for name, lines in texts.items():
        target = np.load(args.data / f"heldout_{name}.npy")
        if name == "technical":
            plain = [
                i for i in range(WATCHED, len(lines)) if lines[i].isascii() and len(lines[i]) <= 160
            ]
            lines, target = [lines[i] for i in plain], target[plain]
        for way, pairs in zip(
            ("random", "near"), pairs_of(target, *COUNTS[name], rng), strict=True
        ):
            add(f"{name} {way}", lines, target, pairs)
    written = (
        (here / "heldout_pairs.tsv").read_text("utf-8").replace("\n", "\t").strip().split("\t")
    )
    target = np.load(args.data / "heldout_pairs.npy")
    add("everyday written", written, target, np.arange(len(written)).reshape(-1, 2))
    header = ("sentence_a", "sentence_b", "teacher_cosine", "set")
    content = "".join("\t".join(row) + "\n" for row in (header, *rows))
    (here / "heldout.tsv").write_text(content, "utf-8")
    print(len(rows), "pairs")


if __name__ == "__main__":
    main()
