"""Functions of one element at a time: elementary functions, activations, arithmetic, logic."""

from __future__ import annotations

from .base import (
    INF,
    NAN,
    Case,
    bf16,
    bools,
    empty,
    f16,
    f32,
    f64,
    i64,
    ints,
    scalar,
    some,
    words,
)

CASES: dict[str, list[Case]] = {}

# Functions of one number, by mpmath: at their first opset, and in every floating type.

WIDE = (-INF, -88.5, -3.5, -1.0, -0.25, 0.0, 1e-6, 0.5, 1.0, 2.75, 80.0, INF, NAN)
TAME = (-20.0, -5.0, -3.5, -1.0, -0.25, 0.0, 1e-6, 0.5, 1.0, 2.75, 20.0, NAN)
UNIT = (-2.0, -1.0, -0.75, -1e-6, 0.0, 0.5, 0.999, 1.0, NAN)
ABOVE_ONE = (0.5, 1.0, 1.0001, 1.5, 80.0, INF, NAN)
ANGLES = (-1e4, -3.5, -1.0, 0.0, 1e-6, 0.5, 1.5707964, 3.1415927, 100.0, INF, NAN)

# Operator: its points, and from which opset on there are float32 and bfloat16.
ELEMENTARY: dict[str, tuple[tuple[float, ...], int, int]] = {
    "Abs": (WIDE, 6, 13),
    "Acos": (UNIT, 7, 22),
    "Acosh": (ABOVE_ONE, 9, 22),
    "Asin": (UNIT, 7, 22),
    "Asinh": (WIDE, 9, 22),
    "Atan": (WIDE, 7, 22),
    "Atanh": (UNIT, 9, 22),
    "Ceil": ((*WIDE, 2.5, -2.5, 8388609.0), 6, 13),
    "Cos": (ANGLES, 7, 22),
    "Cosh": (WIDE, 9, 22),
    "Erf": (WIDE, 9, 13),
    "Exp": (WIDE, 6, 13),
    "Floor": ((*WIDE, 2.5, -2.5, 8388609.0), 6, 13),
    "Gelu": (TAME, 20, 20),
    "HardSwish": ((-5.0, -3.0, -1.0, 0.0, 0.1, 2.9, 3.0, 5.0, NAN), 14, 22),
    "Log": ((-1.0, 0.0, 1e-6, 0.5, 1.0, 2.75, 80.0, INF, NAN), 6, 13),
    "Mish": (TAME, 18, 22),
    "Neg": (WIDE, 6, 13),
    "Reciprocal": (WIDE, 6, 13),
    "Relu": (WIDE, 6, 13),
    "Round": ((*WIDE, 2.5, 3.5, -0.5, 1.5, 0.49999997), 11, 22),
    "Sigmoid": (WIDE, 6, 13),
    "Sign": (WIDE, 9, 13),
    "Sin": (ANGLES, 7, 22),
    "Sinh": (WIDE, 9, 22),
    "Softplus": (WIDE, 1, 22),
    "Softsign": (TAME, 1, 22),
    "Sqrt": ((-1.0, 0.0, 1e-6, 0.5, 2.0, 80.0, INF, NAN), 6, 13),
    "Swish": (TAME, 24, 24),
    "Tan": (ANGLES, 7, 22),
    "Tanh": (WIDE, 6, 13),
}
for name, (points, first, brain) in ELEMENTARY.items():
    CASES[name] = [
        Case("float32", first, [f32(*points)]),
        Case("float64", first, [f64(*points)]),
        Case("float16", brain, [f16(*points)]),
        Case("bfloat16", brain, [bf16(*points)]),
        Case("no_elements", first, [empty(0, 2)]),
        Case("scalar", brain, [scalar(0.3)]),
    ]
