"""A refused request: its HTTP status, a sentence for people, and the response."""

from __future__ import annotations

import sys
import traceback
from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope

API = ("/v1/predict", "/v1/models", "/health", "/metrics")
DRAINED = 4  # times the longest upload: bytes read of a refused body

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>res2net</title>
<body style="font-family: system-ui, sans-serif; max-width: 24rem; margin: 15vh auto">
<h1 style="font-size: 1.4rem">res2net</h1>
<p>{text}</p>{below}</body></html>"""


class Refusal(Exception):  # noqa: N818  a response, not a server error
    """Why a request is refused.

    Attributes:
        status: HTTP status, 4xx or 5xx.
        sentence: what is wrong and what to do.
        retry_after: seconds until a retry may succeed; None where a retry is useless.
    """

    def __init__(self, status: int, sentence: str, *, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence.encode("utf-8", "backslashreplace").decode()
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def refused(
    refusal: Refusal, headers: dict[str, str] | None = None, *, scope: Scope | None = None
) -> Response:
    """The response: ``{"error": "a sentence"}``, or a page for a browser.

    Args:
        scope: the request, if it may be one for the page; None for the API.
    """
    also = {**refusal.headers(), **(headers or {})}
    if scope is not None and shows_pages(scope):
        text = PAGE.format(text=escape(refusal.sentence), below="")
        return HTMLResponse(text, refusal.status, headers=also)
    return JSONResponse({"error": refusal.sentence}, refusal.status, headers=also)


def shows_pages(scope: Scope) -> bool:
    """Whether the response is shown in a browser."""
    path = scope["path"]
    programs = path in API or path.startswith("/v1/")
    return not programs and "text/html" in Headers(scope=scope).get("accept", "")


async def drain(receive: Receive, most: int) -> None:
    """Read and discard a body, up to ``most`` bytes.

    A connection that is closed with bytes unread is reset, and a client that is still sending
    could not read the refusal.
    """
    seen = 0
    while seen <= most:
        message = await receive()
        seen += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


def report(what: str, error: BaseException) -> None:
    """Print an internal error in one line on stderr: what, why, where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    why = " ".join(str(error).split())
    print(f"{what}: {type(error).__name__}: {why}{where}", file=sys.stderr, flush=True)
