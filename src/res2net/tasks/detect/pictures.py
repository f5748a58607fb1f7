"""Pictures of a detection: boxes and masks on the image, a sheet, scores. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from res2net.data.outlines import to_mask
from res2net.data.scene import Objects
from res2net.drawing.canvas import Picture, counted
from res2net.drawing.marks import colour_of, draw_boxes, tint
from res2net.metrics.coco import CocoScores
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.sizes import SIZES
from res2net.tasks.dense import pictures
from res2net.tasks.dense.tables import percent

Seen = tuple[Tensor, Objects, DetectionArrays, str]  # image, truth, what was found, name


def draw_detections(
    image: Picture, found: DetectionArrays, names: Sequence[str], *, least: float
) -> Picture:
    """The image (H, W, 3) with detections of a score of ``least`` or more."""
    shown = found.of(found.scores >= least)
    if shown.masks is not None:
        for mask, label in zip(shown.masks, shown.labels, strict=True):
            inside = to_mask(mask, *image.shape[:2]).astype(bool)
            image = tint(image, inside, colour_of(int(label)))
    words = [
        f"{names[label]} {100 * score:.0f} %"
        for label, score in zip(shown.labels, shown.scores, strict=True)
    ]
    return draw_boxes(image, shown.boxes, words, [colour_of(int(k)) for k in shown.labels])


def draw_truth(image: Picture, objects: Objects, names: Sequence[str]) -> Picture:
    """The image with what is marked; what is ignored has no name."""
    for i, outline in enumerate(objects.segments or ()):
        inside = to_mask(outline, *image.shape[:2]).astype(bool)
        image = tint(image, inside, colour_of(int(objects.labels[i])))
    words = [
        "" if ignored else names[label]
        for label, ignored in zip(objects.labels, objects.ignored, strict=True)
    ]
    return draw_boxes(image, objects.boxes, words, [colour_of(int(k)) for k in objects.labels])


def draw_sheet(
    seen: Sequence[Seen], names: Sequence[str], title: str, least: float, path: Path
) -> None:
    """Truth and detections side by side, a row each."""
    rows = []
    for image, objects, found, name in seen:
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        marked = draw_truth(pixels, objects, names)
        rows.append(((marked, draw_detections(pixels, found, names, least=least)), name))
    subtitle = (
        f"{counted(len(seen), 'image')}: as annotated, and what was found with a score of "
        f"{100 * least:.0f} % or more"
    )
    pictures.draw_sheet(rows, title, subtitle, path)


def draw_scores(scores: CocoScores, names: Sequence[str], title: str, path: Path) -> None:
    """Average precision of each class, and by the size of objects."""
    known = [(n, v) for n, v in zip(names, scores.per_class, strict=True) if v is not None]
    by_size = pictures.BySize(
        title="By size of the object",
        things="object",
        label="%",
        series={
            "AP": {size: scores.stats[f"ap_{size}"] for size in SIZES},
            "AR": {size: scores.stats[f"ar_{size}"] for size in SIZES},
        },
        counts=scores.sizes,
    )
    pictures.draw_bars(
        path,
        title,
        f"AP {percent(scores.stats['ap'])}, AP50 {percent(scores.stats['ap50'])} of "
        f"{counted(sum(scores.objects), 'object')} of {counted(len(known), 'kind')}",
        pictures.Bars(title="By class", label="AP, %", values=known),
        by_size,
    )
