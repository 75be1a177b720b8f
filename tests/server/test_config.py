"""Configurations: DeepSparse's file unchanged, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from embedx.errors import ConfigError
from embedx.server.config import ServerConfig, read_server_config, server_config

SEED = """
# config.yaml
endpoints:
    - task: transformers_embedding_extraction
      model: zoo:nlp/masked_language_modeling/obert-base/pytorch/huggingface/a/b
      kwargs:
        sequence_length: 64       # uses sequence length 64
        extraction_strategy: reduce_mean
"""


def read(path: Path, text: str) -> ServerConfig:
    path.write_text(text)
    return read_server_config(path)


def test_the_seeds_file(tmp_path: Path) -> None:
    config = read(tmp_path / "config.yaml", SEED)
    (endpoint,) = config.endpoints
    assert (endpoint.name, endpoint.route) == ("transformers_embedding_extraction-0", "/predict")
    assert (endpoint.sequence_length, endpoint.extraction_strategy) == (64, "reduce_mean")
    assert (config.host, config.port) == ("127.0.0.1", 5543)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    pytest.importorskip("tomllib")
    values = {
        "num_cores": 2,
        "endpoints": [{"model": "m", "bucketing": {"sequence_lengths": [8, 16]}}],
    }
    toml = '[[endpoints]]\nmodel = "m"\nbucketing = {sequence_lengths = [8, 16]}\n'
    config = read(tmp_path / "c.json", json.dumps(values))
    assert read(tmp_path / "c.toml", f"num_cores = 2\n{toml}") == config
    assert config.endpoints[0].sequence_length == (8, 16)


def test_what_deepsparse_has_and_embedx_does_without_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "embedx.server"):
        config = server_config(
            {
                "loggers": {},
                "engine_thread_pinning": "core",
                "endpoints": [{"model": "m", "kwargs": {"engine_type": "deepsparse"}}],
            }
        )
    assert "loggers, engine_thread_pinning has no effect" in caplog.text
    assert "engine_type has no effect" in caplog.text
    assert config == server_config({"endpoints": [{"model": "m"}]})


def test_names_and_routes_are_normalised() -> None:
    config = server_config(
        {"endpoints": [{"model": "m"}, {"route": " a//b/ "}, {"route": "x", "name": "org/x"}]}
    )
    assert [e.route for e in config.endpoints] == ["/predict", "/a/b", "/x"]
    assert [e.name for e in config.endpoints] == [
        "transformers_embedding_extraction-0",
        "a-b",
        "org-x",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "endpoints must be a list"),
        ({"endpoints": []}, "endpoints must be a list"),
        ({"endpoints": ["m"]}, "endpoint 0 is str, expected a mapping"),
        ({"endpoint": [{}]}, "has no 'endpoint'; did you mean 'endpoints'?"),
        ({"endpoints": [{"ruote": "/a"}]}, "endpoint 0 has no 'ruote'; did you mean 'route'?"),
        ({"endpoints": [{"kwargs": {"sequence_lenght": 2}}]}, "did you mean 'sequence_length'?"),
        ({"endpoints": [{"bucketing": {"image_sizes": []}}]}, "has no 'image_sizes'"),
        ({"endpoints": [{"sequence_length": 4}]}, "sequence_length belongs under kwargs"),
        ({"endpoints": [{"kwargs": 3}]}, "kwargs and bucketing are mappings"),
        ({"endpoints": [{"model": 3}]}, "model is 3, expected none or str"),
        ({"endpoints": [{}], "num_cores": True}, "num_cores is True, expected int or none"),
        ({"endpoints": [{}], "num_cores": 0}, "num_cores is 0, expected at least 1"),
        ({"endpoints": [{}], "timeout": float("nan")}, "timeout is nan, expected at least 0"),
        ({"endpoints": [{}], "port": "5543"}, "port is '5543', expected int"),
        ({"endpoints": [{}], "port": 65536}, "port is 65536, expected 0 (any free one) to 65535"),
        ({"endpoints": [{}], "port": -1}, "port is -1, expected 0 (any free one) to 65535"),
        (
            {"endpoints": [{"route": "/a"}, {"route": "A/"}]},
            "endpoints 0 and 1 have the same route",
        ),
        ({"endpoints": [{"name": "a"}, {"name": " A"}]}, "endpoints 0 and 1 have the same name"),
        ({"endpoints": [{"route": "/v1/embeddings"}]}, "the server itself answers on"),
        ({"endpoints": [{"route": "/a?b"}]}, "is no path such as /minilm"),
        ({"endpoints": [{"name": "a?b"}]}, "characters that no URL wants"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        server_config(values)
    assert message in str(error.value)


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.toml"):
        read(tmp_path / "c.toml", "endpoints = [")
    with pytest.raises(ConfigError, match=r"c\.yaml: endpoints must"):
        read(tmp_path / "c.yaml", "num_cores: 2")


def test_a_port_in_base_60_is_no_port(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(ConfigError, match=r"c\.yaml: line 1: YAML reads 22:30 as 1350"):
        read(tmp_path / "c.yaml", "port: 22:30\nendpoints: [{model: m}]")
