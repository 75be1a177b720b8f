"""Fourier transforms."""

from __future__ import annotations

from .base import Case, scalar, some

REAL, COMPLEX = some(1, 5, 1), some(1, 5, 2)
WINDOW = [some(1, 9, 1), scalar(3, "int64"), some(4, seed=1)]

CASES: dict[str, list[Case]] = {
    "DFT": [
        Case("opset17", 17, [REAL]),
        Case("opset17_axis", 17, [some(2, 3, 1)], {"axis": 0}),
        Case("opset17_shorter", 17, [REAL, scalar(4, "int64")], {"onesided": 1}),
        Case("real", 20, [REAL]),
        Case("complex", 20, [COMPLEX]),
        Case("inverse", 20, [COMPLEX], {"inverse": 1}),
        Case("onesided", 20, [REAL], {"onesided": 1}),
        Case("longer", 20, [REAL, scalar(7, "int64")]),
        Case("axis", 20, [some(2, 3, 1), None, scalar(-3, "int64")]),
        Case("float64", 20, [some(1, 4, 1, dtype="float64")]),
    ],
    "STFT": [
        Case("window", 17, WINDOW),
        Case("both_sides", 17, WINDOW, {"onesided": 0}),
        Case("length_only", 17, [*WINDOW[:2], None, scalar(4, "int64")]),
        Case("complex", 17, [some(1, 6, 2), scalar(2, "int64"), some(3, seed=1)], {"onesided": 0}),
    ],
}
