"""A real process: DeepSparse's snippets, clients that behave badly, and signals."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx import Pipeline, load
from tests.server.process import ROOT, Connection, Server, serving

MODEL = ("--task", "transformers_embedding_extraction", "--sequence_length", "32", "--model_path")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), *MODEL, str(folder)) as made:
        yield made


FIRST_SNIPPET = """
import requests

# Uvicorn is running on this port
url = 'http://0.0.0.0:5543/predict'

# send the data
obj = {"inputs": "The transformers embedding extraction Pipeline is the best!"}
resp = requests.post(url=url, json=obj)

# recieve the post-processed output
print(resp.text)
# >> {[[0.022315271198749542,0.02142658829689026, ... ,0.01950429379940033]]}
"""

SECOND_SNIPPET = """
import requests, json
# Uvicorn is running on this port
url = 'http://0.0.0.0:5543/predict'

# send the data
obj = {"inputs": "The transformers embedding extraction Pipeline is the best!"}
resp = requests.post(url=url, json=obj)

# recieve the post-processed output
print(resp.text)
# >> {[[0.022315271198749542,0.02142658829689026, ... ,0.01950429379940033]]}
resp = requests.post(url=url, json=obj)
result = json.loads(resp.text)
print(len(result["embeddings"][0]))
# 768
"""


def needs_the_seeds_port() -> None:
    pytest.importorskip("requests")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 5543))
        except OSError:
            pytest.skip("port 5543 is taken")


def snippet(text: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    )
    return result.stdout.splitlines()


def test_the_seeds_first_snippet(folder: Path, tmp_path: Path) -> None:
    needs_the_seeds_port()
    with serving(tmp_path, *MODEL, str(folder), port=5543):
        (line,) = snippet(FIRST_SNIPPET)
    text = "The transformers embedding extraction Pipeline is the best!"
    wanted = Pipeline.create(model_path=folder, sequence_length=32)(text).embeddings
    np.testing.assert_allclose(json.loads(line)["embeddings"], wanted, rtol=0, atol=1e-5)


def test_the_seeds_second_snippet(folder: Path, tmp_path: Path) -> None:
    needs_the_seeds_port()
    pytest.importorskip("yaml")
    config = tmp_path / "config.yaml"
    config.write_text(
        "endpoints:\n"
        "    - task: transformers_embedding_extraction\n"
        f"      model: {folder}\n"
        "      kwargs:\n"
        "        sequence_length: 64       # uses sequence length 64\n"
        "        extraction_strategy: reduce_mean\n"
    )
    with serving(tmp_path, "--config_file", str(config), port=5543):
        assert snippet(SECOND_SNIPPET)[-1] == "16"


def test_the_official_openai_client(server: Server, folder: Path) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    texts = ["the cat sat", "a dog"]
    wanted = load(folder, max_seq_length=32).encode(texts, normalize_embeddings=True)
    (model,) = client.models.list().data
    for form in ("float", "base64", openai.NOT_GIVEN):  # by itself it asks for base64
        answer = client.embeddings.create(input=texts, model=model.id, encoding_format=form)
        found = [item.embedding for item in answer.data]
        if form == "base64":
            import base64

            found = [np.frombuffer(base64.b64decode(f), "<f4") for f in found]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
        assert answer.usage.prompt_tokens == 9
    shorter = client.embeddings.create(input="a", model=model.id, dimensions=4)
    assert len(shorter.data[0].embedding) == 4
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.embeddings.create(input="a", model="other")
    with pytest.raises(openai.UnprocessableEntityError, match="an empty list"):
        client.embeddings.create(input=[], model=model.id)
    client.close()


def raw(server: Server, data: bytes, seconds: float = 15) -> bytes:
    """What the server says until it hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def test_a_body_that_is_too_large(server: Server) -> None:
    status, answer = server.post("/embed", b" " * 3_000_000)
    assert (status, b"larger than 2000000 bytes" in answer) == (413, True)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    head = b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answer = raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_slow_clients_are_hung_up_on_and_hold_up_nobody(server: Server) -> None:
    """One never ends its headers (no answer), one its body (408)."""
    connections = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(40)]
    start = time.monotonic()
    for i, connection in enumerate(connections):
        head = b"POST /embed HTTP/1.1\r\nHost: a\r\n"
        connection.sendall(head + (b"Content-Length: 100\r\n\r\n{" if i % 2 else b"X-Slow: "))
    assert server.post("/embed", {"inputs": "a cat"})[0] == 200
    assert time.monotonic() - start < 4
    for i, connection in enumerate(connections):
        connection.settimeout(20)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ") if i % 2 else answer == b""
        connection.close()


def test_headers_without_end(server: Server) -> None:
    assert raw(server, b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000).startswith(b"HTTP/1.1 400 ")


