"""Marks on an image, in its own pixels: boxes, outlines, skeletons, a legend. Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]  # (H, W, 3)

COLOURS: tuple[Colour, ...] = (  # easily told apart, also by the colour-blind
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167)),
    *((86, 180, 233), (240, 228, 66), (120, 94, 240)),
)
DARK, LIGHT = (20, 20, 20), (255, 255, 255)


def colour_of(number: int) -> Colour:
    """A colour for each class; they come again after the eighth."""
    return COLOURS[number % len(COLOURS)]


def draw_boxes(
    image: Pixels,
    boxes: npt.NDArray[np.float64],
    labels: Sequence[str],
    colours: Sequence[Colour],
) -> Pixels:
    """Frames with a label at the upper left corner of each.

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    line, font = _line(image), _font(image)
    for box, colour in zip(boxes.tolist(), colours, strict=True):
        left, top, right, bottom = box
        draw.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), None, colour, line)
    for box, label, colour in zip(boxes.tolist(), labels, colours, strict=True):
        if label:
            _tag(draw, (box[0], box[1]), label, colour, font, image.shape)
    return np.asarray(picture)


def tint(image: Pixels, mask: npt.NDArray[np.bool_], colour: Colour, share: float = 0.5) -> Pixels:
    """The image with a colour over the pixels of a mask (H, W)."""
    out = image.copy()
    out[mask] = ((1 - share) * image[mask] + share * np.array(colour)).astype(np.uint8)
    return out


def draw_skeleton(
    image: Pixels,
    points: npt.NDArray[np.float64],
    bones: Sequence[tuple[int, int]],
    colour: Colour,
    *,
    least: float,
) -> Pixels:
    """Key-points (K, 3) with a score of ``least`` or more, and the bones between such."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    line = _line(image)
    shown = points[:, 2] >= least
    for a, b in bones:
        if shown[a] and shown[b]:
            ends = (*points[a, :2].tolist(), *points[b, :2].tolist())
            draw.line(ends, colour, line)
    for x, y in points[shown, :2].tolist():
        r = line + 1
        draw.ellipse((x - r, y - r, x + r, y + r), LIGHT, colour, max(1, line // 2))
    return np.asarray(picture)


def draw_legend(image: Pixels, names: Sequence[str], colours: Sequence[Colour]) -> Pixels:
    """Names in their colours, in the upper left corner; as many as there is room for."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = _font(image)
    top = 2.0
    for name, colour in zip(names, colours, strict=True):
        bottom = _tag(draw, (2, top), name, colour, font, image.shape, below=True)
        if bottom > image.shape[0] - 4:
            break
        top = bottom + 2
    return np.asarray(picture)


def _tag(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    colour: Colour,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    shape: tuple[int, ...],
    *,
    below: bool = False,
) -> float:
    """Text on its colour, inside the image; returns its lower edge."""
    _, _, width, height = draw.textbbox((0, 0), text, font)
    left = min(max(corner[0], 0), max(shape[1] - width - 4, 0))
    top = corner[1] if below else corner[1] - height - 2
    top = min(max(top, 0), max(shape[0] - height - 2, 0))
    draw.rectangle((left, top, left + width + 3, top + height + 2), colour)
    bright = (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) > 140
    draw.text((left + 2, top), text, DARK if bright else LIGHT, font)
    return top + height + 2


def _line(image: Pixels) -> int:
    return max(1, round(min(image.shape[:2]) / 160))


def _font(image: Pixels) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(min(28, max(10, min(image.shape[:2]) / 36)))
