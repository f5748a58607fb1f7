"""Marks on an image, in its own pixels: boxes, outlines, skeletons, a legend. Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
Mask = npt.NDArray[np.bool_]  # (H, W)
Side = Literal["left", "right", ""]  # of a key-point; "" is neither

# After Okabe and Ito 2008, then each the farthest from those before it, for normal, protanopic,
# deuteranopic and tritanopic eyes alike: any two differ by 15 in CIELAB for all of them.
COLOURS: tuple[Colour, ...] = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167)),
    *((86, 180, 233), (240, 228, 66), (120, 94, 240), (105, 45, 15), (195, 240, 195)),
    *((75, 60, 90), (105, 255, 135), (75, 0, 180), (225, 0, 75), (135, 0, 255)),
    *((105, 15, 120), (180, 165, 75), (135, 150, 255), (255, 180, 210), (135, 195, 135)),
    *((60, 105, 60), (210, 0, 180), (150, 60, 0), (165, 75, 135)),
)
VOID: Colour = (224, 224, 192)  # of pixels that do not count, as VOC has it
OBJECT = COLOURS[1]  # of what is salient
DARK, LIGHT = (20, 20, 20), (255, 255, 255)
SIDES: dict[Side, Colour] = {"left": COLOURS[5], "right": COLOURS[3], "": COLOURS[6]}
BACKGROUND = ("background", "_background_", "void", "ground", "unlabeled", "unlabelled")


def colour_of(number: int) -> Colour:
    """A colour for each class or object; they come again after the 24th."""
    return COLOURS[number % len(COLOURS)]


def class_colours(classes: Sequence[str]) -> tuple[Colour, ...]:
    """The colour of each class of a list, the same in every picture.

    A background that comes first is black, which leaves the image as it is, and the classes after
    it have the colours that they have without it.
    """
    first = int(bool(classes) and classes[0].lower() in BACKGROUND)
    black: list[Colour] = [(0, 0, 0)] * first
    return (*black, *map(colour_of, range(len(classes) - first)))


def with_palette(classes: Pixels, palette: Sequence[Colour]) -> Image.Image:
    """A map of classes (H, W) with their colours in its PNG; its values stay the numbers."""
    colours = np.full((256, 3), VOID, np.uint8)
    colours[: len(palette)] = palette
    image = Image.fromarray(classes)
    image.putpalette(colours.tobytes())
    return image


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


def tint(image: Pixels, mask: Mask, colour: Colour, share: float = 0.5) -> Pixels:
    """The image with a colour over the pixels of a mask (H, W)."""
    out = image.copy()
    out[mask] = ((1 - share) * image[mask] + share * np.array(colour)).astype(np.uint8)
    return out


def draw_masks(image: Pixels, masks: Sequence[Mask], colours: Sequence[Colour]) -> Pixels:
    """Masks (H, W) in their colours, each with an outline, so that neighbours stay apart."""
    width = _line(image)
    for mask, colour in zip(masks, colours, strict=True):
        image = tint(image, mask, colour, 0.4)
        image[inner_edge(mask, width)] = colour
    return image


def inner_edge(mask: Mask, width: int) -> Mask:
    """The pixels of a mask (H, W) within ``width`` of what is outside it or of the border."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    edge = np.zeros_like(mask)
    if rows.size:
        place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        padded = Image.fromarray(np.pad(mask[place], width))
        kept = np.asarray(padded.convert("L").filter(ImageFilter.MinFilter(2 * width + 1))) > 0
        edge[place] = mask[place] & ~kept[width:-width, width:-width]
    return edge


def draw_skeleton(
    image: Pixels,
    points: npt.NDArray[np.float64],
    bones: Sequence[tuple[int, int]],
    sides: Sequence[Side],
    *,
    least: float,
) -> Pixels:
    """Key-points (K, 3) with a score of ``least`` or more, and the bones between such.

    Args:
        sides: (K,); left and right have a colour each. A bone has its side where its ends are not
            on both.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    line = _line(image)
    shown = points[:, 2] >= least
    for a, b in bones:
        if shown[a] and shown[b]:
            ends = (*points[a, :2].tolist(), *points[b, :2].tolist())
            one, other = sides[a] or sides[b], sides[b] or sides[a]
            draw.line(ends, SIDES[one if one == other else ""], line)
    for (x, y, _), side, there in zip(points.tolist(), sides, shown, strict=True):
        if there:
            r = line + 1
            ring = max(1, line // 2)
            draw.ellipse((x - r, y - r, x + r, y + r), LIGHT, SIDES[side], ring)
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
