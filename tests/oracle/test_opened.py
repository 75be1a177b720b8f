"""Models, candidates and feeds, from whatever they lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import ConfigError, InputError, ModelError
from embedx.model.onnx_file import read_model
from embedx.oracle.data_sets import write_data_set
from embedx.oracle.opened import opened, read_source
from embedx.run.engine import Engine
from tests.tiny import bert


def test_a_model_may_be_path_bytes_proto_or_graph(tmp_path: Path) -> None:
    onnx.save(bert(), tmp_path / "model.onnx")
    data = (tmp_path / "model.onnx").read_bytes()
    for source in (tmp_path / "model.onnx", data, bert(), read_model(data)):
        found = read_source(source, tmp_path / "written.onnx")
        assert found.path.is_file()
        assert len(found.graph.nodes) == len(read_source(data, tmp_path / "again.onnx").graph.nodes)
    assert read_source(tmp_path / "model.onnx", tmp_path / "no.onnx").path.name == "model.onnx"
    assert not (tmp_path / "no.onnx").exists()


def test_a_folder_of_test_data_is_inputs_and_outputs(tmp_path: Path) -> None:
    engine = Engine(bert(), precision="exact")
    feeds = dict(zip(engine.input_names, engine.generate_random_inputs(2, 5), strict=True))
    write_data_set(tmp_path / "test_data_set_0", engine.graph, feeds, engine.run(feeds))
    with opened(bert(), tmp_path, "embedx", None, None, inner=False) as it:
        assert len(it.feeds) == 1
        np.testing.assert_array_equal(it.feeds[0]["input_ids"], feeds["input_ids"])
        assert it.pairs(inner=False) == {"last_hidden_state": "last_hidden_state"}
        assert it.file is None


def test_two_files_are_paired_by_what_they_hold(tmp_path: Path) -> None:
    with opened(bert(opset=17), bert(opset=13), "embedx:plain", None, None, inner=True) as it:
        pairs = it.pairs()
        assert it.theirs is not None
        assert it.file is not None
        ours, theirs = it.referee.graph.producers(), it.theirs.producers()
    kinds = [(ours[a].op_type, theirs[b].op_type) for a, b in pairs.items()]
    assert sum(a == b == "MatMul" for a, b in kinds) == 16
    assert sum(a == b == "Softmax" for a, b in kinds) == 2


@pytest.mark.parametrize(
    ("candidate", "options", "error", "message"),
    [
        (None, {"inputs": {}, "texts": ["a"]}, ConfigError, "not both"),
        ({"last_hidden_state": np.zeros(1)}, {}, ConfigError, "give these, too"),
        (b"PK\x03\x04", {}, ModelError, "zip archive"),
        ("no.onnx", {}, InputError, "no such file"),
    ],
)
def test_what_does_not_fit_is_refused(
    candidate: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    feeds = {"inputs": None, "texts": None, **options}
    with (
        pytest.raises(error, match=message),
        opened(bert(), candidate, "embedx", **feeds, inner=False),
    ):
        pass