CASES["Softsign"].append(Case("saturated", 1, [f32(-1e30, 1e30)]))
CASES["Gelu"].append(Case("tanh", 20, [f32(*TAME)], {"approximate": "tanh"}))
CASES["Swish"].append(Case("alpha", 24, [f32(*TAME)], {"alpha": 1.702}))
for name in ("Abs", "Neg", "Sign"):
    CASES[name] += [
        Case("int8", 13, [ints("int8", -128, -1, 0, 127)]),
        Case("int64", 13, [i64(-(2**63), -1, 0, 2**63 - 1)]),
    ]
CASES["Abs"].append(Case("uint8", 13, [ints("uint8", 0, 255)]))
CASES["Sign"].append(Case("uint8", 13, [ints("uint8", 0, 255)]))
CASES["Relu"].append(Case("int8", 14, [ints("int8", -128, -1, 0, 127)]))

# Activations with parameters: their defaults, others, and the half types.
ACTIVATIONS: dict[str, tuple[int, int, dict[str, float]]] = {
    "Celu": (12, 12, {"alpha": 0.3}),
    "Elu": (6, 22, {"alpha": 2.0}),
    "HardSigmoid": (6, 22, {"alpha": 0.5, "beta": 0.6}),
    "LeakyRelu": (6, 16, {"alpha": 0.1}),
    "Selu": (6, 22, {"alpha": 2.0, "gamma": 3.0}),
    "ThresholdedRelu": (10, 22, {"alpha": 0.5}),
}
for name, (first, half, attributes) in ACTIVATIONS.items():
    CASES[name] = [
        Case("defaults", first, [f32(*TAME)]),
        Case("attributes", first, [f32(*TAME)], attributes),
    ]
    if half > 12:
        CASES[name] += [
            Case("float16", half, [f16(*TAME)], attributes),
            Case("bfloat16", half, [bf16(*TAME)], attributes),
        ]
CASES["Shrink"] = [
    Case("defaults", 9, [f32(-2, -0.5, 0.1, 0.5, 2)]),
    Case("soft", 9, [f32(-2, -0.5, 0.1, 0.5, 2)], {"bias": 0.5, "lambd": 0.5}),
    Case("int8", 9, [ints("int8", -5, -1, 0, 1, 5)], {"bias": 1.0, "lambd": 1.5}),
]
CASES["PRelu"] = [
    Case(
        "opset6_one_slope", 6, [some(1, 2, 3), f32(0.25)],
        same_as=(7, [some(1, 2, 3), f32(0.25)], {}),
    ),
    Case(
        "opset6_slope_per_channel", 6, [some(2, 3, 2), f32(0.25, 0.5, 2)],
        same_as=(7, [some(2, 3, 2), f32([[0.25], [0.5], [2]])], {}),
    ),
    Case("broadcast_last", 7, [some(2, 3), f32(0.25, 0.5, 2)]),
    Case("broadcast_first", 16, [some(2, 3), f32([0.25], [2])]),
    Case("float16", 9, [some(2, 3, dtype="float16"), f16(0.1)]),
]  # fmt: skip
CASES["SwiGLU"] = [
    Case("alpha", 28, [some(2, 3), some(2, 3, seed=1)], {"alpha": 1.702}),
    Case("float16", 28, [some(2, 3, dtype="float16"), some(2, 3, dtype="float16", seed=1)]),
]

# Arithmetic on two or more operands.

