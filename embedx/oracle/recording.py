"""Goldens of a whole model: what it gave for some inputs, kept in ONNX's own layout of test data.

Any other runtime can be tried on such a folder; see :mod:`embedx.oracle.data_sets`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedx.errors import ConfigError, InputError, OutputError
from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.oracle.candidates import candidate_of
from embedx.oracle.compare import compare
from embedx.oracle.comparison import Comparison
from embedx.oracle.data_sets import feeds_from, read_data_sets, write_data_set
from embedx.oracle.inputs import made_up_feeds, text_feeds
from embedx.oracle.own_files import check_own, list_own, own_files, remove_own
from embedx.oracle.verdicts import Verdict, worst
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from embedx.run.prepare import loading
from embedx.text.locate import find_model

COMMAND = "golden record"
REFEREE = "embedx:exact"
LARGEST_COPY = 64 * 2**20
"""A model file of more bytes is not copied beside its golden."""

PathLike = str | os.PathLike[str]


def record(
    model: PathLike | None,
    folder: PathLike,
    *,
    inputs: PathLike | None = None,
    texts: Sequence[str] | None = None,
    with_: str = REFEREE,
    copy_model: bool = True,
) -> tuple[int, bool]:
    """Write what a model gives as data sets, and say how many they are, and if the model is there.

    ``inputs`` are feeds in files (see :func:`data_sets.feeds_from`), or are made of ``texts`` by
    the model's tokenizer, or are made up. The engine ``with_`` runs the model: embedx in exact
    precision, which gives the same bits everywhere, or one of ``candidates.ENGINES``. What an
    earlier recording left in the folder is replaced, and nothing else (``own_files``). The model is
    copied to ``model.onnx`` unless it has data beside it, or more than 64 MiB. It can have a name
    instead of a path.

    Raises InputError, ModelError or ConfigError for what cannot be run, ConfigError for a folder
    with files of others, OutputError for one that cannot be written.
    """
    path, target = find_model(model), Path(folder)
    with loading():
        graph = normal_form(read_model(path))
    check_own(target, COMMAND, [path, *(file.path for file in graph.files)])
    feeds = feeds_of(path, graph, inputs=inputs, texts=texts)
    results = [_outputs(path, graph, one, with_) for one in feeds]
    keep = copy_model and len(graph.files) == 1 and path.stat().st_size <= LARGEST_COPY
    remove_own(target, COMMAND)
    if keep:
        try:
            shutil.copyfile(path, target / "model.onnx")
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    for number, (one, outputs) in enumerate(zip(feeds, results, strict=True)):
        write_data_set(target / f"test_data_set_{number}", graph, one, outputs)
    list_own(target, COMMAND)
    return len(feeds), keep


def feeds_of(
    model: Path,
    graph: Graph,
    *,
    inputs: PathLike | None = None,
    texts: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """The feeds of some runs: from files, made of texts, or made up."""
    if inputs is not None and texts is not None:
        raise ConfigError("inputs are given, or made of texts, not both")
    if inputs is not None:
        return feeds_from(inputs, graph)
    if texts is not None:
        return [dict(feeds) for feeds in text_feeds(model, texts)]
    return made_up_feeds(Engine(graph, precision="exact"))


def is_of(folder: PathLike, feeds: Sequence[Mapping[str, Any]], graph: Graph) -> bool:
    """Whether a golden was recorded of just these feeds."""
    found = [data_set.inputs for data_set in read_data_sets(folder, graph)]
    return len(found) == len(feeds) and all(map(_same, found, feeds))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if a is None or b is None:
        return a is b
    x, y = np.asarray(a), np.asarray(b)
    equal = x.tolist() == y.tolist() if x.dtype == object else x.tobytes() == y.tobytes()
    return (x.dtype, x.shape) == (y.dtype, y.shape) and equal


def golden_model(folder: PathLike, model: PathLike | None = None) -> Path:
    """The model that a golden is to be held against: the one that is given, or the one in it."""
    if model is not None:
        return find_model(model)
    path = Path(folder) / "model.onnx"
    if not path.is_file():
        raise InputError(f"{folder} has no model.onnx; name the model that is to be checked")
    return path


def _outputs(path: Path, graph: Graph, feeds: Mapping[str, Any], engine: str) -> list[Any]:
    names = [v.name for v in graph.outputs]
    with tempfile.TemporaryDirectory(prefix="embedx-") as folder:
        candidate = candidate_of(path, graph, engine, Path(folder), inner=False)
        try:
            found = dict(candidate.values(feeds, names, {}))
        finally:
            candidate.close()
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(f"{engine} gives no value of {', '.join(missing)} that could be written")
    return [found[name] for name in names]


def check(
    folder: PathLike,
    model: PathLike | None = None,
    *,
    with_: str | None = None,
    allow: Verdict = "quantization",
) -> list[Comparison]:
    """What was recorded against what exact arithmetic gives now, and the engine ``with_`` as well.

    The engine runs on the recorded inputs, and has a comparison of its own. Raises InputError for
    a folder in which data sets, or outputs of the model, are missing, or a model that is not there,
    and what ``compare`` raises.
    """
    path = golden_model(folder, model)
    _check_whole(Path(folder), path)
    found = [compare(path, Path(folder), allow=allow)]
    if with_ is not None:
        found.append(compare(path, with_=with_, inputs=Path(folder), allow=allow))
    return found


def _check_whole(folder: Path, model: Path) -> None:
    """Raise InputError for a golden in which something is missing that was recorded."""
    if not any(folder.glob("test_data_set_*")):
        raise InputError(f"{folder} has no test_data_set_0; embedx golden record writes one")
    for name in own_files(folder, COMMAND):
        if name.endswith(".pb") and not (folder / name).is_file():
            raise InputError(f"{folder} lacks {name}, which was recorded; record it anew")
    with loading():
        graph = normal_form(read_model(model))
    for data_set in read_data_sets(folder, graph):
        for place, output in enumerate(graph.outputs):
            if output.name not in data_set.outputs:
                raise InputError(
                    f"{folder / data_set.name} has no value of the output {output.name!r} "
                    f"(output_{place}.pb); record it anew"
                )


def golden_document(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The comparisons of a golden as JSON can hold them."""
    return {
        "schema": "embedx.golden/1",
        "verdict": worst(comparison.verdict for comparison in comparisons),
        "exit": int(not all(comparison.passed for comparison in comparisons)),
        "comparisons": [comparison.document for comparison in comparisons],
    }
