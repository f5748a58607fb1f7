"""Load test of ``res2net serve``: answered and retried requests, and latencies."""

from __future__ import annotations

import asyncio
import math
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from res2net.bench.options import ServeOptions
from res2net.bench.protocol import LIBRARIES, Measurement, Track, versions_of
from res2net.errors import UserError
from res2net.serve.examples import example_photos

START_SECONDS = 120  # limit until the server is ready
ANSWER_SECONDS = 120  # limit after which a request counts as hung
ALONE = 30  # requests of a single client, for the latency without load


def run(options: ServeOptions, track: Track) -> Measurement:  # noqa: ARG001  the crowd is all at once
    """Load a server in its own process on the loopback interface.

    Raises:
        UserError: the server does not start.
    """
    photos = [photo for photo in example_photos() if photo.suffix == ".jpg"]
    with running([options.artifact, "--queue", str(options.queue)]) as address:
        model = httpx.get(f"{address}/v1/models", timeout=ANSWER_SECONDS).json()["models"][0]
        crowd = measure(address, photos, clients=options.clients, requests=options.requests)
    return Measurement(rows=[figures(model, crowd, options)], lines=[crowd.line()])


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The outcome of one request."""

    status: int  # final HTTP status; 0 without an answer
    refused: int  # number of 429 answers
    last: float  # seconds of the last attempt
    whole: float  # seconds including all attempts and waits
    fault: str = ""  # why there was no answer


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """The outcome of all requests."""

    asked: tuple[Asked, ...]
    seconds: float  # for all
    alone: float  # seconds, median of a single client's requests before the load

    def with_status(self, status: int) -> int:
        """Number of requests with this final status."""
        return Counter(each.status for each in self.asked)[status]

    @property
    def refused_first(self) -> int:
        """Number of requests with at least one 429."""
        return sum(each.refused > 0 for each in self.asked)

    def percentile(self, share: float, of: Callable[[Asked], float]) -> float:
        """95th percentile of the answered requests."""
        answered = [of(each) for each in self.asked if each.status == 200]
        return float(np.percentile(answered, share)) if answered else math.nan

    def line(self) -> str:
        """For people."""
        last, whole = (1000 * self.percentile(95, of) for of in (_last, _whole))
        faults = ", ".join(sorted({each.fault for each in self.asked if each.fault}))
        return (
            f"{len(self.asked)} requests: {self.with_status(200)} answered, "
            f"{self.refused_first} of them after a 429 and retry, {self.with_status(0)} lost or "
            f"hung{f' ({faults})' if faults else ''}; p95 {last:.0f} ms, with retries "
            f"{whole:.0f} ms; one client alone {1000 * self.alone:.0f} ms"
        )


def _last(asked: Asked) -> float:
    return asked.last


def _whole(asked: Asked) -> float:
    return asked.whole


def figures(model: Mapping[str, Any], crowd: Crowd, options: ServeOptions) -> dict[str, object]:
    """The row of a results file."""
    answered, hung = crowd.with_status(200), crowd.with_status(0)
    return {
        **{name: model[name] for name in ("network", "task", "engine", "pixels")},
        **{name: getattr(options, name) for name in ("clients", "requests", "queue")},
        "answered": answered,
        "refused_first": crowd.refused_first,
        "other_status": options.requests - answered - hung,
        "lost_or_hung": hung,
        "per_second": round(answered / crowd.seconds, 1),
        "alone_median_ms": round(1000 * crowd.alone, 1),
        "p50_ms": round(1000 * crowd.percentile(50, _last), 1),
        "p95_ms": round(1000 * crowd.percentile(95, _last), 1),
        "p95_with_retries_ms": round(1000 * crowd.percentile(95, _whole), 1),
        **versions_of(*LIBRARIES),
    }


def measure(
    address: str, photos: Sequence[Path], *, clients: int, requests: int, token: str | None = None
) -> Crowd:
    """Let ``clients`` send ``requests`` in total, each the next one after its answer.

    A client that gets a 429 waits as long as the server requests, then retries.
    """
    bodies = [photo.read_bytes() for photo in photos]
    headers = {"Content-Type": "application/octet-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"

    async def whole() -> Crowd:
        limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
        async with httpx.AsyncClient(
            base_url=address, headers=headers, limits=limits, timeout=ANSWER_SECONDS
        ) as http:
            alone = [await _ask(http, bodies[0]) for _ in range(ALONE)]
            numbers = iter(range(requests))
            asked: list[Asked] = []

            async def client() -> None:
                for number in numbers:  # shared by all clients
                    asked.append(await _ask(http, bodies[number % len(bodies)]))

            start = time.perf_counter()
            await asyncio.gather(*(client() for _ in range(clients)))
            return Crowd(
                asked=tuple(asked),
                seconds=time.perf_counter() - start,
                alone=statistics.median(each.last for each in alone),
            )

    return asyncio.run(whole())


async def _ask(http: httpx.AsyncClient, body: bytes) -> Asked:
    start = last = time.perf_counter()
    refused, status, fault = 0, 0, ""
    try:
        while True:
            last = time.perf_counter()
            response = await http.post("/v1/predict", content=body)
            status = response.status_code
            if status != 429:
                break
            refused += 1
            await asyncio.sleep(float(response.headers["Retry-After"]))
    except httpx.HTTPError as error:
        status, fault = 0, type(error).__name__
    end = time.perf_counter()
    return Asked(status=status, refused=refused, last=end - last, whole=end - start, fault=fault)


@contextmanager
def running(words: Sequence[str]) -> Iterator[str]:
    """Run ``res2net serve`` with these words on a free port; yield its URL, and stop it at the end.

    Raises:
        UserError: it does not start; the message has its last output.
    """
    command = [sys.executable, "-m", "res2net", "serve", *words, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if found := re.match(r"page: (\S+)", line):
                timer.cancel()
                yield found.group(1)
                return
        last = " ".join(said[-1:]).removeprefix("res2net: ")
        raise UserError(f"the server did not start: {last}")
    finally:
        timer.cancel()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
