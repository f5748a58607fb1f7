"""Pictures of a segmentation: scores by class and by size, a sheet. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.data.scene import IGNORED
from res2net.drawing.canvas import Picture, counted
from res2net.drawing.marks import Colour, draw_legend
from res2net.metrics.segmentation import SegmentationScores
from res2net.tasks.dense import pictures

OPACITY = 0.55  # of the colours over the image
NAMED = 8  # classes in a legend
VOID: Colour = (224, 224, 192)  # of what does not count, as VOC has it
LEAST = 0.002  # share of the image that a class in a legend covers


def overlay(image: Tensor, classes: npt.NDArray[np.integer], palette: Sequence[Colour]) -> Picture:
    """The image (3, H, W) under the colours of its classes (H, W).

    What is black in the palette (a background) stays as it is, what does not count turns pale.
    """
    colours = np.full((256, 3), VOID, np.uint8)
    colours[: len(palette)] = palette
    pixels = image.permute(1, 2, 0).numpy().astype(np.float32)  # (H, W, 3)
    over = colours[classes.clip(0, IGNORED)]
    share = np.where(over.any(axis=2, keepdims=True), OPACITY, 0.0)
    return ((1 - share) * pixels + share * over).astype(np.uint8)


def labelled(
    image: Tensor,
    classes: npt.NDArray[np.integer],
    names: Sequence[str],
    palette: Sequence[Colour],
) -> Picture:
    """The same with the names of the classes that cover most, in their colours."""
    counts = np.bincount(classes.ravel(), minlength=256)[: len(names)]
    order = [k for k in np.argsort(-counts, kind="stable") if counts[k] > LEAST * classes.size]
    order = [k for k in order if any(palette[k])][:NAMED]
    over = overlay(image, classes, palette)
    return draw_legend(over, [names[k] for k in order], [palette[k] for k in order])


def draw_sheet(
    seen: Sequence[tuple[Tensor, Tensor, Tensor, str]],
    names: Sequence[str],
    palette: Sequence[Colour],
    path: Path,
) -> None:
    """Image, truth and prediction side by side, a row each."""
    rows = [
        (
            (
                np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
                overlay(image, truth.numpy(), palette),
                overlay(image, found.numpy(), palette),
            ),
            name,
        )
        for image, truth, found, name in seen
    ]
    shown = np.unique(np.concatenate([each.ravel() for _, *two, _ in seen for each in two]))
    legend = [(names[k], palette[k]) for k in shown if k < len(names)]
    legend = [
        (name, c) if any(c) else (f"{name} (as it is)", (255, 255, 255)) for name, c in legend
    ]
    if IGNORED in shown:
        legend.append(("does not count", VOID))
    subtitle = f"{counted(len(seen), 'image')}: as it is, as annotated, as it was predicted"
    pictures.draw_sheet(rows, "Segmentation", subtitle, path, legend)


def draw_scores(scores: SegmentationScores, classes: Sequence[str], path: Path) -> None:
    """IoU of each class, and the share found of regions by their size."""
    known = [(n, v) for n, v in zip(classes, scores.per_class, strict=True) if v is not None]
    pictures.draw_bars(
        path,
        "Scores by class and by size",
        f"mean IoU {scores.mean_iou:.1f} % of {counted(len(known), 'kind')}"
        if (scores.confusion.sum(1) > 0).sum() > 1
        else "one class only: no mean IoU",
        pictures.Bars(title="By class", label="IoU, %", values=known),
        pictures.BySize(
            title="By size of the region",
            things="region",
            label="pixels found, %",
            series={"found": scores.region_recall},
            counts=scores.regions,
        ),
    )
