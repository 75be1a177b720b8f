"""Inputs and outputs of a model in files: ONNX's own layout of test data, and NumPy's files.

ONNX's layout is a folder with ``model.onnx`` and folders ``test_data_set_0``, ``test_data_set_1``
and so on, each with ``input_0.pb``, ``input_1.pb``, ..., ``output_0.pb``, ... in the graph's order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedx.errors import InputError, OutputError
from embedx.model.graph import Array, Graph, TensorType, Value
from embedx.model.value_file import read_value, write_value
from embedx.ops import Value as Content
from embedx.oracle.array_files import read_npy, read_npz
from embedx.run.feeds import checked_feeds


@dataclass(frozen=True, eq=False)
class DataSet:
    """What goes into a model once, and what should come out, by name."""

    name: str
    inputs: Mapping[str, Content]
    outputs: Mapping[str, Content]
    """Not all of the model's, perhaps, but none that it does not have."""


def read_data_sets(folder: str | os.PathLike[str], graph: Graph) -> list[DataSet]:
    """The data sets ``test_data_set_N`` in a folder, or the one that the folder itself is.

    The names in the files count if all of them are the graph's, else the numbers of the files do.
    Raises InputError naming the file for what cannot be read, or does not fit the graph.
    """
    places = _places(Path(folder))
    if not places:
        raise InputError(f"{folder} has no test_data_set_0, and no input_0.pb either")
    return [_data_set(place, graph) for place in places]


def write_data_set(
    folder: str | os.PathLike[str], graph: Graph, inputs: Mapping[str, Any], outputs: Sequence[Any]
) -> None:
    """Write one data set into a folder, which is made if need be; ``outputs`` as the graph's.

    The proto of each file is the one of the declared type. Raises InputError for what no file can
    hold, OutputError if it cannot be written.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for old in (*place.glob("input_*.pb"), *place.glob("output_*.pb")):
            old.unlink()  # of a run with more inputs, say
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror or error}") from error
    fed = graph.inputs if inputs.keys() - {v.name for v in graph.feeds} else graph.feeds
    for i, edge in enumerate(fed):
        if edge.name in inputs:
            write_value(place / f"input_{i}.pb", edge.name, inputs[edge.name], edge.type)
    for i, (edge, output) in enumerate(zip(graph.outputs, outputs, strict=True)):
        write_value(place / f"output_{i}.pb", edge.name, output, edge.type)


def load_tensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors in a ``.npz``, a ``.npy`` or a ``.pb`` file (a TensorProto), by name.

    A ``.npy`` file's array, and a ``.pb`` file's without a name, has that of the file. Nothing is
    allocated that the file does not hold; pickled objects are refused. Raises InputError naming
    the file and the entry.
    """
    place = Path(path)
    if place.suffix == ".npz":
        return read_npz(place)
    if place.suffix == ".npy":
        return {place.stem: read_npy(place)}
    if place.suffix == ".pb":
        name, tensor = read_value(place)
        assert isinstance(tensor, np.ndarray)
        return {name or place.stem: tensor}
    raise InputError(f"{place}: tensors are read from .npz, .npy and .pb files")


def feeds_from(path: str | os.PathLike[str], graph: Graph) -> list[dict[str, Any]]:
    """The feeds in a file or a folder, by the names of the graph's inputs, checked against these.

    A folder is one of data sets (see :func:`read_data_sets`). A file (see :func:`load_tensors`)
    has the feeds of one run, or those of several if each array has one axis more than its input:
    the first axis counts the runs, as in WinML's tests. Names ``arr_0``, ``arr_1``, ... in a
    ``.npz`` stand for the inputs in order; elsewhere the name does not matter. Raises InputError
    naming the file and what was expected.
    """
    place = Path(path)
    if place.is_dir():
        return [dict(data_set.inputs) for data_set in read_data_sets(place, graph)]
    named = _named(load_tensors(place), graph, place)
    return [_checked(feeds, graph, place) for feeds in _runs(named, graph, place)]


def _places(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("test_data_set_*") if p.is_dir()]
    if found:
        return sorted(found, key=lambda p: (_number(p.name), p.name))
    return [folder] if any(folder.glob("input_*.pb")) or any(folder.glob("output_*.pb")) else []