PAIR = (some(2, 1, 3), some(4, 1, seed=1))
for name in ("Add", "Sub", "Mul", "Div"):
    CASES[name] = [
        Case("broadcast", 7, PAIR),
        Case("scalar", 7, [some(2, 3), scalar(3)]),
        Case("float16", 7, [f16(1, 2049, 60000, 1e-7), f16(3, 1, 60000, 3)]),
        Case("bfloat16", 13, [bf16(1, 257, 3e38, 1e-7), bf16(3, 1, 3e38, 3)]),
        Case("not_finite", 14, [f32(INF, -INF, NAN, 1), f32(INF, 1, 1, INF)]),
        Case("int32", 7, [ints("int32", 2**31 - 1, -(2**31), -7, 7), ints("int32", 2, 3, 2, -2)]),
        Case("int64", 7, [i64(2**63 - 1, -(2**63), -7, 2**53 + 1), i64(2, 3, 2, 3)]),
        Case("uint8", 14, [ints("uint8", 250, 3, 7), ints("uint8", 10, 5, 2)]),
        Case("int8", 14, [ints("int8", 100, -100, -7), ints("int8", 100, 100, 2)]),
        Case("no_elements", 14, [empty(0, 3), some(1, 3)]),
    ]
CASES["Div"].append(Case("by_zero", 14, [f32(1, -1, 0), f32(0, 0, 0)]))
SIGNS = (7, -7, 7, -7, 6, 0)
CASES["Mod"] = [
    Case("int64", 10, [i64(*SIGNS), i64(3, 3, -3, -3, 3, 5)]),
    Case("int64_fmod", 10, [i64(*SIGNS), i64(3, 3, -3, -3, 3, 5)], {"fmod": 1}),
    Case("float32_fmod", 10, [f32(*SIGNS, 5.5), f32(3, 3, -3, -3, 3, 5, -2.25)], {"fmod": 1}),
    Case("uint8", 13, [ints("uint8", 250, 7), ints("uint8", 100, 3)]),
]
CASES["Pow"] = [
    Case("opset7", 7, [f32(2, -2, 0.5, 9), f32(3, 3, -2, 0.5)]),
    Case("broadcast", 15, [some(2, 3, scale=2), f32(2)]),
    Case("negative_base", 15, [f32(-8, -8, -8), f32(1 / 3, 2, 0.5)]),
    Case("int_to_float", 15, [ints("int32", 2, 3, 10), f32(0.5, 2, -1)]),
    Case("float_to_int", 15, [f32(2, -3, 1.5), i64(10, 3, -2)]),
    Case("int64_wraps", 15, [i64(3, 2, -2, 10), i64(41, 63, 63, 18)]),
    Case("int_to_negative_int", 15, [i64(1, -1, 2, -3, -1), i64(-1, -1, -1, -2, -2)]),
    Case("float16", 13, [f16(2, 3, 300), f16(0.5, 5, 2)]),
    Case("bfloat16", 15, [bf16(2, 3, 1e20), bf16(0.5, 5, 2)]),
]
THREE = (some(2, 3), some(3, seed=1), some(2, 1, seed=2))
for name in ("Max", "Min", "Sum", "Mean"):
    CASES[name] = [
        Case("three", 8, THREE),
        Case("one", 8, [some(2, 3)]),
        Case("float16", 13, [f16(60000, 1, 1), f16(60000, 2049, 0.1), f16(-60000, 1, 0.2)]),
        Case("bfloat16", 13, [bf16(257, 1, 0.1), bf16(1, 256, 0.2), bf16(1, 1, 0.3)]),
        Case("nan", 13, [f32(NAN, 1, INF), f32(0, NAN, -1)]),
    ]
for name in ("Max", "Min"):
    CASES[name] += [
        Case("int64", 12, [i64(2**53 + 1, -5), i64(2**53, 5)]),
        Case("uint8", 12, [ints("uint8", 1, 200), ints("uint8", 2)]),
    ]
for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
    newest, integers = (16, 12) if "Or" in name else (13, 9)
    CASES[name] = [
        Case("float32", 12, [f32(1, 2, NAN, INF, -INF), f32(1, 3, NAN, INF, INF)]),
        Case("broadcast", 12, [some(2, 1), some(3, seed=1)]),
        Case("int64", max(integers, 7), [i64(2**53 + 1, -1), i64(2**53, -1)]),
        Case("uint8", newest, [ints("uint8", 200, 3), ints("uint8", 100)]),
        Case("float16", newest, [f16(1, NAN, 3), f16(1, NAN, 2)]),
        Case("bfloat16", newest, [bf16(1, NAN, 3), bf16(1, NAN, 2)]),
    ]
