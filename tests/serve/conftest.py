"""A served network of a few microseconds, and clients in this process."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from res2net.data.preprocess import AS_RGB
from res2net.errors import check_meaning
from res2net.paper.tasks import readers
from res2net.serve.answer import Answer, Query
from res2net.serve.api import make_app
from res2net.serve.server import Server, address_of, take_port
from res2net.serve.service import Limits, Service
from res2net.tasks.finding import Finding


class Stub:
    """Says how wide an image is, or whatever it is given; waits where it is told to.

    Args:
        found: its answer to every image; None names classes.
        described: further words about it.
    """

    def __init__(
        self, name: str = "stub", task: str = "classify", found: Any = None, **described: Any
    ) -> None:
        self.name = name
        self.task = task
        self.title = f"{name} on nothing"
        self.reading = AS_RGB
        self.go = threading.Event()
        self.go.set()
        self.threads: set[str] = set()
        self.asked: list[tuple[tuple[int, int], Query]] = []  # width and height of each image
        self.light: list[float] = []  # and its mean
        self._found = found
        self._described = described

    def describe(self) -> dict[str, Any]:
        return {"network": "stub", "task": self.task, **self._described}

    def check(self, query: Query) -> None:
        given = [*query.finding, *(["top"] if query.top is not None else [])]
        check_meaning(given, readers("predict"), self.task, "a network of --task {}")
        Finding.of(query.finding, exported=None)

    def predict(self, pixels: Any, query: Query) -> Answer:
        size = (pixels.shape[1], pixels.shape[0])
        self.threads.add(threading.current_thread().name)
        self.asked.append((size, query))
        self.light.append(float(pixels.mean()))
        assert self.go.wait(30)
        if pixels.shape[0] == 13:
            raise RuntimeError("thirteen")
        each = [(f"class {k}", 0.5**k) for k in range(1, (query.top or 5) + 1)]
        classes = [{"class": name, "probability": p} for name, p in each]
        level = pixels.mean((0, 1)).tolist()  # of red, green and blue
        return Answer(
            found={
                **(self._found or {"classes": classes}),
                **({"embedding": level} if query.embedding else {}),
            },
            line=f"{pixels.shape[1]} wide",
            size=size,
            picture=pixels if query.picture else None,
            shows="the image itself" if query.picture else "",
            milliseconds=1.5,
        )


def _encoded(kind: str = "PNG", size: tuple[int, int] = (20, 10)) -> bytes:
    """A grey image of (width, height) as a file."""
    data = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(data, kind)
    return data.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """``encoded(kind="PNG", size=(20, 10))``: a grey image as a file."""
    return _encoded


@pytest.fixture(scope="session")
def make_stub() -> type[Stub]:
    return Stub


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def service(stub: Stub) -> Iterator[Service]:
    made = Service([stub, Stub("other")], Limits(waiting=2, max_bytes=50_000, max_pixels=10_000))
    yield made
    stub.go.set()
    made.close()


Talk = Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]


@pytest.fixture
def talk(service: Service) -> Callable[..., Any]:
    """``talk(conversation)``: runs a coroutine function that is given a client of the app."""

    def run(conversation: Talk, token: str | None = None) -> Any:
        async def whole() -> Any:
            transport = httpx.ASGITransport(make_app(service, token=token))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                return await conversation(client)

        return asyncio.run(whole())

    return run


@pytest.fixture
def ask(talk: Callable[..., Any]) -> Callable[..., httpx.Response]:
    """``ask("POST", "/v1/predict", content=...)``: one request, its response."""

    def send(method: str, path: str, token: str | None = None, **how: Any) -> httpx.Response:
        return talk(lambda client: client.request(method, path, **how), token)

    return send


@contextmanager
def _running(app: Any, service: Service) -> Iterator[str]:
    """A real server in a thread; gives its address."""
    server = Server(app, service)
    with take_port("127.0.0.1", 0) as held:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield address_of(held)
        finally:
            server.should_exit = True
            thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def running() -> Callable[..., AbstractContextManager[str]]:
    """``with running(app, service) as address``."""
    return _running


@dataclass
class Page:
    """A running ``res2net serve``.

    Attributes:
        log: what it wrote to stderr.
    """

    address: str
    log: Path


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The process itself with the shipped network twice; at its end it has logged nothing."""
    from res2net.weights.catalogue import shipped

    home = tmp_path_factory.mktemp("page").resolve()
    words = ("--port", "0", "--max-mib", "0.05", "--max-megapixels", "0.01", "--queue", "4")
    command = [sys.executable, "-m", "res2net", "serve", *[str(shipped())] * 2, *words]
    environment = {**os.environ, "TMPDIR": str(home)}
    log = home / "stderr.txt"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        address = next(
            (found[1] for line in lines if (found := re.match(r"page: (\S+)", line))), ""
        )
        assert address, log.read_text()
        try:
            yield Page(address, log)
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert (process.returncode, log.read_text()) == (0, "")
    assert not [*home.glob("tmp*"), *home.glob("res2net*")]  # no photo is left behind
