"""A served network of a few microseconds, and clients in this process."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from res2net.serve.answer import Answer
from res2net.serve.api import make_app
from res2net.serve.service import Limits, Service


class Stub:
    """Says how wide an image is; waits where it is told to."""

    task = "classify"
    title = "stub on nothing"

    def __init__(self, name: str = "stub") -> None:
        self.name = name
        self.go = threading.Event()
        self.go.set()
        self.threads: set[str] = set()

    def describe(self) -> dict[str, Any]:
        return {"network": "stub", "task": self.task}

    def look(self, pixels: Any, *, top: int, picture: bool) -> Answer:
        self.threads.add(threading.current_thread().name)
        assert self.go.wait(30)
        if pixels.shape[0] == 13:
            raise RuntimeError("thirteen")
        top_of = tuple((f"class {k}", 0.5**k) for k in range(1, top + 1))
        return Answer(
            found={"classes": [{"class": name, "probability": p} for name, p in top_of]},
            line=f"{pixels.shape[1]} wide",
            probabilities=top_of,
            picture=pixels if picture else None,
            shows="the image itself" if picture else "",
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
