"""What ``/metrics`` shows, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Counts:
    """Counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "res2net_requests",
            "Requests by path and code",
            ("path", "code"),
            registry=self._registry,
        )
        self.latency = Histogram(
            "res2net_request_seconds",
            "From the request's first byte to the response's last",
            ("path",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.inference = Histogram(
            "res2net_inference_seconds",
            "Of a network for an image",
            ("model",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.depth = Gauge(
            "res2net_queue_depth", "Images that wait", ("model",), registry=self._registry
        )

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
