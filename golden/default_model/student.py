"""The student: a small BERT encoder that can simulate pruned weights and 8-bit arithmetic.

Its parameters are named as in Hugging Face checkpoints of BERT. A ``Linear`` can hold a mask that
keeps pruned weights at zero. After ``quantize`` weights, embedding tables and activations go
through simulated 8-bit quantization with straight-through gradients: weights symmetric, one scale
a matrix; activations unsigned with a fixed scale and zero point found by calibration.
"""

import dataclasses
import math
import pathlib

import torch
from torch import nn
from torch.nn import functional

MASKED = -10000.0


@dataclasses.dataclass(frozen=True)
class Config:
    """The sizes of the encoder, named as in config.json."""

    vocab_size: int
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    max_position_embeddings: int = 128
    layer_norm_eps: float = 1e-12
    projection_size: int = 384


class Round(torch.autograd.Function):
    """Division by a scale, rounding and clipping; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, scale: float, low: int, high: int) -> torch.Tensor:
        """Whole numbers; remembers which were not clipped."""
        whole = (x.float() / scale).round_()
        kept = whole.clamp(low, high)
        ctx.save_for_backward(whole == kept)
        ctx.scale = scale
        return kept

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """The gradient of the division, where nothing was clipped."""
        (inside,) = ctx.saved_tensors
        return grad * inside / ctx.scale, None, None, None


class Activation(nn.Module):
    """Simulates a QuantizeLinear: unsigned 8 bits, scale and zero point fixed once calibrated.

    Once active it gives whole numbers, the zero point taken off: multiplied by ``unit`` they are
    the value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.observing = False
        self.active = False

    def observe(self, x: torch.Tensor) -> None:
        """Widens the range, as a moving average, to all but the outermost values of a batch."""
        flat = x.detach().float().flatten()
        count = max(1, int(flat.numel() * CLIPPED))
        low, high = -(-flat).topk(count).values[-1], flat.topk(count).values[-1]
        if self.high == self.low:
            self.low.copy_(low), self.high.copy_(high)
        self.low.lerp_(low, 0.05), self.high.lerp_(high, 0.05)

    @property
    def scale(self) -> float:
        """The step between two whole numbers."""
        return float(max(self.high, 0.0) - min(self.low, 0.0)) / 255 or 1.0

    @property
    def zero_point(self) -> int:
        """The whole number that stands for zero."""
        return min(255, max(0, round(-min(float(self.low), 0.0) / self.scale)))

    @property
    def unit(self) -> float:
        """What the numbers of ``forward`` are to be multiplied by."""
        return self.scale if self.active else 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The value itself, or quantized once active."""
        if self.observing:
            self.observe(x)
        if not self.active:
            return x
        return Round.apply(x, self.scale, -self.zero_point, 255 - self.zero_point)


CLIPPED = 2e-5  # share of the values on either side that calibration lets an activation clip


def weight_scale(weight: torch.Tensor) -> float:
    return float(weight.detach().abs().max()) / 127


def quantized(weight: torch.Tensor) -> torch.Tensor:
    """The weight rounded to 8 bits, symmetric, with straight-through gradients."""
    unit = weight_scale(weight)
    return Round.apply(weight, unit, -127, 127) * unit


class Linear(nn.Linear):
    """A dense layer with a pruning mask, a simulated 8-bit weight, bfloat16 products in training.

    When quantized, whole numbers are multiplied (exact in bfloat16) and the product is scaled
    afterwards.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", torch.ones(outputs, inputs))
        self.active = False

    def prune(self, sparsity: float) -> None:
        """Masks the smallest weights; a weight that is masked stays so."""
        magnitude = (self.weight.detach() * self.mask).abs().flatten()
        self.mask.view(-1)[magnitude.argsort()[: math.ceil(sparsity * magnitude.numel())]] = 0
        self.weight.data.mul_(self.mask)

    def forward(self, x: torch.Tensor, entry: Activation) -> torch.Tensor:
        """The layer on what ``entry`` gave."""
        weight = self.weight * self.mask
        dtype = torch.bfloat16 if self.training else torch.float32
        if not self.active:
            return functional.linear(x.to(dtype), weight.to(dtype), self.bias.to(dtype))
        unit = weight_scale(weight)
        whole = Round.apply(weight, unit, -127, 127)
        y = functional.linear(x.to(dtype), whole.to(dtype))
        return y * (entry.unit * unit) + self.bias.to(dtype)


