"""One connection: its time limits, and one form of answer even to what is not HTTP.

All of this applies before a request exists, so before host and token are checked.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from res2net.serve.refusal import Refusal, refused, report

MOST_CONNECTIONS = 256  # more get 503, more than twice as many no answer
LONGEST_HEAD = 32 * 1024  # bytes of a request's line and headers
HEAD_SECONDS = 15.0  # for a request's line and headers to arrive
BODY_SECONDS = 60.0  # for its body to arrive
UNREAD_SECONDS = 60.0  # for a client to read an answer


class Connection(H11Protocol):
    """Uvicorn's protocol with limits on time and on the number of connections."""

    phase = ""  # what is expected now: "head", "body", or nothing
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > 2 * MOST_CONNECTIONS:
            transport.abort()
        elif len(self.connections) > MOST_CONNECTIONS:
            self.app = _too_many
        self._expect("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect("")
        super().connection_lost(exc)
        if self._unread:
            self._unread.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception as error:
            report("a connection", error)
            self.transport.abort()
        self._expect(self._awaited())

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect(self._awaited())

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()

    def send_400_response(self, msg: str) -> None:
        self._end(400, msg)

    def _awaited(self) -> str:
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        return "head" if begun else ""

    def _expect(self, phase: str) -> None:
        """Start the time limit of a head or a body; further parts of it do not extend the limit."""
        if phase == self.phase:
            return
        self.phase = phase
        if self._late:
            self._late.cancel()
        seconds = {"head": HEAD_SECONDS, "body": BODY_SECONDS}.get(phase)
        self._late = None if seconds is None else self.loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        seconds = BODY_SECONDS if self.phase == "body" else HEAD_SECONDS
        self._end(408, f"the request did not arrive within {seconds:g} s")

    def _end(self, status: int, sentence: str) -> None:
        """Answer if no answer was started, and close."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # ends the wait for the body
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        content = json.dumps({"error": sentence}).encode()
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=status, headers=head, reason=STATUS_PHRASES[status]),
            h11.Data(data=content),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = Refusal(503, f"{MOST_CONNECTIONS} connections are open; try again", retry_after=5)
    await refused(refusal, {"Connection": "close"}, scope=scope)(scope, receive, send)


def quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG001
    """Exception handler of asyncio: one line for an uncaught error, not its traceback."""
    if error := context.get("exception"):
        report(str(context["message"]), error)
