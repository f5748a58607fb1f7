"""Contact sheets: images with what was said of them, 1,200 pixels wide. Imports matplotlib."""

# H, W pixels of an image · N images · lengths and places in pixels from the figure's top left

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from res2net.drawing.canvas import (
    GREEN,
    GREY,
    INK,
    MARGIN,
    RED,
    TOP,
    WIDTH,
    Picture,
    add_picture,
    counted,
    fit,
    headed_figure,
    measure,
    write,
)
from res2net.tasks.classify.evaluation import Evaluation, Mistake


@dataclass(frozen=True, kw_only=True)
class _Line:
    text: str
    aside: str = ""  # at the right end of the line
    color: str = INK
    size: float = 7  # points


def draw_mistakes(
    evaluation: Evaluation,
    load_image: Callable[[int], Picture],
    path: Path,
    *,
    names: Sequence[str] | None = None,
    count: int = 24,
) -> None:
    """Draw the images that were most confidently taken for something else.

    Args:
        evaluation: whose mistakes to show.
        load_image: gives image ``i`` of the data set as uint8 (H, W, 3), any size.
        path: the PNG to write.
        names: a file name for each of the N images, shown below its picture.
        count: how many at most.
    """
    mistakes = evaluation.mistakes()
    worst = mistakes[:count]
    subtitle = (
        f"{len(worst)} of {len(mistakes):,} mistakes in {evaluation.count:,} images, surest first:"
        "   ✓ true class   ✗ predicted class and its probability"
    )
    if not worst:
        subtitle = f"none: all {evaluation.count:,} images are classified correctly"
    tiles = ((load_image(each.index), _explain(each, names)) for each in worst)
    _draw_sheet(path, "Worst mistakes", subtitle, tiles, len(worst), lines=3 if names else 2)


def _explain(mistake: Mistake, names: Sequence[str] | None) -> list[_Line]:
    confidence = f"{100 * mistake.confidence:.0f} %"
    lines = [
        _Line(text=f"✓ {mistake.true}", color=GREEN),
        _Line(text=f"✗ {mistake.predicted}", aside=confidence, color=RED),
    ]
    if names:
        lines.append(_Line(text=Path(names[mistake.index]).name, color=GREY, size=5.5))
    return lines


def draw_predictions(images: Sequence[Picture], labels: Sequence[str], path: Path) -> None:
    """Draw images with what was predicted for each.

    Args:
        images: uint8 (H, W, 3), any size; the first 60 are drawn.
        labels: what to write below each image, a few lines at most. What follows a tab is set at
            the right end of its line: ``"church\\t93 %\\ngas pump\\t4 %"``.
        path: the PNG to write.
    """
    shown = min(len(images), 60)
    subtitle = f"{counted(shown, 'image')}, the first of {len(images):,}"
    if shown == len(images):
        subtitle = counted(shown, "image")
    texts = [
        [
            _Line(text=text, aside=aside, color=GREY if i else INK)
            for i, (text, _, aside) in enumerate(
                line.partition("\t") for line in label.splitlines()
            )
        ]
        for label in labels[:shown]
    ]
    tiles = zip(images[:shown], texts, strict=True)
    _draw_sheet(path, "Predictions", subtitle, tiles, shown, lines=max(map(len, texts), default=0))


def _draw_sheet(
    path: Path,
    title: str,
    subtitle: str,
    tiles: Iterable[tuple[Picture, Sequence[_Line]]],
    count: int,
    *,
    lines: int,
) -> None:
    """A grid of ``count`` images on equal tiles, each with up to ``lines`` lines below it."""
    columns, gap = min(max(count, 3), 6), 20
    side = (WIDTH - 2 * MARGIN - (columns - 1) * gap) // columns
    pitch = side + 30 + 22 * lines  # from row to row
    height = TOP + math.ceil(count / columns) * pitch + MARGIN
    with headed_figure(path, height, title, subtitle) as figure:
        for i, (image, texts) in enumerate(tiles):
            row, column = divmod(i, columns)
            left, top = MARGIN + column * (side + gap), TOP + row * pitch
            add_picture(figure, image, left, top, side)
            for j, line in enumerate(texts):
                y = top + side + 18 + 22 * j
                room = side - measure(line.aside + " ", line.size)
                text, size, color = fit(line.text, room, line.size), line.size, line.color
                write(figure, text, left, y, size=size, color=color)
                write(figure, line.aside, left + side, y, size=size, color=color, align="right")
