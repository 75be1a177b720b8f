"""Cases that the backend suite lacks, as data: older opsets, other types, edges of every kind.

To add one, name the operator, an opset, inputs and attributes in the module where its kin are;
``record.py`` finds the outputs. Numbers with few digits keep the files readable.
"""

from __future__ import annotations

from . import (
    attention,
    contrib,
    control,
    creation,
    elementwise,
    images,
    indexing,
    legacy,
    products,
    quantization,
    recurrent,
    reductions,
    sequences,
    shapes,
    signal,
    tables,
    texts,
)
from .base import Case, Model

__all__ = ["CASES", "EXCLUDED", "MODELS", "Case", "Model"]

_MODULES = (
    attention,
    contrib,
    creation,
    elementwise,
    images,
    indexing,
    legacy,
    products,
    quantization,
    recurrent,
    reductions,
    sequences,
    shapes,
    signal,
    tables,
    texts,
)

CASES: dict[str, list[Case]] = {}
for _module in _MODULES:
    for _operator, _cases in _module.CASES.items():
        CASES.setdefault(_operator, []).extend(_cases)

MODELS: dict[str, list[Model]] = {**control.MODELS, **tables.MODELS}

EXCLUDED = {
    "averagepool_2d_ceil_last_window_starts_on_pad": "written with four digits",
    "bernoulli": "drawn by NumPy's generator",
    "bernoulli_double": "drawn by NumPy's generator",
    "bernoulli_seed": "drawn by NumPy's generator",
    "gridsample_bicubic": "written with four digits",
    "training_dropout": "drawn by NumPy's legacy generator",
    "training_dropout_default": "drawn by NumPy's legacy generator",
    "training_dropout_default_mask": "drawn by NumPy's legacy generator",
    "training_dropout_mask": "drawn by NumPy's legacy generator",
}
"""Cases of the backend suite that must not become goldens, and why."""