class Embedding(nn.Embedding):
    """A table of embeddings, 8-bit once active."""

    active = False

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows of the table."""
        return functional.embedding(ids, quantized(self.weight) if self.active else self.weight)


class SelfAttention(nn.Module):
    """BERT's self-attention, its two products on quantized values."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.query, self.key, self.value = (
            Linear(size, size),
            Linear(size, size),
            Linear(size, size),
        )
        self.entry, self.query_out, self.key_out, self.value_out, self.probabilities = (
            Activation() for _ in range(5)
        )

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """The states of all tokens after it; ``bias`` hides padding."""
        x = self.entry(x)
        q, k, v = (self.split(part(x, self.entry)) for part in (self.query, self.key, self.value))
        dtype = torch.bfloat16 if self.training else torch.float32
        q, k, v = (
            point(y).to(dtype)
            for point, y in ((self.query_out, q), (self.key_out, k), (self.value_out, v))
        )
        scores = q @ k.transpose(-1, -2)
        scores = scores.float() * (self.query_out.unit * self.key_out.unit / math.sqrt(q.shape[-1]))
        weights = self.probabilities(torch.softmax(scores + bias, dim=-1)).to(dtype)
        return (weights @ v).transpose(1, 2).flatten(2) * (
            self.probabilities.unit * self.value_out.unit
        )

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, heads, tokens, width of a head]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Output(nn.Module):
    """A dense layer, the residual connection and its LayerNorm."""

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        self.entry = Activation()
        self.dense = Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """LayerNorm of the residual and what the layer makes of ``x``."""
        return self.LayerNorm(self.dense(self.entry(x), self.entry).float() + residual)


class Layer(nn.Module):
    """One layer of the encoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": Output(config.hidden_size, config)}
        )
        self.intermediate = nn.ModuleDict(
            {"entry": Activation(), "dense": Linear(config.hidden_size, config.intermediate_size)}
        )
        self.output = Output(config.intermediate_size, config)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """The states of all tokens after it; ``bias`` hides padding."""
        x = self.attention["output"](self.attention["self"](x, bias), x)
        entry = self.intermediate["entry"]
        inner = self.intermediate["dense"](entry(x), entry)
        return self.output(functional.gelu(inner), x)

    def linears(self) -> list[Linear]:
        """Its six matrices."""
        return [m for m in self.modules() if isinstance(m, Linear)]


class Embeddings(nn.Module):
    """The sum of the three embeddings, normalised."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(2, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows of the table."""
        places = torch.arange(ids.shape[1])
        x = (
            self.word_embeddings(ids)
            + self.position_embeddings(places)
            + self.token_type_embeddings.weight[0]
        )
        return self.LayerNorm(x)


def mean_of(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask[..., None].float()
    return (hidden * weights).sum(1) / weights.sum(1)


class Student(nn.Module):
    """The encoder and, on top, the projection into the teacher's space."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.bert = nn.ModuleDict(
            {"embeddings": Embeddings(config), "encoder": nn.ModuleDict({"layer": layers})}
        )
        self.entry = Activation()
        self.projection = Linear(config.hidden_size, config.projection_size)
        for linear in (linear for layer in self.layers for linear in layer.linears()):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))
            nn.init.zeros_(linear.bias)
        for layer in self.layers:  # sub-layers begin as small corrections
            layer.attention["output"].dense.weight.data.mul_(0.1)
            layer.output.dense.weight.data.mul_(0.1)

    @property
    def layers(self) -> list[Layer]:
        """The layers of the encoder."""
        return list(self.bert["encoder"]["layer"])

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden state, [batch, tokens, hidden]."""
        x = self.bert["embeddings"](ids)
        bias = (1 - mask[:, None, None].float()) * MASKED
        for layer in self.layers:
            x = layer(x, bias)
        if self.entry.observing:
            self.entry.observe(x[mask.bool()])
        return x

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean of the last hidden state over the mask's tokens, [batch, hidden]; not normalised."""
        return mean_of(self(ids, mask), mask)

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """The teacher's embedding as the head sees it; linear, so a mean may be taken before it."""
        weight = (
            quantized(self.projection.weight) if self.projection.active else self.projection.weight
        )
        dtype = torch.bfloat16 if self.training else torch.float32
        return functional.linear(hidden.to(dtype), weight.to(dtype)).float() + self.projection.bias

    def prune(self, sparsity: float) -> None:
        """Prunes each matrix of the encoder alike; the projection stays dense."""
        for layer in self.layers:
            for linear in layer.linears():
                linear.prune(sparsity)

    def observe(self, observing: bool) -> None:
        """Turns calibration on or off."""
        for module in self.modules():
            if isinstance(module, Activation):
                module.observing = observing

    def quantize(self, active: bool) -> None:
        """Turns the simulated 8-bit arithmetic on or off."""
        for module in self.modules():
            if isinstance(module, Activation | Linear | Embedding):
                module.active = active


def load_student(path: pathlib.Path) -> Student:
    saved = torch.load(path)["student"]
    student = Student(Config(vocab_size=len(saved["bert.embeddings.word_embeddings.weight"])))
    student.load_state_dict(saved)
    return student
