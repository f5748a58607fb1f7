"""JSON over HTTP: ``POST /v1/predict``, ``GET /v1/models``, ``/health``, ``/metrics``."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import Message

import res2net
from res2net.data.photo import RGB
from res2net.serve.answer import Answer
from res2net.serve.gate import DRAINED, Gate, drain, refused
from res2net.serve.refusal import Refusal
from res2net.serve.service import Service, Worker

BODY_SECONDS = 60  # in which an upload has to arrive
FORM_BYTES = 4096  # of a form beside its image
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KNOWN = {"predict": "POST", "models": "GET"}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FIELDS = {
    "image": {"type": "string", "format": "binary"},
    "model": {"type": "string"},
    "top": {"type": "integer"},
    "picture": {"type": "boolean"},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": _IMAGE,
            "application/octet-stream": _IMAGE,
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["image"], "properties": _FIELDS}
            },
        },
    },
    "parameters": [
        {"in": "query", "name": name, "schema": _FIELDS[name]} for name in list(_FIELDS)[1:]
    ],
}


def make_app(service: Service, *, token: str | None = None) -> FastAPI:
    """The API; a page can be mounted beside it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="res2net",
        version=res2net.__version__,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Gate, service=service, token=token)

    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Refusal) -> Response:
        return refused(refusal)

    @app.exception_handler(HTTPException)
    async def refuse_other(request: Request, error: HTTPException) -> Response:
        sentence = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse({"error": sentence}, error.status_code, headers=error.headers)

    @app.get("/health")
    async def health() -> Response:
        """200 while images are accepted, 503 once the server stops."""
        if service.stopping:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok", "models": list(service.workers)})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Requests by code, latencies, images that wait."""
        return Response(service.counts.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> Response:
        """The networks that can be asked."""
        each = [{"name": w.served.name, **w.served.describe()} for w in service.workers.values()]
        return JSONResponse({"models": each})

    @app.post("/v1/predict", openapi_extra=_BODY)
    async def predict(request: Request) -> Response:
        """What is in an image: the bytes of a file as the body, or a form with ``image``."""
        return JSONResponse(await answer(service, request))

    @app.api_route("/v1/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def other(rest: str) -> Response:
        """What is left of the API's part of the address: the page is not asked for it."""
        if allowed := _KNOWN.get(rest):
            raise HTTPException(405, f"takes {allowed}", {"Allow": allowed})
        raise HTTPException(404, "no such address; there is /v1/predict and /v1/models")

    return app


async def answer(service: Service, request: Request) -> dict[str, Any]:
    """Read a request and ask the network.

    Raises:
        Refusal: as ``Service.look``; 408 an upload that stalls, 413, 415, 422 of a bad one.
    """
    asked = dict(request.query_params)
    if "model" in asked:
        service.worker(asked["model"])
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data, name, fields = await _read(request, service, asked.get("model"))
    except TimeoutError:
        raise Refusal(408, f"the upload did not arrive within {BODY_SECONDS} s") from None
    asked |= fields
    worker = service.worker(asked.get("model"))
    top = _number(asked.get("top", "5"))
    picture = _switch(asked.get("picture", "false"))
    said = await service.look(data, name, model=worker.served.name, top=top, picture=picture)
    return as_json(worker, said, picture=picture)


def as_json(worker: Worker, said: Answer, *, picture: bool) -> dict[str, Any]:
    """The answer as plain types; the picture is a PNG in base64."""
    content: dict[str, Any] = {
        "model": worker.served.name,
        "task": worker.served.task,
        **said.found,
        "summary": said.line,
        "milliseconds": round(said.milliseconds, 2),
    }
    if picture:
        content["picture"] = None if said.picture is None else png_base64(said.picture)
        content["picture_shows"] = said.shows
    return content


def png_base64(picture: RGB) -> str:
    """(H, W, 3) as the text of a PNG."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")


async def _read(
    request: Request, service: Service, model: str | None
) -> tuple[bytes, str, dict[str, str]]:
    """The image, its name, and the fields of a form."""
    most = service.limits.max_bytes
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = kind == "multipart/form-data"
    if not form and not (kind.startswith("image/") or kind == "application/octet-stream"):
        await _refuse_read(
            request,
            most,
            Refusal(
                415,
                f"Content-Type is {kind or 'missing'}; send the bytes of an image as image/jpeg, "
                "image/png, ... or application/octet-stream, or a form (multipart/form-data) with "
                "`image`",
            ),
        )
    too_long = Refusal(
        413, f"the upload is longer than the {most / 2**20:g} MiB that are allowed; scale it down"
    )
    limit = most + FORM_BYTES if form else most
    if int(request.headers.get("content-length", "0")) > limit:
        await _refuse_read(request, most, too_long)
    try:
        service.worker(model).check_room()
    except Refusal as refusal:
        await _refuse_read(request, most, refusal)
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise too_long
        return message

    limited = Request(request.scope, counted)
    if not form:
        return await limited.body(), "the upload", {}
    try:
        async with limited.form(max_files=1, max_fields=8, max_part_size=FORM_BYTES) as fields:
            upload = fields.get("image")
            if not isinstance(upload, UploadFile):
                raise Refusal(422, "the form has no file named `image`")
            words = {k: v for k, v in fields.items() if isinstance(v, str)}
            return await upload.read(), upload.filename or "the upload", words
    except (MultiPartException, HTTPException) as error:
        why = getattr(error, "message", None) or getattr(error, "detail", "")
        raise Refusal(422, f"the form cannot be read: {why}") from None


async def _refuse_read(request: Request, most: int, refusal: Refusal) -> NoReturn:
    """Refuse once the body was read away."""
    await drain(request.receive, DRAINED * most)
    raise refusal


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refusal(422, f"top is {text!r}; it must be a whole number") from None


def _switch(text: str) -> bool:
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise Refusal(422, f"picture is {text!r}; it must be true or false")