def test_head_leaves_the_connection_in_order(server: Server) -> None:
    head = b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = raw(
        server, head + head.replace(b"HEAD", b"GET").replace(b": a", b": a\r\nConnection: close")
    )
    first, second, body = answers.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 4" in first
    assert second.startswith(b"HTTP/1.1 200 ")
    assert body == b"true"


def test_a_client_that_goes_away_is_forgotten(server: Server) -> None:
    body = json.dumps({"inputs": ["the cat sat on the mat"] * 32}).encode()
    head = b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    for _ in range(100):
        page = server.get("/metrics")[1]
        if b"embedx_requests_in_flight 0" in page and b"embedx_queued_texts 0" in page:
            return
        time.sleep(0.05)
    raise AssertionError(page)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--model_path", "/nowhere"), 4, "no such file or folder: /nowhere"),
        (("m", "--task", "nothing"), 2, "there is no task 'nothing'"),
        (("m", "--log_level", "loud"), 2, "log_level is 'loud'"),
        (("--config_file", "/nowhere.yaml"), 2, "cannot read /nowhere.yaml"),
        (("m", "--host", "256.0.0.1"), 2, "cannot listen on 256.0.0.1"),
        (("m", "--port", "65536"), 2, "port is 65536, expected 0 (any free one) to 65535"),
        (("m", "--port=-1"), 2, "port is -1, expected 0 (any free one) to 65535"),
        (("m", "--port", "22:30"), 2, "invalid int value: '22:30'"),
    ],
)
def test_starting_in_vain(arguments: tuple[str, ...], code: int, message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "embedx", "serve", "--port", "0", *arguments],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
        env={**os.environ, "EMBEDX_PORT": "0"},  # the usual one may be taken
    )  # fmt: skip
    assert (result.returncode, message in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr


def test_sigterm_under_load_loses_nothing(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path, *MODEL, str(folder)) as server:
        found = asyncio.run(asyncio.wait_for(_until_refused(server), 120))
        assert server.process.wait(30) == 0
        log = server.log.read_text()
    assert found["lost"] == 0
    assert found["200"] == log.count('"path": "/embed", "status": 200') > 50
    assert set(found) <= {"200", "refused", "lost"}
    assert "Traceback" not in log


async def _until_refused(server: Server) -> Counter[str]:
    """Answers, refused connections, and requests that were taken and not answered."""
    found: Counter[str] = Counter(lost=0)

    async def client(number: int) -> None:
        choose = random.Random(number)
        connection = Connection(server.port)
        while True:
            body = json.dumps({"inputs": ["a cat"] * choose.randint(1, 32)}).encode()
            fresh = not connection.connected
            try:
                status, _ = await connection.post("/embed", body)
            except (OSError, EOFError):
                # A connection that nobody had accepted yet ends like one that is refused.
                found["refused" if fresh else "lost"] += 1
                return
            found[str(status)] += 1

    clients = [asyncio.create_task(client(i)) for i in range(32)]
    await asyncio.sleep(1.5)
    server.terminate()
    await asyncio.gather(*clients)
    return found


def test_sigint_ends_the_process_as_shells_expect(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path, *MODEL, str(folder)) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 130


def eventually(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_configuration_is_reloaded_as_a_whole_or_not_at_all(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("yaml")
    config = tmp_path / "config.yaml"
    kwargs = "kwargs: {sequence_length: 32}"
    first = f"admin: true\nendpoints:\n  - {{model: {folder}, name: one, {kwargs}}}\n"
    config.write_text(first)
    with serving(tmp_path, "--config-file", str(config), "--hot-reload-config") as server:

        def names() -> list[str]:
            return [m["id"] for m in json.loads(server.get("/v1/models")[1])["data"]]

        def error() -> str | None:
            found: str | None = json.loads(server.get("/config")[1])["reload_error"]
            return found

        assert names() == ["one"]
        config.write_text(f"{first}  - {{model: {folder}, route: two, {kwargs}}}\n")
        eventually(lambda: names() == ["one", "two"])
        assert server.post("/two", {"inputs": "a"})[0] == 200
        assert error() is None
        config.write_text(f"{first}  - {{model: {folder}, ruote: three}}\n")
        eventually(lambda: error() is not None)
        assert "did you mean 'route'" in str(error())
        assert names() == ["one", "two"]
        status, answer = server.post("/reload", {})
        assert (status, b"did you mean 'route'" in answer) == (409, True)
        config.write_text(first)
        eventually(lambda: names() == ["one"])
        assert (error(), server.post("/two", {"inputs": "a"})[0]) == (None, 404)
        assert b'embedx_config_reloads_total{result="done"}' in server.get("/metrics")[1]
    assert "the configuration stays as it was" in server.log.read_text()
