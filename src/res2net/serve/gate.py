"""Checks of every request: count, host, shutdown, token; and errors of the application."""

from __future__ import annotations

import hmac
import secrets
import time
from html import escape
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from res2net.serve.hosts import Hosts
from res2net.serve.refusal import API, DRAINED, PAGE, Refusal, drain, refused, report, shows_pages
from res2net.serve.service import Service, stopping
from res2net.serve.uploads import content_length, content_type

LOGIN = "/login"
COOKIE = "res2net_session"
LONGEST_FORM = 10_000  # bytes

_FORM = """
<form method="post" action="{action}">
<input type="password" name="token" aria-label="Token" autofocus required
 style="font: inherit; padding: .4rem; width: 14rem">
<button style="font: inherit; padding: .4rem .8rem">Enter</button></form>"""


class Gate:
    """Counts requests, checks host and token, and refuses requests while the service stops.

    A client sends ``Authorization: Bearer TOKEN``; a browser gets a form and then a cookie that
    is invalid after a restart. ``/health`` is open, so that a supervisor needs no token.
    HEAD is answered as GET, without the body. An application error is a 500 and one log line.
    """

    def __init__(self, app: ASGIApp, service: Service, hosts: Hosts, token: str | None) -> None:
        self._app = app
        self._service = service
        self._hosts = hosts
        self._token = token
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # not supported
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in API else "page"
        predicts = path == "/v1/predict"
        head = scope["method"] == "HEAD"
        codes: list[int] = []
        start = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])
            elif head:
                message = {**message, "body": b""}
            await send(message)

        self._service.under_way += predicts
        try:
            response = await self._response(scope, receive, path)
            # No other origin is allowed (CORS), so the application needs no Origin header.
            inner = {
                **scope,
                "method": "GET" if head else scope["method"],
                "headers": [each for each in scope["headers"] if each[0] != b"origin"],
                "head": head,
            }
            await (response or self._app)(inner, receive, watched)
        except ClientDisconnect:
            pass  # the client is gone
        except Exception as error:
            if codes:
                raise  # too late for another answer: the connection is closed
            report(f"{scope['method']} {path}", error)
            broken = Refusal(500, "the server failed on this request; its log has the reason")
            await refused(broken, scope=scope)(scope, receive, watched)
        finally:
            self._service.under_way -= predicts
            counts = self._service.counts
            counts.requests.labels(path, str(codes[0] if codes else 499)).inc()
            if path != "page":  # its event streams stay open as long as the browser
                counts.latency.labels(path).observe(time.perf_counter() - start)

    async def _response(self, scope: Scope, receive: Receive, path: str) -> Response | None:
        """The response that replaces the application's, if there is one."""
        headers = Headers(scope=scope)
        try:
            self._hosts.check(headers, scope["method"])
            if self._service.stopping and path not in ("/health", "/metrics"):
                raise stopping()
        except Refusal as refusal:
            await self._drain(receive)
            return refused(refusal, scope=scope)
        if self._token is None or path == "/health":
            return None
        if scope["path"] == LOGIN and scope["method"] == "POST":
            return await self._log_in(Request(scope, receive))
        if self._knows(Request(scope)):
            return None
        if shows_pages(scope):
            return _form(scope, "This page requires a token.", 401)
        await self._drain(receive)
        sentence = "a token is required: send `Authorization: Bearer TOKEN`"
        return refused(Refusal(401, sentence), {"WWW-Authenticate": "Bearer"})

    async def _drain(self, receive: Receive) -> None:
        await drain(receive, DRAINED * self._service.limits.max_bytes)

    def _knows(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        return _same(request.cookies.get(COOKIE, ""), self._session)

    def _is_token(self, given: str) -> bool:
        return self._token is not None and _same(given, self._token)

    async def _log_in(self, request: Request) -> Response:
        refusal = None
        if content_type(request) != "application/x-www-form-urlencoded":
            refusal = Refusal(415, "send the token as application/x-www-form-urlencoded: token=...")
        elif content_length(request) > LONGEST_FORM:
            refusal = Refusal(413, "the token is too long")
        body = b""
        async for chunk in request.stream():
            body = (body + chunk)[: LONGEST_FORM + 1]
        if refusal is None and len(body) > LONGEST_FORM:
            refusal = Refusal(413, "the token is too long")
        if refusal:
            return refused(refusal, scope=request.scope)
        given = parse_qs(body.decode("utf-8", "replace"), max_num_fields=None).get("token", [""])
        if not self._is_token(given[0]):
            return _form(request.scope, "Wrong token. Try again.", 401)
        response = RedirectResponse(request.scope.get("root_path", "") + "/", 303)
        response.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return response


def _form(scope: Scope, text: str, status: int) -> Response:
    below = _FORM.format(action=escape(scope.get("root_path", "") + LOGIN))
    return HTMLResponse(PAGE.format(text=escape(text), below=below), status)


def _same(given: str, known: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
