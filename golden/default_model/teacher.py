"""The teacher, all-MiniLM-L6-v2, and its embeddings of all training and held-out text.

Chooses the training text (everything synthetic, a share of every kind of documentation), writes
it to selection.tsv and embeds it piece by piece; a run that was stopped goes on where it was. The
held-out text is embedded in single precision, the training text with bfloat16 products. Of the
training text the last hidden state of every word is kept too, since it tells the student more
than the mean over a sentence does.
"""

import argparse
import collections
import json
import pathlib
import random
import time
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Encoding, Tokenizer
from torch.nn import functional

SHARES = {
    "synthetic": 1_000_000,
    "package": 200_000,
    "py": 40_000,
    "manual": 35_000,
    "html": 35_000,
    "service": 25_000,
    "txt": 25_000,
    "readme": 15_000,
    "md": 12_000,
    "rst": 12_000,
    "pm": 8_000,
    "info": 5_000,
    "pod": 3_000,
}
PASSAGES = 25_000
PIECE = 20_000  # sentences embedded between two saves
LONGEST = 128  # tokens


class Embedded(NamedTuple):
    """The teacher's view of some sentences."""

    sentences: np.ndarray  # float32 [sentences, hidden], normalised
    words: np.ndarray  # int8 [words, hidden], last hidden state summed over a word, of any scale
    counts: np.ndarray  # words of each sentence, marks included


