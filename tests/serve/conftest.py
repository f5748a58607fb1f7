"""A served network of a few microseconds, and clients in this process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from res2net.data.preprocess import AS_RGB
from res2net.serve.answer import Answer
from res2net.serve.api import make_app
from res2net.serve.service import Limits, Service


class Stub:
    """Says how wide an image is; waits where it is told to."""

    task = "classify"
    title = "stub on nothing"

    def __init__(self, name: str = "stub") -> None:
        self.name = name
        self.reading = AS_RGB
        self.go = threading.Event()
        self.go.set()
        self.threads: set[str] = set()

    def describe(self) -> dict[str, Any]:
        return {"network": "stub", "task": self.task}

    def predict(self, pixels: Any, *, top: int, picture: bool) -> Answer:
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


@dataclass
class Page:
    """A running ``res2net serve``.

    Attributes:
        folder: of its uploads.
        log: what it wrote to stderr.
    """

    address: str
    folder: Path
    log: Path

    @contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """A client that loads the page and keeps its cookie."""
        with httpx.Client(base_url=self.address, timeout=20) as client:
            client.get("/").raise_for_status()
            yield client

    def upload(self, client: httpx.Client, data: bytes, name: str = "photo.png") -> str:
        """Put a photo on the page; gives its path."""
        response = client.post("/gradio_api/upload", files={"files": (name, data)})
        assert response.status_code == 200, response.text
        return response.json()[0]

    def look(self, client: httpx.Client, photo: Any, **also: Any) -> httpx.Response:
        """Press the button; ``photo`` is the path of an upload, or whatever stands in its place."""
        value = {"path": photo, "meta": {"_type": "gradio.FileData"}}
        data = [value if isinstance(photo, str) else photo, "shipped", "no second network"]
        event = {"data": data, "fn_index": self.function(3), "session_hash": "abc", **also}
        return client.post("/gradio_api/queue/join", json=event)

    def told(self, client: httpx.Client) -> str:
        """All that follows the button: the answer is in it."""
        response = client.get("/gradio_api/queue/data?session_hash=abc")
        assert response.status_code == 200, response.text
        return response.text

    def function(self, values: int) -> int:
        """The number of the function that takes so many values."""
        text = httpx.get(self.address).text
        found = re.search(r"window\.gradio_config = (\{.*?\});</script>", text, re.DOTALL)
        assert found
        numbers = {len(d["inputs"]): d["id"] for d in json.loads(found[1])["dependencies"]}
        return numbers[values]


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The process itself with the shipped network twice; at its end it has logged nothing."""
    pytest.importorskip("gradio", reason="needs res2net[serve]")
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
            (folder,) = home.glob("res2net-page-*")
            yield Page(address, folder, log)
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert (process.returncode, log.read_text(), folder.exists()) == (0, "", False)
