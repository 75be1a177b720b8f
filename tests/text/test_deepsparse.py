"""DeepSparse's names and defaults, as its documentation has them, wherever embedx takes them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from embedx import ConfigError, Pipeline
from embedx.server.config import server_config
from embedx.server.options import add_arguments, config_of
from embedx.text.pipeline import PipelineConfig
from tests.tiny import HIDDEN, bert, deployment

TASKS = [
    "embedding_extraction",
    "transformer_embedding_extraction",
    "transformers_embedding_extraction",
]
DEFAULTS = ("transformers_embedding_extraction", -1, "per_token", 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployment(tmp_path_factory.mktemp("tiny"), bert())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("hyphens", [False, True])
def test_every_name_of_the_task_is_known_everywhere(folder: Path, task: str, hyphens: bool) -> None:
    name = task.replace("_", "-") if hyphens else task
    assert PipelineConfig(task=name).task == name
    assert Pipeline.create(name, model_path=folder, sequence_length=8)("a").embeddings
    (endpoint,) = server_config({"endpoints": [{"task": name, "model": "m"}]}).endpoints
    assert endpoint.task == name


def test_other_tasks_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as refused:
        PipelineConfig(task="question_answering")
    assert all(task in str(refused.value) for task in TASKS)


def test_defaults_are_the_same_everywhere() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (given,) = config_of(parser.parse_args(["m"])).endpoints
    (written,) = server_config({"endpoints": [{"model": "m"}]}).endpoints
    made = PipelineConfig()
    assert (
        made.task, made.emb_extraction_layer, made.extraction_strategy, made.sequence_length
    ) == DEFAULTS  # fmt: skip
    for endpoint in (given, written):
        assert (
            endpoint.task, endpoint.emb_extraction_layer, endpoint.extraction_strategy,
        ) == DEFAULTS[:3]  # fmt: skip
        assert endpoint.sequence_length is None  # DeepSparse's on its own routes


@pytest.mark.parametrize("strategy", ["per_token", "reduce_mean", "reduce_max", "cls_token"])
def test_each_strategy_is_known_and_has_the_width_that_it_says(folder: Path, strategy: str) -> None:
    made = Pipeline.create(model_path=folder, extraction_strategy=strategy, sequence_length=8)
    (embedding,) = made("the cat").embeddings
    assert len(embedding) == (8 if strategy == "per_token" else 1) * HIDDEN
