"""Begin the student from the teacher: four of its six layers, cut down to the student's width.

The teacher's hidden states are seen through one orthonormal basis, that of their principal
directions, turned so that no vector has a mean over the student's numbers (a LayerNorm's
subtraction of the mean then changes nothing). The weights are the teacher's in that basis; of the
attention heads and the intermediate neurons the strongest are kept. Gain and bias of each
LayerNorm are fitted by least squares.
"""

import argparse
import collections
import json
import pathlib

import torch
from student import Config, Student
from teacher import Teacher, read_tsv
from torch.nn import functional

SENTENCES = 3000  # the sample
KEPT = 0.4  # share of its tokens to which LayerNorms are fitted
FINAL = 6.0  # weight of the last state in the choice of the basis
LARGER = (
    8.0  # factor of the embedding tables, taken out again by LayerNorm: suits the learning rate
)


class Sample:
    """What a sample meets inside the teacher: moments of all states, some states themselves."""

    def __init__(self, teacher: Teacher, texts: list[str], seed: int) -> None:
        self.moments: collections.defaultdict[str, torch.Tensor] = collections.defaultdict(
            lambda: torch.zeros((), dtype=torch.float64)
        )
        self.states: collections.defaultdict[str, list[torch.Tensor]] = collections.defaultdict(
            list
        )
        self.count = 0
        random = torch.Generator().manual_seed(seed)
        encoded = sorted((e.ids for e in teacher.tokenizer.encode_batch(texts)), key=len)
        for start in range(0, len(encoded), 100):
            part = encoded[start : start + 100]
            lengths = torch.tensor([len(line) for line in part])
            mask = torch.arange(int(lengths.max())) < lengths[:, None]
            ids = torch.zeros(mask.shape, dtype=torch.long)
            ids[mask] = torch.tensor([number for line in part for number in line])
            chosen = torch.rand(int(mask.sum()), generator=random) < KEPT
            self.count += len(chosen)
            for name, value in walk(teacher, ids, mask):
                flat = value[mask]
                double = flat.double()
                if name.endswith(("context", "inner")):
                    self.moments[f"{name} power"] = self.moments[f"{name} power"] + (double**2).sum(
                        0
                    )
                    continue
                self.states[name].append(flat[chosen])
                if not name.endswith(("first", "second", "raw")):
                    self.moments[f"{name} sum"] = self.moments[f"{name} sum"] + double.sum(0)
                    self.moments[f"{name} square"] = (
                        self.moments[f"{name} square"] + double.T @ double
                    )

    def mean(self, name: str) -> torch.Tensor:
        """The mean of a state over all tokens."""
        return self.moments[f"{name} sum"] / self.count

    def covariance(self, name: str) -> torch.Tensor:
        """Its covariance."""
        mean = self.mean(name)
        return self.moments[f"{name} square"] / self.count - torch.outer(mean, mean)


