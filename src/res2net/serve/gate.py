"""What every request passes: the count, the stop, the token."""

from __future__ import annotations

import hmac
import secrets
import time
from html import escape
from http.cookies import SimpleCookie

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from res2net.serve.refusal import Refusal
from res2net.serve.service import Service, stopping

API = ("/v1/predict", "/v1/models", "/health", "/metrics")
LOGIN = "/login"
COOKIE = "res2net_session"
LONGEST_FORM = 10_000  # bytes
DRAINED = 4  # times the longest upload, of a body that is refused

_FORM = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>res2net</title>
<body style="font-family: system-ui, sans-serif; max-width: 24rem; margin: 15vh auto">
<h1 style="font-size: 1.4rem">res2net</h1>
<p>{text}</p>
<form method="post" action="{action}">
<input type="password" name="token" aria-label="Token" autofocus required
 style="font: inherit; padding: .4rem; width: 14rem">
<button style="font: inherit; padding: .4rem .8rem">Enter</button></form></body></html>"""


class Gate:
    """Counts requests, refuses new ones while the service stops, asks for the token.

    A client sends ``Authorization: Bearer TOKEN``; a browser is shown a form and gets a cookie
    that is worth nothing after a restart. ``/health`` is open, so that a supervisor needs no token.
    """

    def __init__(self, app: ASGIApp, service: Service, token: str | None) -> None:
        self._app = app
        self._service = service
        self._token = token
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in API else "page"
        predicts = path == "/v1/predict"
        codes: list[int] = []
        start = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])
            await send(message)

        self._service.under_way += predicts
        try:
            app = await self._response(scope, receive, path) or self._app
            await app(scope, receive, watched)
        finally:
            self._service.under_way -= predicts
            counts = self._service.counts
            counts.requests.labels(path, str(codes[0] if codes else 499)).inc()
            if path != "page":  # its streams of events stay open as long as the browser
                counts.latency.labels(path).observe(time.perf_counter() - start)

    async def _response(self, scope: Scope, receive: Receive, path: str) -> Response | None:
        """What is said instead of passing the request on."""
        if self._service.stopping and path not in ("/health", "/metrics"):
            await self._drain(receive)
            return refused(stopping())
        if self._token is None or path == "/health":
            return None
        headers = Headers(scope=scope)
        if scope["path"] == LOGIN and scope["method"] == "POST":
            return await self._log_in(Request(scope, receive))
        if self._knows(headers):
            return None
        if path == "page" and "text/html" in headers.get("accept", ""):
            return _form(scope, "This page asks for its token.", 401)
        await self._drain(receive)
        refusal = Refusal(401, "a token is needed: send `Authorization: Bearer TOKEN`")
        return refused(refusal, {"WWW-Authenticate": "Bearer"})

    async def _drain(self, receive: Receive) -> None:
        await drain(receive, DRAINED * self._service.limits.max_bytes)

    def _knows(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        cookies: SimpleCookie = SimpleCookie()
        cookies.load(headers.get("cookie", ""))
        return COOKIE in cookies and _same(cookies[COOKIE].value, self._session)

    def _is_token(self, given: str) -> bool:
        return self._token is not None and _same(given, self._token)

    async def _log_in(self, request: Request) -> Response:
        home = request.scope.get("root_path", "") + "/"
        if int(request.headers.get("content-length") or LONGEST_FORM + 1) > LONGEST_FORM:
            return refused(Refusal(413, "that is longer than any token"))
        async with request.form() as form:
            given = form.get("token")
        if not isinstance(given, str) or not self._is_token(given):
            return _form(request.scope, "That is not the token. Try again.", 401)
        response = RedirectResponse(home, 303)
        response.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return response


def refused(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    """The response that says why not."""
    also = {**refusal.headers(), **(headers or {})}
    return JSONResponse({"error": refusal.sentence}, refusal.status, headers=also)


async def drain(receive: Receive, most: int) -> None:
    """Read a body away, up to ``most`` bytes.

    A connection that is closed with bytes unread is reset, and a client that is still sending
    would not get to read why it is refused.
    """
    seen = 0
    while seen <= most:
        message = await receive()
        seen += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


def _form(scope: Scope, text: str, status: int) -> Response:
    action = escape(scope.get("root_path", "") + LOGIN)
    return HTMLResponse(_FORM.format(text=escape(text), action=action), status)


def _same(given: str, known: str) -> bool:
    """In a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode(), known.encode())
