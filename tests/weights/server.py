"""A real HTTP server on the loopback that misbehaves as it is told, for tests of downloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Behaviour:
    """What a path answers. Numbers that run out (``fail_first``, ``drop_first``) count requests."""

    body: bytes
    ranges: bool = True
    etag: str = '"v1"'
    status: int = 200  # other than 200: always this
    fail_first: int = 0  # requests answered with 500
    drop_first: int = 0  # requests cut after ``drop_after`` bytes
    drop_after: int = 0
    stall_first: int = 0  # requests that go silent after ``drop_after`` bytes
    content_type: str = "application/octet-stream"
    chunked: bool = False  # no Content-Length
    retry_after: str = ""
    slow: float = 0.0  # seconds before each 64 KiB
    headers: dict[str, str] = field(default_factory=dict)  # more of them
    seen: list[dict[str, str]] = field(default_factory=list)  # headers of each request


class _Quiet(ThreadingHTTPServer):
    """What it prints of a client that has gone would come into the output of the next test."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Server:
    """``server.files["/name"] = Behaviour(...)``; ``server.url("/name")``."""

    def __init__(self) -> None:
        self.files: dict[str, Behaviour] = {}
        self.closing = threading.Event()
        self._http = _Quiet(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    def spend(behaviour: Behaviour, budget: str) -> bool:
        with lock:
            left = getattr(behaviour, budget)
            setattr(behaviour, budget, max(0, left - 1))
            return left > 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            behaviour = server.files.get(self.path)
            if behaviour is None:
                return self._refuse(404)
            behaviour.seen.append({k.lower(): v for k, v in self.headers.items()})
            if behaviour.status != 200:
                return self._refuse(behaviour.status, behaviour.retry_after)
            if spend(behaviour, "fail_first"):
                return self._refuse(500, behaviour.retry_after)
            return self._send(behaviour)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _send(self, behaviour: Behaviour) -> None:
            start = self._start(behaviour)
            if start is None:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(behaviour.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = behaviour.body[start:]
            self.send_response(206 if start else 200)
            if start:
                total = len(behaviour.body)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            for name, value in behaviour.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", behaviour.content_type)
            self.close_connection = True
            self.send_header("Connection", "close")  # unsaid, a client would use it again
            if not behaviour.chunked:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if spend(behaviour, "stall_first"):
                self._write(body[: behaviour.drop_after], behaviour.slow)
                server.closing.wait(5)
            elif spend(behaviour, "drop_first"):
                self._write(body[: behaviour.drop_after], behaviour.slow)
            else:
                self._write(body, behaviour.slow)

        def _start(self, behaviour: Behaviour) -> int | None:
            """The first byte asked for; None where there is no such byte."""
            asked = self.headers.get("Range", "")
            condition = self.headers.get("If-Range")
            if not asked or not behaviour.ranges or condition not in (None, behaviour.etag):
                return 0
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            return start if start < len(behaviour.body) else None

        def _write(self, body: bytes, slow: float) -> None:
            step = 1 << 16 if slow else max(1, len(body))
            for i in range(0, len(body), step):
                time.sleep(slow)
                self.wfile.write(body[i : i + step])
            self.wfile.flush()

        def _refuse(self, status: int, retry_after: str = "") -> None:
            self.send_response(status)
            if retry_after:
                self.send_header("Retry-After", retry_after)
            if "/resolve/" in self.path:
                self.send_header("X-Error-Code", "EntryNotFound")  # as the hub says it
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler
