"""What somebody sent, as pixels: or the reason why not, as a status of HTTP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from res2net.data import photo
from res2net.errors import UserError
from res2net.serve.refusal import Refusal

KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000 or AVIF"


def read_upload(data: bytes, name: str, *, max_pixels: int) -> photo.RGB:
    """The image in ``data``, upright: uint8 (H, W, 3).

    The content decides what it is, not the name and not what the client says of it.

    Raises:
        Refusal: 413 of more than ``max_pixels``; 415 not an image; 422 empty or damaged.
    """
    name = Path(name).name or "the upload"
    if not data:
        raise Refusal(422, f"{name}: the file is empty (0 bytes); send an image")
    try:
        with photo.faults_named(Path(name)):
            image = photo.open_image(np.frombuffer(data, np.uint8))
            if image.width * image.height > max_pixels:
                raise _too_large(name, image, max_pixels)
            return photo.opened_to_rgb(image)
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, UnidentifiedImageError):
            raise Refusal(415, f"{name}: not an image that is read here; send {KINDS}") from None
        if isinstance(cause, Image.DecompressionBombError | Image.DecompressionBombWarning):
            raise Refusal(413, f"{name}: {' '.join(str(cause).split())}") from None
        why = " ".join(str(cause).split()) or type(cause).__name__
        raise Refusal(422, f"{name}: a damaged or truncated image ({why}); send a whole one") from (
            None
        )


def _too_large(name: str, image: Image.Image, max_pixels: int) -> Refusal:
    return Refusal(
        413,
        f"{name}: {image.width} x {image.height} pixels are more than the "
        f"{max_pixels / 1e6:g} million that are allowed; scale it down",
    )
