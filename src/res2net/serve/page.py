"""The page: its three files, the example photos, and the data that its script is given.

All else is the script's (``static/page.js``): it sends one photo after the other to the API and
draws what comes back. The server keeps nothing of a visitor's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from res2net.drawing.marks import COLOURS
from res2net.serve.service import MOST_CLASSES, MOST_DETECTIONS, Service

STATIC = Path(__file__).parent / "static"
MOST_PHOTOS = 500  # that a page holds results of, each with a picture of SIDE pixels
SIDE = 800
MOST_FRAMES = 60  # of a video
READ = ("task", "classes", "parameters", "activation_map", "thresholds", "drawn")  # of a network
TYPES = {".js": "text/javascript", ".css": "text/css"}  # whatever this machine takes them for
# Scripts, styles and pictures of this server alone; no other page may hold this one in a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_page(
    app: FastAPI,
    service: Service,
    *,
    address: str,
    token: bool = False,
    examples: Sequence[Path] = (),
) -> FastAPI:
    """Serve the page at the root of the API's application.

    Args:
        token: whether the API asks for one.
    """
    data = json.dumps(config(service, curl(address, token=token), examples))
    text = (STATIC / "page.html").read_text(encoding="utf-8")
    page = text.replace("{config}", data.replace("<", "\\u003c"))  # so that no name ends the script

    async def index(_: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    async def file(path: Path, _: Request) -> Response:
        return FileResponse(path, headers=HEADERS, media_type=TYPES.get(path.suffix))

    app.add_route("/", index, include_in_schema=False)
    files = {f"/{name}": STATIC / name for name in ("page.js", "page.css")}
    files |= {f"/examples/{path.name}": path for path in examples}
    for place, path in files.items():
        app.add_route(place, partial(file, path), include_in_schema=False)
    return app


def config(service: Service, command: str, examples: Sequence[Path]) -> dict[str, Any]:
    """The data of the script, as plain types.

    Args:
        command: what asks the API the same.
    """
    networks = []
    for name, worker in service.workers.items():
        described = worker.served.describe()
        read = {key: described[key] for key in READ if key in described}
        networks.append({"name": name, "title": worker.served.title, **read})
    return {
        "networks": networks,
        "examples": [path.name for path in examples],
        "colours": COLOURS,
        "mostBytes": service.limits.max_bytes,
        "mostPhotos": MOST_PHOTOS,
        "mostFrames": MOST_FRAMES,
        "mostClasses": MOST_CLASSES,
        "mostDetections": MOST_DETECTIONS,
        "side": SIDE,
        "command": command,
    }


def curl(address: str, *, token: bool) -> str:
    """The command that sends a photo to the API."""
    secret = ' -H "Authorization: Bearer $RES2NET_TOKEN"' if token else ""
    kind = "-H 'Content-Type: image/jpeg'"
    return f"curl --data-binary @photo.jpg {kind}{secret} {address}/v1/predict"