def walk(teacher: Teacher, ids: torch.Tensor, mask: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """All states of the teacher by name; "2 out" is what its third layer gives."""
    state = teacher.state
    heads = teacher.config["num_attention_heads"]
    raw = state["embeddings.word_embeddings.weight"][ids]
    raw = raw + state["embeddings.position_embeddings.weight"][: ids.shape[1]]
    raw = raw + state["embeddings.token_type_embeddings.weight"][0]
    x = teacher.norm(raw, "embeddings.LayerNorm")
    found = [("raw", raw), ("-1 out", x)]
    for i in range(teacher.config["num_hidden_layers"]):
        name = f"encoder.layer.{i}"
        q, k, v = (
            teacher.linear(x, f"{name}.attention.self.{p}")
            .unflatten(-1, (heads, -1))
            .transpose(1, 2)
            for p in ("query", "key", "value")
        )
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        context = y.transpose(1, 2).flatten(2)
        first = x + teacher.linear(context, f"{name}.attention.output.dense")
        middle = teacher.norm(first, f"{name}.attention.output.LayerNorm")
        inner = functional.gelu(teacher.linear(middle, f"{name}.intermediate.dense"))
        second = middle + teacher.linear(inner, f"{name}.output.dense")
        x = teacher.norm(second, f"{name}.output.LayerNorm")
        named = {"context": context, "first": first, "middle": middle, "inner": inner}
        found += [
            (f"{i} {key}", value) for key, value in {**named, "second": second, "out": x}.items()
        ]
    return found


def basis_of(covariance: torch.Tensor, width: int, seed: int) -> torch.Tensor:
    """An orthonormal basis [hidden, width], rank width - 1, in which all vectors have mean zero."""
    axes = torch.linalg.eigh(covariance)[1].flip(1)[:, : width - 1]
    random = torch.Generator().manual_seed(seed)
    square = torch.randn(width, width, generator=random, dtype=torch.float64)
    square[:, 0] = 1
    return (axes @ torch.linalg.qr(square)[0][:, 1:].T).float()


def fit(norm: torch.nn.LayerNorm, before: torch.Tensor, after: torch.Tensor) -> None:
    """Gain and bias by least squares, from states before it and wanted states after it."""
    x = functional.layer_norm(before, before.shape[-1:])
    centred = x - x.mean(0)
    gain = (centred * (after - after.mean(0))).sum(0) / (centred**2).sum(0)
    norm.weight.copy_(gain)
    norm.bias.copy_(after.mean(0) - gain * x.mean(0))


@torch.no_grad()
def inherit(
    teacher: Teacher, sample: Sample, layers: list[int], pieces: list[str], seed: int
) -> Student:
    """A student with those layers of the teacher and those pieces in its vocabulary."""
    student = Student(Config(vocab_size=len(pieces), num_hidden_layers=len(layers)))
    config = student.config
    state = teacher.state
    total = teacher.config["num_hidden_layers"]
    covariance = torch.zeros_like(sample.covariance("0 out"))
    for i in range(total):
        for name in (f"{i - 1} out", f"{i} middle", f"{i} out"):
            one = sample.covariance(name)
            covariance += one / one.trace() * (FINAL if name == f"{total - 1} out" else 1)
    basis = basis_of(covariance, config.hidden_size, seed)

    def seen(name: str) -> torch.Tensor:
        return torch.cat(sample.states[name]) @ basis

    def lost(name: str) -> torch.Tensor:
        """The mean of a state outside the space: biases can stand in for it."""
        mean = sample.mean(name).float()
        return mean - basis @ (basis.T @ mean)

    def copy(linear: torch.nn.Linear, name: str, rows: torch.Tensor, missing: torch.Tensor) -> None:
        """Some rows of a layer that reads states."""
        weight = state[f"{name}.weight"][rows]
        linear.weight.copy_(weight @ basis)
        linear.bias.copy_(state[f"{name}.bias"][rows] + weight @ missing)

    def copy_out(linear: torch.nn.Linear, name: str, columns: torch.Tensor) -> None:
        """Some columns of a layer that adds to states."""
        linear.weight.copy_(basis.T @ state[f"{name}.weight"][:, columns])
        linear.bias.copy_(basis.T @ state[f"{name}.bias"])

    embeddings = student.bert["embeddings"]
    tables = {
        "word": words_of(teacher, pieces),
        "position": state["embeddings.position_embeddings.weight"][
            : config.max_position_embeddings
        ],
        "token_type": state["embeddings.token_type_embeddings.weight"],
    }
    for kind, table in tables.items():
        getattr(embeddings, f"{kind}_embeddings").weight.copy_(table @ basis * LARGER)
    fit(embeddings.LayerNorm, seen("raw"), seen("-1 out"))
    size = config.hidden_size // config.num_attention_heads
    for place, i in enumerate(layers):
        name = f"encoder.layer.{i}"
        layer = student.layers[place]
        dense = f"{name}.attention.output.dense"
        power = sample.moments[f"{i} context power"].float() * (state[f"{dense}.weight"] ** 2).sum(
            0
        )
        order = power.view(-1, size).sum(1).argsort(descending=True)
        heads = order[: config.num_attention_heads].sort()[0]
        columns = (heads[:, None] * size + torch.arange(size)).flatten()
        for kind in ("query", "key", "value"):
            linear = getattr(layer.attention["self"], kind)
            copy(linear, f"{name}.attention.self.{kind}", columns, lost(f"{i - 1} out"))
        copy_out(layer.attention["output"].dense, dense, columns)
        dense = f"{name}.output.dense"
        power = sample.moments[f"{i} inner power"].float() * (state[f"{dense}.weight"] ** 2).sum(0)
        chosen = power.argsort(descending=True)[: config.intermediate_size].sort()[0]
        copy(layer.intermediate["dense"], f"{name}.intermediate.dense", chosen, lost(f"{i} middle"))
        copy_out(layer.output.dense, dense, chosen)
        fit(layer.attention["output"].LayerNorm, seen(f"{i} first"), seen(f"{i} middle"))
        last = layers[place + 1] - 1 if place + 1 < len(layers) else total - 1
        fit(layer.output.LayerNorm, seen(f"{i} second"), seen(f"{last} out"))
    student.projection.weight.copy_(basis)
    student.projection.bias.copy_(lost(f"{total - 1} out"))
    return student


def words_of(teacher: Teacher, pieces: list[str]) -> torch.Tensor:
    """The teacher's embeddings of some pieces; of one that it has not, the mean of its parts."""
    table = teacher.state["embeddings.word_embeddings.weight"]
    rows = []
    for piece in pieces:
        number = teacher.tokenizer.token_to_id(piece)
        parts = [number]
        if number is None:
            whole = piece.removeprefix("##")
            parts = teacher.tokenizer.encode(whole, add_special_tokens=False).ids
        rows.append(table[parts].mean(0))
    return torch.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=pathlib.Path, default=pathlib.Path("data/teacher"))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 2, 4, 5])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    teacher = Teacher(args.teacher, half=False)
    texts = [text for _, text in read_tsv(args.data / "selection.tsv")[:SENTENCES]]
    vocabulary = json.loads((args.data / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    sample = Sample(teacher, texts, args.seed)
    student = inherit(teacher, sample, args.layers, pieces, args.seed)
    torch.save({"student": student.state_dict()}, args.out)


if __name__ == "__main__":
    main()
