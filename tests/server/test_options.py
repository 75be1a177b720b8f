"""Options, and the environment that stands in for them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from embedx.errors import ConfigError
from embedx.server.config import ServerConfig
from embedx.server.options import add_arguments, config_of


def parsed(*arguments: str) -> ServerConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return config_of(parser.parse_args(arguments))


def test_options() -> None:
    config = parsed(
        "--task", "embedding_extraction", "--model-path", "m", "--sequence-length", "8,16"
    )
    (endpoint,) = config.endpoints
    assert (endpoint.model, endpoint.name) == ("m", "embedding_extraction")
    assert (endpoint.sequence_length, endpoint.route) == ((8, 16), "/predict")
    assert parsed("m", "--port", "1").endpoints[0].model == "m"
    assert parsed("m", "--emb-extraction-layer", "2").endpoints[0].emb_extraction_layer == 2


def test_the_environment_stands_in_for_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDX_PORT", "7000")
    monkeypatch.setenv("EMBEDX_API_KEY", "secret")
    monkeypatch.setenv("EMBEDX_ADMIN", "yes")
    config = parsed("m")
    assert (config.port, config.api_key, config.admin) == (7000, "secret", True)
    assert parsed("m", "--port", "1").port == 1
    monkeypatch.setenv("EMBEDX_ADMIN", "perhaps")
    with pytest.raises(ConfigError, match="EMBEDX_ADMIN is 'perhaps'"):
        parsed("m")


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("port: 1\nnum_cores: 3\nendpoints: [{model: m}]")
    config = parsed("--config-file", str(path), "--port", "2")
    assert (config.port, config.num_cores) == (2, 3)
    with pytest.raises(ConfigError, match="--task belongs into the configuration file"):
        parsed("--config-file", str(path), "--task", "embedding_extraction")


def test_following_a_file_needs_a_file() -> None:
    with pytest.raises(ConfigError, match="--hot-reload-config needs a --config-file"):
        parsed("m", "--hot-reload-config")
