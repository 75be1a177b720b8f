"""Train the student in three stages, each from the checkpoint of the one before.

    distil     all layers, dense, from the checkpoint of inherit.py
    prune      gradual magnitude pruning of every encoder matrix, then recovery
    quantize   calibration, then fine-tuning through simulated 8-bit arithmetic, masks held

The loss compares with the teacher (1) the projected embedding, by cosine, (2) the projected state
of every token with the teacher's state of the token's word, by cosine, and (3) the cosine
similarities of all pairs in a batch, taken from the 256 numbers that users get, by squared error.
Batches hold sentences of like length, in runs of neighbours (clusters of the teacher's
embeddings), so that near pairs are met as well as far ones. A run that was stopped goes on from
its last checkpoint.
"""

import argparse
import dataclasses
import math
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import spearmanr
from student import Student, load_student, mean_of
from teacher import PIECE, word_numbers
from tokenizers import Encoding, Tokenizer
from torch.nn import functional

EDGES = (
    6,
    8,
    10,
    12,
    14,
    16,
    18,
    20,
    24,
    28,
    34,
    42,
    54,
    72,
    96,
    128,
)  # tokens: the length buckets
TOKENS, SENTENCES = 4096, 256  # most in a batch
RUN = 8  # neighbours that stand together in a batch
SIMILARITY = 20.0  # weight of the similarities' squared error
WORDS = 1.0  # weight of the single words' cosine
NEAR = 4.0  # extra weight of a pair with a similarity of 1


