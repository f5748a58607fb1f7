"""One thread per network with a bounded queue, shared by the page and the API."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from res2net.errors import UserError, arguments_named, check_needs, did_you_mean
from res2net.serve.answer import Answer, Query, Served
from res2net.serve.refusal import Refusal, report
from res2net.serve.uploads import read_upload

MOST_CLASSES = 100  # per request
MOST_DETECTIONS = 300  # per request: in Mask R-CNN each has a mask of the image's size
SIDES = (32, 4096)  # pixels of a picture
LONGEST_WAIT = 60  # seconds: the largest Retry-After


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
            "Inference time of a network per image",
            ("model",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.depth = Gauge(
            "res2net_queue_depth", "Waiting images", ("model",), registry=self._registry
        )

    def text(self) -> bytes:
        """All counters, as Prometheus reads them."""
        return generate_latest(self._registry)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what is accepted."""

    waiting: int = 32  # queued requests per network, besides the one in work
    max_bytes: int = 16 * 2**20  # per upload
    max_pixels: int = 50_000_000


class Worker:
    """The thread of a network, and its queue."""

    def __init__(self, served: Served, limits: Limits, counts: Counts) -> None:
        self.served = served
        self._limits = limits
        self._counts = counts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"network-{served.name}")
        self._lock = threading.Lock()
        self._unfinished = 0
        self._seconds = 0.1  # per image, a running mean
        counts.depth.labels(served.name).set_function(lambda: self.depth)

    @property
    def unfinished(self) -> int:
        """Number of requests that wait or are in work."""
        return self._unfinished

    @property
    def depth(self) -> int:
        """Number of requests that wait."""
        return max(self._unfinished - 1, 0)

    def check_room(self) -> None:
        """Refuse before the upload is read if it could not wait anyway.

        Raises:
            Refusal: 429, with the seconds after which there should be space.
        """
        if self._unfinished > self._limits.waiting:
            raise self._full()

    def submit(self, data: bytes, name: str, query: Query) -> Future[Answer]:
        """Queue an image.

        Raises:
            Refusal: 429 if the queue is full.
        """
        with self._lock:
            if self._unfinished > self._limits.waiting:
                raise self._full()
            self._unfinished += 1
        future = self._thread.submit(self._work, data, name, query)
        future.add_done_callback(self._finished)
        return future

    def close(self) -> None:
        """End the thread once its work is done."""
        self._thread.shutdown()

    def _work(self, data: bytes, name: str, query: Query) -> Answer:
        start = time.perf_counter()
        pixels = read_upload(
            data, name, max_pixels=self._limits.max_pixels, reading=self.served.reading
        )
        try:
            answer = self.served.predict(pixels, query)
        except UserError as error:
            raise Refusal(422, str(error)) from None
        except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
            report(f"{self.served.name} failed on an image", error)
            raise Refusal(
                500, f"{self.served.name} failed on this image ({type(error).__name__})"
            ) from error
        taken = time.perf_counter() - start
        self._seconds += 0.2 * (taken - self._seconds)
        self._counts.inference.labels(self.served.name).observe(answer.milliseconds / 1000)
        return answer

    def _finished(self, _: Future[Answer]) -> None:
        with self._lock:
            self._unfinished -= 1

    def _full(self) -> Refusal:
        seconds = min(max(math.ceil(self._unfinished * self._seconds), 1), LONGEST_WAIT)
        return Refusal(
            429,
            f"{self.served.name}: {self._limits.waiting} images are waiting, the maximum; "
            f"try again in {seconds} s",
            retry_after=seconds,
        )


class Service:
    """All networks behind one address.

    Attributes:
        stopping: nothing new is accepted; what was accepted is finished.
        held: bytes of uploads being received or waiting; at most what fits in the queue.
    """

    def __init__(self, networks: Sequence[Served], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.counts = Counts()
        self.stopping = False
        self.under_way = 0  # requests of the API that have no response yet
        self.held = 0
        self.workers = {each.name: Worker(each, self.limits, self.counts) for each in networks}

    @property
    def idle(self) -> bool:
        """Whether everything that was accepted is done."""
        return not self.under_way and not any(w.unfinished for w in self.workers.values())

    def worker(self, name: str | None) -> Worker:
        """The worker of a network; of the first if no name is given.

        Raises:
            Refusal: 404 for an unknown name.
        """
        if name is None:
            return next(iter(self.workers.values()))
        if name not in self.workers:
            known = ", ".join(self.workers)
            raise Refusal(
                404, f"unknown model {name!r}.{did_you_mean(name, self.workers)} Served: {known}."
            )
        return self.workers[name]

    async def predict(
        self, data: bytes, filename: str, query: Query, *, model: str | None
    ) -> Answer:
        """Predict an uploaded file without blocking the event loop.

        Raises:
            Refusal: as ``uploads.read_upload``; 404, 422 (as ``check_query``), 429.
        """
        worker = self.worker(model)
        check_query(query, worker.served)
        return await asyncio.wrap_future(worker.submit(data, filename, query))

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of an upload while it is held: ``hold(bytes that arrived)``.

        Raises:
            Refusal: 429, by ``hold``, if all held uploads would exceed the limit of the queue.
        """
        own = 0

        def hold(size: int) -> None:
            nonlocal own
            if self.held + size > (self.limits.waiting + 1) * self.limits.max_bytes:
                sentence = "the uploads in progress fill the queue; try again in 5 s"
                raise Refusal(429, sentence, retry_after=5)
            self.held += size
            own += size

        try:
            yield hold
        finally:
            self.held -= own

    def close(self) -> None:
        """End all threads once their work is done."""
        for worker in self.workers.values():
            worker.close()


def check_query(query: Query, served: Served) -> None:
    """Refuse what is out of range or means nothing for a network.

    Raises:
        Refusal: 422.
    """
    bounds = (
        ("top", query.top, (1, MOST_CLASSES)),
        ("max_detections", query.finding.get("max_detections"), (1, MOST_DETECTIONS)),
        ("side", query.side, SIDES),
    )
    try:
        with arguments_named():
            check_needs(
                ["side"] if query.side is not None else [],
                {"side": ("picture=true or picture=photo", bool(query.picture))},
            )
            served.check(query)
    except UserError as error:
        raise Refusal(422, str(error)) from None
    for name, value, (least, most) in bounds:
        if value is not None and not least <= value <= most:
            raise Refusal(422, f"{name} is {value}; it must be between {least} and {most}")


def stopping() -> Refusal:
    """The refusal of requests that come too late."""
    return Refusal(503, "the server is stopping; try again when it is back", retry_after=5)