class Teacher:
    """Mean-pooled, normalised sentence embeddings of a BERT encoder read from a folder."""

    def __init__(self, folder: pathlib.Path, half: bool) -> None:
        self.config = json.loads((folder / "config.json").read_text("utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST)
        self.state = load_file(folder / "model.safetensors")
        self.dtype = torch.bfloat16 if half else torch.float32
        self.weights = {
            k: v.to(self.dtype) for k, v in self.state.items() if "encoder" in k and "Norm" not in k
        }

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """A dense layer."""
        return functional.linear(
            x.to(self.dtype), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        )

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """A LayerNorm, in single precision."""
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return functional.layer_norm(
            x.float(), weight.shape, weight, bias, self.config["layer_norm_eps"]
        )

    @torch.inference_mode()
    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden state [batch, tokens, hidden]."""
        x = self.state["embeddings.word_embeddings.weight"][ids]
        x = x + self.state["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self.norm(
            x + self.state["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
        )
        heads = self.config["num_attention_heads"]
        allowed = mask[:, None, None]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{i}"
            q, k, v = (
                self.linear(x, f"{layer}.attention.self.{part}")
                .unflatten(-1, (heads, -1))
                .transpose(1, 2)
                for part in ("query", "key", "value")
            )
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            y = self.linear(y.transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")
            x = self.norm(x + y, f"{layer}.attention.output.LayerNorm")
            y = self.linear(
                functional.gelu(self.linear(x, f"{layer}.intermediate.dense")),
                f"{layer}.output.dense",
            )
            x = self.norm(x + y, f"{layer}.output.LayerNorm")
        return x

    def embed(self, texts: list[str], tokens: int = 4096) -> Embedded:
        """Embeddings of sentences and of their words, in batches of texts of like length."""
        encoded = self.tokenizer.encode_batch(texts)
        lengths = np.array([len(e.ids) for e in encoded])
        groups = [word_numbers(e) for e in encoded]
        counts = np.array([g[-1] + 1 for g in groups])
        starts = np.concatenate([[0], np.cumsum(counts)])
        sentences = np.zeros((len(texts), self.config["hidden_size"]), np.float32)
        words = np.zeros((starts[-1], self.config["hidden_size"]), np.int8)
        order = np.argsort(lengths)[::-1]
        while len(order):
            longest = lengths[order[0]]
            rows, order = np.split(order, [max(1, tokens // longest)])
            ids = torch.zeros(len(rows), longest, dtype=torch.long)
            for row, i in enumerate(rows):
                ids[row, : lengths[i]] = torch.tensor(encoded[i].ids)
            mask = torch.arange(longest) < torch.from_numpy(lengths[rows])[:, None]
            hidden = self.states(ids, mask)
            means = (hidden * mask[..., None]).sum(1)  # normalised below, so the sum will do
            sentences[rows] = functional.normalize(means, dim=-1).numpy()
            flat = hidden[mask]
            first = np.cumsum([0, *counts[rows]])
            number = torch.from_numpy(
                np.concatenate([groups[i] + first[k] for k, i in enumerate(rows)])
            )
            sums = torch.zeros(first[-1], flat.shape[1]).index_add_(0, number, flat)
            scaled = (sums / sums.abs().amax(1, keepdim=True) * 127).round().to(torch.int8).numpy()
            for k, i in enumerate(rows):
                words[starts[i] : starts[i + 1]] = scaled[first[k] : first[k + 1]]
        return Embedded(sentences, words, counts)


def word_numbers(encoding: Encoding) -> np.ndarray:
    """The number of each token's word, counting the marks at the start and the end as words."""
    inner = [w + 1 for w in encoding.word_ids[1:-1]]
    return np.array([0, *inner, (inner[-1] if inner else 0) + 1])


def read_tsv(path: pathlib.Path) -> list[tuple[str, str]]:
    pairs = (line.split("\t", 1) for line in path.read_text("utf-8").splitlines())
    return [(source, text) for source, text in pairs]


def select(data: pathlib.Path, seed: int) -> list[tuple[str, str]]:
    """The training text, shuffled."""
    chosen: list[tuple[str, str]] = []
    taken: collections.Counter[str] = collections.Counter()
    for source, text in read_tsv(data / "synthetic.tsv") + read_tsv(data / "train.tsv"):
        if taken[source] < SHARES[source]:
            taken[source] += 1
            chosen.append((source, text))
    chosen += [("passage", text) for _, text in read_tsv(data / "passages.tsv")[:PASSAGES]]
    random.Random(seed).shuffle(chosen)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=pathlib.Path, default=pathlib.Path("data/teacher"))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--limit", type=int, default=500_000, help="sentences to embed")
    args = parser.parse_args()
    torch.set_num_threads(1)

    exact = Teacher(args.teacher, half=False)
    here = pathlib.Path(__file__).parent
    texts = {
        "heldout_technical": [text for _, text in read_tsv(args.data / "heldout.tsv")[:4000]],
        "heldout_everyday": (here / "heldout_everyday.txt").read_text("utf-8").splitlines(),
        "heldout_pairs": (here / "heldout_pairs.tsv")
        .read_text("utf-8")
        .replace("\n", "\t")
        .strip()
        .split("\t"),
    }
    for name, lines in texts.items():
        np.save(args.data / f"{name}.npy", exact.embed(lines).sentences)
    (args.data / "heldout_technical.txt").write_text(
        "\n".join(texts["heldout_technical"]) + "\n", "utf-8"
    )

    selection = args.data / "selection.tsv"
    if not selection.exists():
        selection.write_text(
            "".join(f"{s}\t{t}\n" for s, t in select(args.data, args.seed)), "utf-8"
        )
    lines = [text for _, text in read_tsv(selection)]
    fast = Teacher(args.teacher, half=True)
    sample = lines[:500]
    print(
        "bfloat16 against float32, lowest cosine:",
        (fast.embed(sample).sentences * exact.embed(sample).sentences).sum(1).min(),
    )
    folder = args.data / "targets"
    folder.mkdir(exist_ok=True)
    for start in range(0, min(args.limit, len(lines)), PIECE):
        path = folder / f"{start // PIECE:04d}.npy"
        if path.exists():
            continue
        began = time.time()
        found = fast.embed(lines[start : start + PIECE])
        np.save(path.with_suffix(".words.npy"), found.words)
        np.save(path.with_suffix(".counts.npy"), found.counts.astype(np.uint8))
        np.save(path, found.sentences.astype(np.float16))
        print(
            f"{start + PIECE} of {len(lines)}, {PIECE / (time.time() - began):.0f} sentences/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
