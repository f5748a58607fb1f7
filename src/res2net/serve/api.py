"""JSON over HTTP: ``POST /v1/predict``, ``GET /v1/models``, ``/health``, ``/metrics``."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from starlette.exceptions import HTTPException

import res2net
from res2net.data.photo import RGB
from res2net.errors import did_you_mean
from res2net.serve.answer import Answer, Drawn, Query
from res2net.serve.gate import Gate
from res2net.serve.hosts import Hosts
from res2net.serve.refusal import Refusal, refused
from res2net.serve.service import Service, Worker
from res2net.serve.uploads import receive_upload, refuse_read

_SWITCH = dict.fromkeys(("1", "true", "yes"), True) | dict.fromkeys(("0", "false", "no", ""), False)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_KNOWN = {"predict": "POST", "models": "GET"}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FIELDS = {
    "image": {"type": "string", "format": "binary"},
    "model": {"type": "string"},
    "picture": {"type": "string", "enum": ["false", "true", "photo"]},
    "side": {"type": "integer"},
    "top": {"type": "integer"},
    "score": {"type": "number"},
    "iou": {"type": "number"},
    "max_detections": {"type": "integer"},
    "class_agnostic": {"type": "boolean"},
    "embedding": {"type": "boolean"},
}
_FINDING = ("score", "iou", "max_detections", "class_agnostic")  # as `res2net predict` has them
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
        read_query(asked)
        service.worker(asked.get("model")).check_room()
    except Refusal as refusal:
        await refuse_read(request, most, refusal)
    with service.holding() as hold:
        data, name, fields = await receive_upload(request, field="image", most=most, hold=hold)
        asked |= fields
        worker, query = service.worker(asked.get("model")), read_query(asked)
        said = await service.predict(data, name, query, model=worker.served.name)
    return await asyncio.to_thread(as_json, worker, said, query)


def read_query(asked: Mapping[str, str]) -> Query:
    """The parameters of a request, whatever its network.

    Raises:
        Refusal: 422 for an unknown name, naming the nearest, or for a value of another type.
    """
    known = list(_FIELDS)[1:]
    for name in asked:
        if name not in known:
            near = did_you_mean(name, known)
            raise Refusal(422, f"unknown parameter {name!r}.{near} Known: {', '.join(known)}.")
    values = {name: _READ[name](name, text) for name, text in asked.items() if name in _READ}
    finding = {name: values.pop(name) for name in _FINDING if name in values}
    return Query(**values, finding=finding)


def as_json(worker: Worker, said: Answer, query: Query) -> dict[str, Any]:
    """The answer as plain types; the picture is a file in base64."""
    content: dict[str, Any] = {
        "model": worker.served.name,
        "task": worker.served.task,
        "width": said.size[0],
        "height": said.size[1],
        **said.found,
        "summary": said.line,
        "milliseconds": round(said.milliseconds, 2),
    }
    if query.picture:
        content["picture"] = None
        if said.picture is not None:
            data, content["picture_type"] = as_file(said.picture, query.side)
            content["picture"] = base64.b64encode(data).decode("ascii")
        content["picture_shows"] = said.shows
    return content


def as_file(picture: RGB, side: int | None) -> tuple[bytes, str]:
    """(H, W, 3) as a PNG; with sides of at most ``side`` pixels as a JPEG; and its media type."""
    image, data = Image.fromarray(picture), io.BytesIO()
    if side is None:
        image.save(data, "PNG")
        return data.getvalue(), "image/png"
    image.thumbnail((side, side))
    image.save(data, "JPEG", quality=88)
    return data.getvalue(), "image/jpeg"


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refusal(422, f"{name} is {text[:80]!r}; it must be a whole number") from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refusal(422, f"{name} is {text[:80]!r}; it must be a number") from None


def _switch(name: str, text: str) -> bool:
    if (found := _SWITCH.get(text.lower())) is None:
        raise Refusal(422, f"{name} is {text[:80]!r}; it must be true or false")
    return found


def _drawn(name: str, text: str) -> Drawn:
    if text.lower() == "photo":
        return "photo"
    if (found := _SWITCH.get(text.lower())) is None:
        raise Refusal(422, f"{name} is {text[:80]!r}; it must be true, false or photo")
    return "marks" if found else ""


_READ: dict[str, Callable[[str, str], Any]] = {
    "picture": _drawn,
    **dict.fromkeys(("top", "side", "max_detections"), _integer),
    **dict.fromkeys(("score", "iou"), _number),
    **dict.fromkeys(("class_agnostic", "embedding"), _switch),
}
