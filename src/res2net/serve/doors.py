"""The Gradio addresses that the page may use: a short list; all others are 404.

Gradio has about sixty routes, most of them unused here. Uploads, files and all values for the
page's functions are handled here, so that Gradio gets only what was checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from res2net.serve.kept import GONE, Kept
from res2net.serve.refusal import Refusal, refused
from res2net.serve.service import Service
from res2net.serve.uploads import FORM, content_length, content_type, receive_upload, refuse_read

COOKIE = "res2net_page"
LONGEST_EVENT = 65536  # bytes of an event
FILE, UPLOAD, PROGRESS = "/gradio_api/file=", "/gradio_api/upload", "/gradio_api/upload_progress"
JOIN, RUN, DATA = "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/queue/data"
METHODS = {UPLOAD: "POST", JOIN: "POST", RUN: "POST", PROGRESS: "GET", DATA: "GET"}
STREAMS = (PROGRESS, DATA)
DONE = 'data: {"msg": "done"}\n\n'  # an upload is over before its progress is requested
# Shown in the browser; all other uploads are returned as downloads.
PICTURES = {
    f".{kind}": f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "bmp", "avif")
} | {".jpg": "image/jpeg"}
_SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
_VISITOR = re.compile(r"[\w-]{43}", re.ASCII)
_PASSED = (b"host", b"accept", b"accept-encoding", b"x-forwarded-host", b"x-forwarded-proto")

Check = Callable[[list[Any], str], list[Any]]  # the values of an event and its visitor, checked


class Doors:
    """The filter in front of Gradio.

    Args:
        gradio: the application.
        static: the addresses of its own files, and of its page.
        events: (address, number of the function) → the check of its values.
        waits: whether a session waits for messages.
    """

    def __init__(
        self,
        gradio: ASGIApp,
        service: Service,
        kept: Kept,
        *,
        static: Iterable[str],
        events: dict[tuple[str, int], Check],
        waits: Callable[[str], bool],
    ) -> None:
        self._gradio = gradio
        self._service = service
        self._kept = kept
        self._static = frozenset(static)
        self._events = events
        self._waits = waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        cookie = request.cookies.get(COOKIE, "")
        known = _VISITOR.fullmatch(cookie) is not None
        if not known:
            cookie = secrets.token_urlsafe(32)
        try:
            app = await self._answer(request, visitor_of(cookie))
        except Refusal as refusal:
            app = refused(refusal, scope=scope)

        async def named(message: Message) -> None:
            starts = message["type"] == "http.response.start"
            if starts and not known and scope["path"] in ("/", UPLOAD):
                given = Response()
                given.set_cookie(COOKIE, cookie, httponly=True, samesite="strict")
                message = {**message, "headers": [*message["headers"], given.raw_headers[-1]]}
            await send(message)

        await app(scope, receive, named)

    async def _answer(self, request: Request, visitor: str) -> ASGIApp:
        path, method = request.scope["path"], request.method
        takes = METHODS.get(path, "GET" if path in self._static or path.startswith(FILE) else None)
        if takes is None:
            raise Refusal(404, f"{path}: no such address; the page is at /")
        if method != takes or (path in STREAMS and request.scope.get("head")):
            raise Refusal(405, f"{method} {path}: takes {takes}")
        if path == UPLOAD:
            return await self._upload(request, visitor)
        if path.startswith(FILE):
            return self._file(path.removeprefix(FILE), visitor)
        if path == PROGRESS:
            return Response(DONE, media_type="text/event-stream")
        if path == DATA:
            session = _session(request.query_params.get("session_hash"), visitor)
            if not self._waits(session):
                raise Refusal(404, "this session has no pending event; reload the page")
            return self._pass(request, urlencode({"session_hash": session}))
        if method == "POST":
            return self._pass(request, "", await self._event(request, visitor))
        return self._pass(request, "")

    async def _upload(self, request: Request, visitor: str) -> Response:
        """Store a photo; returns the list of its path, as Gradio's own page expects."""
        most = self._service.limits.max_bytes
        if content_type(request) != FORM:
            refusal = Refusal(415, "send a photo for the page as multipart/form-data with `files`")
            await refuse_read(request, most, refusal)
        with self._service.holding() as hold:
            data, name, _ = await receive_upload(request, field="files", most=most, hold=hold)
            return JSONResponse([await self._kept.add(visitor, name, data)])

    def _file(self, path: str, visitor: str) -> ASGIApp:
        """A photo or picture of this visitor, or an example."""
        found = self._kept.find(path, visitor)
        kind = PICTURES.get(found.suffix.lower())
        response = FileResponse(
            found,
            media_type=kind or "application/octet-stream",
            filename=found.name,
            content_disposition_type="inline" if kind else "attachment",
            headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "private"},
        )

        async def sent(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await response(scope, receive, send)
            except (OSError, RuntimeError):  # expired meanwhile
                await refused(Refusal(404, GONE), scope=scope)(scope, receive, send)

        return sent

    async def _event(self, request: Request, visitor: str) -> bytes:
        """Rebuild an event from its checked values: nothing else reaches Gradio."""
        length = LONGEST_EVENT
        if content_length(request) > length:
            await refuse_read(request, self._service.limits.max_bytes, _too_long())
        body = b""
        async for chunk in request.stream():
            body = (body + chunk)[: length + 1]
        if len(body) > length:
            raise _too_long()
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal(422, "the body is not JSON") from None
        if not isinstance(given, dict) or not isinstance(given.get("data"), list):
            raise Refusal(422, "the body has no list `data`")
        number = given.get("fn_index")
        check = self._events.get((request.scope["path"], number)) if type(number) is int else None
        if check is None:
            raise Refusal(404, "`fn_index` is not a function of this page")
        made = {
            "data": check(given["data"], visitor),
            "fn_index": number,
            "session_hash": _session(given.get("session_hash"), visitor),
        }
        return json.dumps(made).encode()

    def _pass(self, request: Request, query: str, body: bytes | None = None) -> ASGIApp:
        """The request as Gradio gets it: no cookies, only this query and this body."""
        headers = [each for each in request.scope["headers"] if each[0] in _PASSED]
        if body is not None:
            headers += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
        messages = [] if body is None else [{"type": "http.request", "body": body}]

        async def passed(scope: Scope, receive: Receive, send: Send) -> None:
            async def given() -> Message:
                return messages.pop() if messages else await receive()

            inner = {**scope, "query_string": query.encode(), "headers": headers}
            await self._gradio(inner, given, send)

        return passed


def visitor_of(cookie: str) -> str:
    """The key of a browser's photos. It appears in URLs, so it is not the cookie."""
    return hashlib.sha256(cookie.encode()).hexdigest()[:32]


def check_photo(kept: Kept, value: Any, visitor: str) -> dict[str, Any] | None:
    """The photo of an event: a path stored for this visitor, and only the path.

    Raises:
        Refusal: 422 for another type; 404 for any other path.
    """
    if value is None:
        return None
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str):
        raise Refusal(422, "the photo has no `path`; upload it first")
    return {"path": str(kept.find(path, visitor)), "meta": {"_type": "gradio.FileData"}}


def files_below(folder: Path, prefix: str) -> list[str]:
    """The addresses of all files in a folder that is served under ``prefix``."""
    return [
        f"{prefix}/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file()
    ]


def _session(value: Any, visitor: str) -> str:
    """A page's session, separate from those of other visitors."""
    if not isinstance(value, str) or not _SESSION.fullmatch(value):
        raise Refusal(422, "`session_hash` is missing or invalid")
    return f"{visitor}-{value}"


def _too_long() -> Refusal:
    return Refusal(413, f"more than the {LONGEST_EVENT} bytes allowed for an event")