CASES["Equal"] += [
    Case("opset7", 7, [i64(1, 2), i64(1)]),
    Case("bool", 13, [bools(True, False), bools(True)]),
    Case("string", 19, [words("a", "b", ""), words("a", "c", "")]),
]
CASES["Greater"].append(Case("opset7", 7, [f32(1, 2), f32(1.5)]))
CASES["Less"].append(Case("opset7", 7, [f32(1, 2), f32(1.5)]))
for name in ("And", "Or", "Xor"):
    CASES[name] = [Case("broadcast", 7, [bools([True], [False]), bools(True, False)])]
CASES["Not"] = [Case("matrix", 1, [bools([True, False], [False, True])])]
CASES["Where"] = [
    Case("three_ways", 9, [bools([[True], [False]]), some(3), some(2, 1, 1, seed=1)]),
    Case("nan_not_chosen", 16, [bools(True, False), f32(1, NAN), f32(NAN, 2)]),
    Case("string", 9, [bools(True, False), words("a", "b"), words("c", "d")]),
    Case("uint8", 9, [bools(True, False), ints("uint8", 1, 2), ints("uint8", 255)]),
]
CASES["IsNaN"] = [
    Case("opset9", 9, [f32(NAN, INF, 0, 1)]),
    Case("float16", 20, [f16(NAN, INF, 0)]),
]
CASES["IsInf"] = [
    Case("defaults", 10, [f32(NAN, INF, -INF, 0)]),
    Case("positive", 10, [f32(NAN, INF, -INF, 0)], {"detect_negative": 0}),
    Case("neither", 10, [f32(INF, -INF)], {"detect_negative": 0, "detect_positive": 0}),
    Case("float16", 20, [f16(NAN, INF, -INF)], {"detect_positive": 0}),
]
for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    CASES[name] = [
        Case("int8", 18, [ints("int8", -1, 5, -128), ints("int8", 3)]),
        Case("uint64", 18, [ints("uint64", 2**64 - 1, 2**63), ints("uint64", 2**63 + 1, 1)]),
    ]
CASES["BitwiseNot"] = [
    Case("int8", 18, [ints("int8", -128, 0, 127)]),
    Case("uint64", 18, [ints("uint64", 0, 2**63)]),
]
CASES["BitShift"] = [
    Case("left", 11, [ints("uint8", 1, 255, 3), ints("uint8", 7, 4, 1)], {"direction": "LEFT"}),
    Case("right", 11, [ints("uint64", 2**63, 5), ints("uint64", 63, 1)], {"direction": "RIGHT"}),
]
CASES["Clip"] = [
    Case("opset6_defaults", 6, [f32(-1e38, 0, 1e38)]),
    Case("opset6", 6, [f32(-5, 0.5, 5, NAN)], {"min": -1.0, "max": 1.5}),
    Case("min_only", 11, [f32(-5, 0.5, 5, NAN), scalar(0.25)]),
    Case("max_only", 11, [f32(-5, 0.5, 5), None, scalar(0.25)]),
    Case("neither", 12, [f32(-5, 0.5, 5)]),
    Case("crossed", 13, [f32(-5, 0.5, 5), scalar(2), scalar(-1)]),
    Case("infinite", 13, [f32(-INF, 0, INF), scalar(-1), scalar(INF)]),
    Case("int8", 12, [ints("int8", -128, 0, 127), scalar(-5, "int8"), scalar(5, "int8")]),
    Case("int64", 12, [i64(-(2**60), 2**60), None, scalar(2**53 + 1, "int64")]),
    Case("float16", 13, [f16(-5, 0.3, 5), scalar(-1, "float16"), scalar(1, "float16")]),
]  # fmt: skip