def _number(name: str) -> int:
    digits = re.search(r"_([0-9]+)(\.pb)?$", name)
    return int(digits[1]) if digits else -1


def _data_set(place: Path, graph: Graph) -> DataSet:
    inputs = _side(place, "input", graph.inputs, graph.feeds)
    outputs = _side(place, "output", graph.outputs, graph.outputs)
    return DataSet(place.name, _checked(inputs, graph, place), outputs)


def _side(
    place: Path, side: str, edges: Sequence[Value], usual: Sequence[Value]
) -> dict[str, Content]:
    """The values of ``input_N.pb`` or ``output_N.pb``, where N counts the ``usual`` edges, or all.

    Old files feed what later ones have as weights, too.
    """
    paths = sorted((p for p in place.glob(f"{side}_*.pb")), key=lambda p: _number(p.name))
    numbers = [_number(p.name) for p in paths]
    counted = usual if max(numbers, default=0) < len(usual) else edges
    expected = f"the {side}s are {_listed(counted)}"
    for path, number in zip(paths, numbers, strict=True):
        if not 0 <= number < len(counted):
            raise InputError(f"{path} is one file too many; {expected}")
    read = [read_value(p, counted[n].type) for p, n in zip(paths, numbers, strict=True)]
    names = [name for name, _ in read]
    if set(names) - {v.name for v in edges} or len(set(names)) != len(names):
        names = [counted[number].name for number in numbers]
    elif names != [counted[number].name for number in numbers]:
        kinds = {v.name: v.type for v in edges}
        read = [read_value(path, kinds[name]) for path, name in zip(paths, names, strict=True)]
    return {name: value for name, (_, value) in zip(names, read, strict=True)}


def _listed(edges: Sequence[Value]) -> str:
    return ", ".join(f"{v.name!r} ({v.type})" for v in edges) or "none"


def _named(tensors: dict[str, Array], graph: Graph, place: Path) -> dict[str, Array]:
    """The tensors by the names of inputs, where the file gives them no names of their own."""
    feeds = [v.name for v in graph.feeds]
    counted = all(re.fullmatch(r"arr_[0-9]+", name) for name in tensors)
    if (
        len(tensors) != len(feeds)
        or tensors.keys() & {v.name for v in graph.inputs}
        or (place.suffix == ".npz" and not counted)
    ):
        return tensors
    return dict(zip(feeds, (tensors[k] for k in sorted(tensors, key=_number)), strict=True))


def _runs(tensors: dict[str, Array], graph: Graph, place: Path) -> list[dict[str, Array]]:
    """The tensors of each run: one, unless all of known rank have one axis more than declared."""
    types = {v.name: v.type for v in graph.inputs}
    more = {
        name: array.ndim - len(kind.shape)
        for name, array in tensors.items()
        if isinstance(kind := types.get(name), TensorType) and kind.shape is not None
    }
    if set(more.values()) != {1}:
        return [tensors]
    lengths = {name: len(array) if array.ndim else 0 for name, array in tensors.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        found = ", ".join(f"{name!r}: {length}" for name, length in lengths.items())
        raise InputError(
            f"{place}: each array has one axis more than its input, so the first counts the runs, "
            f"and should be equally long in all ({found})"
        )
    (count,) = set(lengths.values())
    return [{name: array[i] for name, array in tensors.items()} for i in range(count)]


def _checked(feeds: Mapping[str, Any], graph: Graph, place: Path) -> dict[str, Any]:
    types = {v.name: v.type for v in graph.inputs}
    typed = {name: _typed(value, types.get(name)) for name, value in feeds.items()}
    try:
        checked = checked_feeds(graph.inputs, graph.initializers.keys(), typed)
    except InputError as error:
        raise InputError(f"{place}: {error} (expected {_listed(graph.feeds)})") from error
    return {name: checked[name] for name in typed}


def _typed(value: Any, kind: Any) -> Any:
    """A tensor whose type NumPy's files do not know, such as bfloat16, in the declared one."""
    if not isinstance(value, np.ndarray) or not isinstance(kind, TensorType):
        return value
    unknown = value.dtype.kind == "V" and value.dtype.isbuiltin != 2
    fits = kind.dtype.kind == "V" and kind.dtype.itemsize == value.dtype.itemsize
    return value.view(kind.dtype) if unknown and fits else value
