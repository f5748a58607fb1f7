"""Pictures of a segmentation: curves, scores by class and by size, a sheet. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.data.scene import IGNORED
from res2net.drawing.canvas import (
    BLUE,
    GREY,
    MARGIN,
    ORANGE,
    TOP,
    WIDTH,
    Picture,
    add_axes,
    counted,
    fit,
    headed_figure,
    letterbox,
    write,
)
from res2net.metrics.segmentation import SegmentationScores

Palette = Sequence[tuple[int, int, int]]
OPACITY = 0.55  # of the colours over the image
MOST_CLASSES = 40  # bars of classes


def overlay(image: Tensor, classes: npt.NDArray[np.integer], palette: Palette) -> Picture:
    """The image (3, H, W) under the colours of its classes (H, W).

    What is black in the palette (a background) stays as it is, what does not count turns grey.
    """
    colours = np.full((256, 3), 128, np.uint8)
    colours[: len(palette)] = palette
    pixels = image.permute(1, 2, 0).numpy().astype(np.float32)  # (H, W, 3)
    over = colours[classes.clip(0, IGNORED)]
    share = np.where(over.any(axis=2, keepdims=True), OPACITY, 0.0)
    return ((1 - share) * pixels + share * over).astype(np.uint8)


def draw_sheet(
    seen: Sequence[tuple[Tensor, Tensor, Tensor, str]], palette: Palette, path: Path
) -> None:
    """Image, truth and prediction side by side, a row each."""
    side, gap = (WIDTH - 2 * MARGIN - 40) // 3, 20
    height = TOP + len(seen) * (side + 44) + MARGIN
    subtitle = f"{counted(len(seen), 'image')}: as it is, as it was marked, as it was predicted"
    with headed_figure(path, height, "Segmentation", subtitle) as figure:
        for row, (image, truth, found, name) in enumerate(seen):
            top = TOP + row * (side + 44)
            shown = (
                np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
                overlay(image, truth.numpy(), palette),
                overlay(image, found.numpy(), palette),
            )
            for column, picture in enumerate(shown):
                left = MARGIN + column * (side + gap)
                figure.figimage(letterbox(picture, side), left, height - top - side)
            write(figure, fit(name, side, 7), MARGIN, top + side + 18, size=7, color=GREY)


def draw_scores(scores: SegmentationScores, classes: Sequence[str], path: Path) -> None:
    """IoU of each class (the worst 40 of many), and the share found of regions by their size."""
    known = [(n, v) for n, v in zip(classes, scores.per_class, strict=True) if v is not None]
    worst = sorted(known, key=lambda each: each[1])[:MOST_CLASSES]
    subtitle = f"mean IoU {scores.mean_iou:.1f} % of {counted(len(known), 'class')[:-1]}es"
    height = TOP + 60 + 26 * max(len(worst), 8) + 90
    with headed_figure(path, height, "Scores by class and by size", subtitle) as figure:
        axes = add_axes(figure, MARGIN + 150, TOP + 30, 420, 26 * max(len(worst), 8))
        names = [fit(name, 150, 7) for name, _ in worst]
        axes.barh(range(len(worst)), [value for _, value in worst], color=BLUE)
        axes.set_yticks(range(len(worst)), names)
        axes.set(xlim=(0, 100), xlabel="IoU, %")
        axes.set_title("Classes")
        axes = add_axes(figure, MARGIN + 740, TOP + 30, 380, 26 * max(len(worst), 8))
        sizes = [(k, v) for k, v in scores.region_recall.items() if v is not None]
        axes.bar([k for k, _ in sizes], [v for _, v in sizes], color=ORANGE)
        for i, (k, v) in enumerate(sizes):
            axes.text(i, v + 1, f"{scores.regions[k]:,} regions", ha="center", size=7, color=GREY)
        axes.set(ylim=(0, 108), ylabel="pixels found, %")
        axes.set_title("Regions (small < 32², large ≥ 96² px)")


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss and IoU error of each epoch."""
    subtitle = counted(len(history), "epoch")
    with headed_figure(path, 560, "Training", subtitle) as figure:
        for i, (title, lines) in enumerate(_CURVES):
            axes = add_axes(figure, MARGIN + 65 + i * 560, TOP + 40, 460, 340)
            for key, label, colour in lines:
                points = [(row["epoch"], row[key]) for row in history if key in row]
                if points:
                    x, y = zip(*points, strict=True)
                    axes.plot(x, y, color=colour, label=label, marker="o" if len(x) < 21 else "")
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.set_ylim(bottom=0)
            if axes.lines:
                axes.legend()


_CURVES = (
    ("Loss", (("train/loss", "training", BLUE), ("val/loss", "validation", ORANGE))),
    ("Error, 100 % - mean IoU", (("val/iou_error", "validation", ORANGE),)),
)