@dataclasses.dataclass
class Data:
    """Tokens, targets and clusters of the training sentences."""

    tokens: np.ndarray
    places: np.ndarray  # of each token: the number of its word in the sentence
    offsets: np.ndarray
    targets: np.ndarray
    clusters: np.ndarray
    words: list[np.ndarray]  # the teacher's states of all words, by piece
    starts: np.ndarray  # of each sentence: its first word in its piece
    counts: np.ndarray  # of each sentence: its words

    def batches(self, seed: int) -> Iterator[np.ndarray]:
        """One epoch of batches of sentence numbers."""
        rng = np.random.default_rng(seed)
        lengths = np.diff(self.offsets)
        batches = []
        for low, high in zip((0, *EDGES), EDGES, strict=False):
            members = np.flatnonzero((lengths > low) & (lengths <= high))
            order = members[np.lexsort((rng.random(len(members)), self.clusters[members]))]
            runs = np.split(order, np.arange(RUN, len(order), RUN))
            mixed = (
                np.concatenate([runs[i] for i in rng.permutation(len(runs))])
                if len(order)
                else order
            )
            size = min(SENTENCES, TOKENS // high)
            batches += [
                b for b in np.split(mixed, np.arange(size, len(mixed), size)) if len(b) > size // 2
            ]
        yield from (batches[i] for i in rng.permutation(len(batches)))

    def load(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token numbers, mask and the teacher's embeddings of some sentences."""
        ids = [self.tokens[self.offsets[i] : self.offsets[i + 1]] for i in rows]
        return *pad(ids), torch.from_numpy(self.targets[rows].astype(np.float32))

    def load_words(self, rows: np.ndarray) -> torch.Tensor:
        """The teacher's state of the word of every token of some sentences [tokens, hidden]."""
        found = []
        for i in rows:
            places = self.places[self.offsets[i] : self.offsets[i + 1]]
            number = self.starts[i] + np.minimum(places, self.counts[i] - 1)
            found.append(self.words[i // PIECE][number])
        return torch.from_numpy(np.concatenate(found).astype(np.float32))


def pad(ids: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    table = np.zeros((len(ids), max(map(len, ids))), np.int64)
    mask = np.zeros_like(table)
    for row, line in enumerate(ids):
        table[row, : len(line)] = line
        mask[row, : len(line)] = 1
    return torch.from_numpy(table), torch.from_numpy(mask)


def encode(path: pathlib.Path, texts: list[str], longest: int = 128) -> list[np.ndarray]:
    return [np.array(e.ids, np.uint16) for e in encodings(path, texts, longest)]


def encodings(path: pathlib.Path, texts: list[str], longest: int) -> list[Encoding]:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(longest)
    return tokenizer.encode_batch(texts)


def cluster(targets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The number of each target's nearest of ``count`` centres (spherical k-means on a sample)."""
    rng = np.random.default_rng(seed)
    sample = torch.from_numpy(targets[rng.permutation(len(targets))[: 60 * count]]).bfloat16()
    centres = sample[:count]
    for _ in range(6):
        nearest = (sample @ centres.T).argmax(1)
        sums = torch.zeros(count, sample.shape[1]).index_add_(0, nearest, sample.float())
        centres = functional.normalize(sums + 1e-6 * centres.float(), dim=1).bfloat16()
    parts = [
        (torch.from_numpy(targets[i : i + 20000]).bfloat16() @ centres.T).argmax(1).numpy()
        for i in range(0, len(targets), 20000)
    ]
    return np.concatenate(parts).astype(np.int16)


def load_data(folder: pathlib.Path) -> Data:
    """The data of the targets that exist; tokens and clusters are kept beside them."""
    pieces = sorted((folder / "targets").glob("????.npy"))
    targets = np.concatenate([np.load(p) for p in pieces])
    path = folder / "encoded.npz"
    saved = np.load(path) if path.exists() else None
    if saved is None or len(saved["clusters"]) != len(targets):
        lines = (folder / "selection.tsv").read_text("utf-8").splitlines()[: len(targets)]
        tokens, places, lengths = [], [], [0]
        for start in range(0, len(lines), PIECE):
            texts = [line.split("\t", 1)[1] for line in lines[start : start + PIECE]]
            for e in encodings(folder / "tokenizer.json", texts, 128):
                tokens.append(np.array(e.ids, np.uint16))
                places.append(word_numbers(e).astype(np.uint8))
                lengths.append(len(e.ids))
        np.savez(
            path,
            tokens=np.concatenate(tokens),
            places=np.concatenate(places),
            offsets=np.cumsum(lengths),
            clusters=cluster(targets, 2000, seed=4),
        )
        saved = np.load(path)
    counts = [np.load(p.with_suffix(".counts.npy")).astype(np.int64) for p in pieces]
    starts = np.concatenate([np.cumsum(c) - c for c in counts])
    words = [np.load(p.with_suffix(".words.npy"), mmap_mode="r") for p in pieces]
    return Data(
        saved["tokens"],
        saved["places"],
        saved["offsets"],
        targets,
        saved["clusters"],
        words,
        starts,
        np.concatenate(counts),
    )


def cosines(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (found * functional.normalize(wanted, dim=1)).sum(1) / torch.linalg.vector_norm(
        found, dim=1
    )


def loss_of(
    student: Student,
    hidden: torch.Tensor,
    mask: torch.Tensor,
    target: torch.Tensor,
    words: torch.Tensor,
) -> torch.Tensor:
    pooled = mean_of(hidden, mask)
    direct = 1 - cosines(student.project(pooled), target).mean()
    single = 1 - cosines(student.project(hidden[mask.bool()]), words).mean()
    unit = functional.normalize(pooled, dim=1)
    wanted = target @ target.T
    error = (unit @ unit.T - wanted) ** 2 * (1 + NEAR * wanted.clamp(min=0))
    count = len(target)
    pairs = (error.sum() - error.diagonal().sum()) / (count * (count - 1))
    return direct + WORDS * single + SIMILARITY * pairs


class Monitor:
    """Spearman correlation with the teacher's similarities on small held-out sets."""

    def __init__(self, folder: pathlib.Path, recipe: pathlib.Path) -> None:
        self.sets = {}
        for name, path, most in (
            ("technical", folder / "heldout_technical.txt", 1000),
            ("everyday", recipe / "heldout_everyday.txt", 1000),
        ):
            texts = path.read_text("utf-8").splitlines()[:most]
            target = np.load(folder / f"heldout_{name}.npy")[:most]
            self.sets[name] = encode(folder / "tokenizer.json", texts), upper(target)

    @torch.inference_mode()
    def __call__(self, student: Student) -> str:
        """The scores as text."""
        student.eval()
        scores = []
        for name, (ids, wanted) in self.sets.items():
            order = np.argsort([len(line) for line in ids])
            vectors = np.zeros((len(ids), student.config.hidden_size), np.float32)
            for rows in np.split(order, np.arange(100, len(order), 100)):
                vectors[rows] = student.embed(*pad([ids[i] for i in rows])).numpy()
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            scores.append(f"{name} {spearmanr(upper(vectors), wanted)[0]:.4f}")
        student.train()
        return ", ".join(scores)


def upper(vectors: np.ndarray) -> np.ndarray:
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def optimizer_for(student: Student, rate: float) -> torch.optim.AdamW:
    decayed = [p for n, p in student.named_parameters() if p.ndim == 2 and "embeddings" not in n]
    others = [
        p for n, p in student.named_parameters() if not (p.ndim == 2 and "embeddings" not in n)
    ]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), foreach=True)


def rate_at(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def sparsity_at(step: int, steps: int, final: float) -> float:
    """Cubic schedule from 0 at the first step to ``final`` at two fifths of the stage."""
    return final * (1 - (1 - min(1.0, step / (0.4 * steps))) ** 3)


def calibrate(student: Student, data: Data) -> None:
    student.quantize(active=False)
    student.observe(observing=True)
    with torch.inference_mode():
        for _, rows in zip(range(150), data.batches(seed=99), strict=False):
            student(*data.load(rows)[:2])
    student.observe(observing=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=("distil", "prune", "quantize"))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument(
        "--start", type=pathlib.Path, required=True, help="checkpoint of the stage before"
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="checkpoint to write")
    parser.add_argument("--steps", type=int, required=True, help="length of the schedule")
    parser.add_argument("--stop", type=int, help="stop after so many steps of the schedule")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--sparsity", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    data = load_data(args.data)
    monitor = Monitor(args.data, pathlib.Path(__file__).parent)
    saved = torch.load(args.out) if args.out.exists() else None
    student = load_student(args.start)
    student.train()
    if args.stage == "quantize":
        if saved is None:
            calibrate(student, data)
        student.quantize(active=True)
    optimizer = optimizer_for(student, args.rate)
    step = 0
    if saved is not None:
        student.load_state_dict(saved["student"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
        torch.set_rng_state(saved["random"])

    began, seen, mean, first = time.time(), 0, 0.0, step
    epoch = batch = 0
    batches = data.batches(args.seed)
    last = args.stop or args.steps
    while step < last:
        rows = next(batches, None)
        if rows is None:
            epoch += 1
            batches = data.batches(args.seed + 1000 * epoch)
            continue
        batch += 1
        if batch <= step:  # passed before the run was stopped
            continue
        if args.stage == "prune" and step % 50 == 0:
            student.prune(sparsity_at(step, args.steps, args.sparsity))
        for group in optimizer.param_groups:
            group["lr"] = args.rate * rate_at(step, args.steps, warmup=100)
        ids, mask, target = data.load(rows)
        loss = loss_of(student, student(ids, mask), mask, target, data.load_words(rows))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        step += 1
        seen += len(rows)
        mean += (loss.item() - mean) / min(100, step - first)
        if step % 100 == 0:
            print(
                f"{args.stage} {step}/{args.steps} epoch {epoch} loss {mean:.4f} "
                f"{seen / (time.time() - began):.0f} sentences/s",
                flush=True,
            )
        if step % 250 == 0 or step == last:
            print(f"{args.stage} {step}: {monitor(student)}", flush=True)
            state = {
                "student": student.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "random": torch.get_rng_state(),
            }
            torch.save(state, args.out.with_suffix(".new"))
            args.out.with_suffix(".new").replace(args.out)


if __name__ == "__main__":
    main()
