"""Prometheus' text format."""

from __future__ import annotations

import re

from embedx.server.metrics import Histogram, Metrics


def test_a_histogram_counts_from_below() -> None:
    histogram = Histogram("h", "Help.", (1, 2), "route")
    for value in (0.5, 1, 1.5, 9):
        histogram.observe(value, '/a"b')
    lines = list(histogram.lines())
    assert lines[2:5] == [
        'h_bucket{route="/a\\"b",le="1"} 2',
        'h_bucket{route="/a\\"b",le="2"} 3',
        'h_bucket{route="/a\\"b",le="+Inf"} 4',
    ]
    assert lines[5:] == ['h_sum{route="/a\\"b"} 12.000000', 'h_count{route="/a\\"b"} 4']


def test_the_page_has_the_form_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.requests.add(1, "GET", "/health", "200")
    metrics.latency.observe(0.2, "/health")
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? \S+')
    for line in metrics.page(queued_texts=3).splitlines():
        assert line.startswith(("# HELP embedx_", "# TYPE embedx_")) or sample.fullmatch(line)
