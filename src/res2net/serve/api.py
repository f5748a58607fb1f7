"""JSON over HTTP: ``POST /v1/predict``, ``GET /v1/models``, ``/health``, ``/metrics``."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from starlette.exceptions import HTTPException

import res2net
from res2net.data.photo import RGB
from res2net.errors import did_you_mean
from res2net.serve.answer import Answer
from res2net.serve.gate import Gate
from res2net.serve.hosts import Hosts
from res2net.serve.refusal import Refusal, refused
from res2net.serve.service import Service, Worker
from res2net.serve.uploads import receive_upload, refuse_read

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


def make_app(service: Service, *, hosts: Hosts | None = None, token: str | None = None) -> FastAPI:
    """The API; a page can be mounted beside it.

    Args:
        hosts: accepted host names; None: this machine's own.
    """

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
    app.add_middleware(Gate, service=service, hosts=hosts or Hosts(), token=token)

    @app.exception_handler(Refusal)
    async def refuse(request: Request, refusal: Refusal) -> Response:
        return refused(refusal, scope=request.scope)

    @app.exception_handler(HTTPException)
    async def refuse_other(request: Request, error: HTTPException) -> Response:
        scope = request.scope
        refusal = Refusal(error.status_code, f"{request.method} {scope['path']}: {error.detail}")
        return refused(refusal, dict(error.headers or {}), scope=scope)

    @app.get("/health")
    async def health() -> Response:
        """200 while images are accepted, 503 once the server stops."""
        if service.stopping:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok", "models": list(service.workers)})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Requests by code, latencies, waiting images."""
        return Response(service.counts.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> Response:
        """The networks that are served."""
        each = [{"name": w.served.name, **w.served.describe()} for w in service.workers.values()]
        return JSONResponse({"models": each})

    @app.post("/v1/predict", openapi_extra=_BODY)
    async def predict(request: Request) -> Response:
        """Predict an image: a file's bytes as the body, or a form with ``image``."""
        return JSONResponse(await answer(service, request))

    @app.api_route("/v1/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def other(rest: str) -> Response:
        """The other addresses below /v1: they are not passed to the page."""
        if allowed := _KNOWN.get(rest):
            raise HTTPException(405, f"takes {allowed}", {"Allow": allowed})
        raise HTTPException(404, "no such address; use /v1/predict or /v1/models")

    return app


async def answer(service: Service, request: Request) -> dict[str, Any]:
    """Read a request and predict.

    Raises:
        Refusal: as ``Service.predict``; 413, 415 or 422 for a bad upload.
    """
    asked = dict(request.query_params)
    most = service.limits.max_bytes
    try:
        _check_names(asked)
        service.worker(asked.get("model")).check_room()
    except Refusal as refusal:
        await refuse_read(request, most, refusal)
    with service.holding() as hold:
        data, name, fields = await receive_upload(request, field="image", most=most, hold=hold)
        _check_names(fields)
        asked |= fields
        worker = service.worker(asked.get("model"))
        top = _number(asked.get("top", "5"))
        picture = _switch(asked.get("picture", "false"))
        said = await service.predict(data, name, model=worker.served.name, top=top, picture=picture)
    return as_json(worker, said, picture=picture)


def _check_names(asked: Iterable[str]) -> None:
    """Refuse unknown parameters.

    Raises:
        Refusal: 422, naming the nearest.
    """
    known = list(_FIELDS)[1:]
    for name in asked:
        if name not in known:
            near = did_you_mean(name, known)
            raise Refusal(422, f"unknown parameter {name!r}.{near} Known: {', '.join(known)}.")


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
        content["picture"] = None
        if said.picture is not None:
            content["picture"] = base64.b64encode(as_png(said.picture)).decode("ascii")
        content["picture_shows"] = said.shows
    return content


def as_png(picture: RGB) -> bytes:
    """(H, W, 3) as a file."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refusal(422, f"top is {text!r}; it must be a whole number") from None


def _switch(text: str) -> bool:
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise Refusal(422, f"picture is {text!r}; it must be true or false")
