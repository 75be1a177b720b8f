"""RNN, GRU and LSTM: one or both directions, states, lengths, attributes."""

from __future__ import annotations

import numpy as np

from .base import Array, Case, f32, ints, octets, some

ALL = (True, True)


def weights(gates: int, directions: int = 1) -> list[Array]:
    """X, W, R, B for two steps, batch 2, input size 2, hidden size 2."""
    rows = 2 * gates
    return [
        some(2, 2, 2),
        some(directions, rows, 2, seed=1, scale=0.5),
        some(directions, rows, 2, seed=2, scale=0.5),
        some(directions, 2 * rows, seed=3, scale=0.5),
    ]


LENGTHS, STATE = ints("int32", 1, 2), some(1, 2, 2, seed=4)
SIZE = {"hidden_size": 2}

CASES: dict[str, list[Case]] = {}
for _name, _gates, _outputs in (("RNN", 1, ALL), ("GRU", 3, ALL), ("LSTM", 4, (True,) * 3)):
    CASES[_name] = [
        Case(
            "opset3", 3, weights(_gates), {**SIZE, "output_sequence": 1}, _outputs,
            same_as=(7, weights(_gates), SIZE),
        ),
        Case("opset7", 7, weights(_gates), SIZE, _outputs),
        Case("no_bias", 14, weights(_gates)[:3], SIZE, _outputs),
        Case("reverse", 14, weights(_gates), {**SIZE, "direction": "reverse"}, _outputs),
        Case(
            "bidirectional", 14, weights(_gates, 2), {**SIZE, "direction": "bidirectional"},
            _outputs,
        ),
        Case("lengths", 14, [*weights(_gates), LENGTHS, STATE], SIZE, _outputs),
        Case("clip", 14, weights(_gates), {**SIZE, "clip": 0.3}, _outputs),
    ]  # fmt: skip
CASES["RNN"].append(
    Case(
        "activation", 14, weights(1),
        {**SIZE, "activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]},
        ALL,
    )
)  # fmt: skip
CASES["GRU"] += [
    Case("linear_before_reset", 14, weights(3), {**SIZE, "linear_before_reset": 1}, ALL),
    Case(
        "activations", 14, weights(3), {**SIZE, "activations": ["HardSigmoid", "Softsign"]}, ALL,
    ),
]  # fmt: skip
CASES["LSTM"] += [
    Case(
        "peepholes", 14,
        [*weights(4), LENGTHS, STATE, some(1, 2, 2, seed=5), some(1, 6, seed=6)],
        {**SIZE, "input_forget": 1}, (True,) * 3,
    ),
    Case("last_only", 14, weights(4), SIZE, (False, True, False)),
]  # fmt: skip
# Of equal lengths: onnxruntime scales a state with that of a sequence which has just ended.
CASES["com.microsoft.DynamicQuantizeLSTM"] = [
    Case(
        "one_scale", 1,
        [
            some(2, 2, 2), octets(1, 2, 8, seed=1), octets(1, 2, 8, seed=2), None,
            ints("int32", 1, 1), None, None, None, f32(0.01), ints("uint8", 128), f32(0.01),
            ints("uint8", 120),
        ],
        SIZE, (True,) * 3, constant=(1, 2),
    ),
    Case(
        "all_inputs", 1,
        [
            some(2, 2, 2), octets(2, 2, 8, seed=1), octets(2, 2, 8, seed=2), weights(4, 2)[3],
            ints("int32", 2, 2), some(2, 2, 2, seed=4), some(2, 2, 2, seed=5), some(2, 6, seed=6),
            np.abs(some(2, 8, seed=7, scale=0.01)), np.full((2, 8), 128, np.uint8),
            f32(0.01, 0.02), ints("uint8", 120, 130),
        ],
        {**SIZE, "direction": "bidirectional"}, (True,) * 3, constant=(1, 2),
    ),
]  # fmt: skip
