"""The listening process: its port, and a shutdown that finishes accepted requests."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from res2net.errors import UserError
from res2net.serve.connection import LONGEST_HEAD, Connection, quiet
from res2net.serve.refusal import report
from res2net.serve.service import LONGEST_WAIT, Service

GRACE = 30.0  # seconds that accepted work may take after the first signal
# A client retries on the same connection: if it were closed meanwhile, the retry would be lost.
KEEP_ALIVE = LONGEST_WAIT + 15  # seconds
LAST_BYTES = 3  # seconds for responses in transit, and for open pages


class Server(uvicorn.Server):
    """Uvicorn with a graceful shutdown: refuse (503), finish, close; a second signal ends it."""

    def __init__(
        self, app: ASGIApp, service: Service, *, ready: Callable[[], None] = lambda: None
    ) -> None:
        """``ready`` is called once requests are answered and signals are handled."""
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",  # an upgrade is declined: the request is answered as any other
            h11_max_incomplete_event_size=LONGEST_HEAD,
            log_config=None,  # errors go where the program's own go
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_BYTES,
        )
        super().__init__(config)
        self._service = service
        self._ready = ready
        self._deadline = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        asyncio.get_running_loop().set_exception_handler(quiet)
        logging.getLogger("uvicorn.error").addFilter(in_one_line)
        # the response reports a damaged upload; a line in the log would be of no use
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle SIGINT and SIGTERM."""
        if self._service.stopping:
            self.should_exit = self.force_exit = True
            return
        self._deadline = time.monotonic() + GRACE
        self._service.stopping = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn; Ctrl-C stays ignored where it was, as in the background of a script."""
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        with super().capture_signals():
            if ignored and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            yield

    async def on_tick(self, counter: int) -> bool:
        """Check, ten times a second, whether to close."""
        if self._service.stopping and (self._service.idle or time.monotonic() > self._deadline):
            self.should_exit = True
        return await super().on_tick(counter)


def in_one_line(record: logging.LogRecord) -> bool:
    """Log an error without its traceback; errors caused by the shutdown are dropped."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not isinstance(error, asyncio.CancelledError):
        report(record.getMessage().strip(), error)
    return error is None


def take_port(host: str, port: int) -> socket.socket:
    """Reserve the port; requests are answered once the server runs.

    Raises:
        UserError: the port is taken or not allowed, or there is no such address here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UserError(f"--host {host}: no such address; use 127.0.0.1 or 0.0.0.0") from None
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(address)
    except OSError as error:
        held.close()
        why = (error.strerror or str(error)).lower()
        raise UserError(
            f"--host {host} --port {port}: {why}; choose another --port (0 takes a free one)"
        ) from None
    return held


def address_of(held: socket.socket) -> str:
    """The URL for a browser."""
    host, port = held.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
