"""Health, facts and metrics."""

from __future__ import annotations

from typing import Any


def test_health_and_facts(client: Any) -> None:
    for path in ("/health", "/healthcheck", "/ping", "/status"):
        assert client.get(path).json() is True
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert client.get(path).json()["status"] == "OK"
    info = client.get("/info").json()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["model_dtype"], info["max_input_length"]) == ("float32", 32)
    assert client.get("/config").json()["endpoints"][0]["name"] == "tiny"
    assert "text/html" in client.get("/").headers["content-type"]
    assert client.get("/docs").status_code == 200
    assert client.post("/reload").status_code == 404


def test_metrics_count_what_happens(client: Any) -> None:
    client.post("/embed", json={"inputs": ["a", "the cat"]})
    client.post("/embed", json={"inputs": []})
    page = client.get("/metrics").text
    assert 'embedx_requests_total{method="POST",route="/embed",status="200"} 1' in page
    assert 'embedx_requests_total{method="POST",route="/embed",status="422"} 1' in page
    assert "embedx_texts_total 2" in page
    assert "embedx_requests_in_flight 0" in page
