"""Reads uploads and decodes them to pixels, or refuses them with an HTTP status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from res2net.data import photo
from res2net.data.bands import UnfitError
from res2net.data.preprocess import AS_RGB, Reading
from res2net.errors import UserError
from res2net.serve.refusal import DRAINED, Refusal, drain

KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000, AVIF or HEIC"
FORM = "multipart/form-data"
FORM_BYTES = 4096  # of a form's other fields


async def receive_upload(
    request: Request, *, field: str, most: int, hold: Callable[[int], None]
) -> tuple[bytes, str, dict[str, str]]:
    """The file in a request, its name, and the other fields of its form.

    Args:
        field: name of the file in a form.
        most: bytes of a file.
        hold: is called with the bytes that arrived; raises ``Refusal`` if they are too many.

    Raises:
        Refusal: 413, 415, 422, or that of ``hold``.
    """
    kind = content_type(request)
    form = kind == FORM
    if not form and not (kind.startswith("image/") or kind == "application/octet-stream"):
        await refuse_read(
            request,
            most,
            Refusal(
                415,
                f"Content-Type is {kind or 'missing'}; send the bytes of an image as image/jpeg, "
                "image/png, ... or application/octet-stream, or a form (multipart/form-data) with "
                f"`{field}`",
            ),
        )
    too_long = Refusal(
        413, f"the upload is larger than the allowed {most / 2**20:g} MiB; scale it down"
    )
    limit = most + FORM_BYTES if form else most
    if content_length(request) > limit:
        await refuse_read(request, most, too_long)
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise too_long
        hold(len(message.get("body", b"")))
        return message

    limited = Request(request.scope, counted)
    if not form:
        return await limited.body(), "the upload", {}
    try:
        async with limited.form(max_files=1, max_fields=8, max_part_size=FORM_BYTES) as fields:
            upload = fields.get(field)
            if not isinstance(upload, UploadFile):
                raise Refusal(422, f"the form has no file named `{field}`")
            words = {k: v for k, v in fields.items() if isinstance(v, str)}
            return await upload.read(), upload.filename or "the upload", words
    except (MultiPartException, HTTPException, ValueError) as error:  # an unknown charset
        why = getattr(error, "message", None) or getattr(error, "detail", None) or error
        raise Refusal(422, f"the form cannot be read: {why}") from None


async def refuse_read(request: Request, most: int, refusal: Refusal) -> NoReturn:
    """Read and discard the body, then refuse."""
    await drain(request.receive, DRAINED * most)
    raise refusal


def content_type(request: Request) -> str:
    """The body's content type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def content_length(request: Request) -> int:
    """The body's length as the client states it; 0 where it does not."""
    stated = request.headers.get("content-length", "0")
    return int(stated) if stated.isdecimal() and len(stated) < 20 else 0


def read_upload(
    data: bytes, name: str, *, max_pixels: int, reading: Reading = AS_RGB
) -> photo.Pixels:
    """The image in ``data``, upright: uint8 (H, W, C).

    The content decides the format, not the name or the stated content type.

    Raises:
        Refusal: 413 for more than ``max_pixels``; 415 not an image; 422 empty or damaged.
    """
    name = Path(name).name or "the upload"
    if not data:
        raise Refusal(422, f"{name}: the file is empty (0 bytes); send an image")

    def check(size: tuple[int, int]) -> None:
        if size[0] * size[1] > max_pixels:
            raise _too_large(name, size, max_pixels)

    try:
        with photo.faults_named(Path(name)):
            return photo.decoded(np.frombuffer(data, np.uint8), reading=reading, check=check)
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, UnidentifiedImageError):
            raise Refusal(415, f"{name}: not a supported image format; send {KINDS}") from None
        if isinstance(cause, Image.DecompressionBombError | Image.DecompressionBombWarning):
            raise Refusal(413, f"{name}: {' '.join(str(cause).split())}") from None
        if isinstance(cause, UnfitError):
            raise Refusal(422, f"{name}: {cause}") from None
        why = " ".join(str(cause).split()) or type(cause).__name__
        raise Refusal(422, f"{name}: a damaged or truncated image ({why}); send a whole one") from (
            None
        )


def _too_large(name: str, size: tuple[int, int], max_pixels: int) -> Refusal:
    return Refusal(
        413,
        f"{name}: {size[1]} x {size[0]} pixels are more than the "
        f"{max_pixels / 1e6:g} million allowed; scale it down",
    )
