"""The scores of a detector over a part of the data, their tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from res2net.card import ModelCard
from res2net.data.pictures import draw_objects
from res2net.data.scene import Objects, Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.transforms import as_it_is
from res2net.drawing.canvas import MARGIN, headed_figure
from res2net.errors import UserError, counted
from res2net.metrics.coco import CocoScores, Kind, coco_scores, resampled
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.mistakes import KINDS, Mistakes, mistakes
from res2net.metrics.sizes import SIZES
from res2net.metrics.voc import VocScores, voc_scores
from res2net.tasks import pictures
from res2net.tasks.detect.find import find
from res2net.tasks.detect.graph import marks_of
from res2net.tasks.detect.task import SURE, draw_detections
from res2net.tasks.finding import Finding
from res2net.tasks.network import Deployed, in_colours, ready
from res2net.tasks.scores import (
    Comparable,
    Figures,
    Measuring,
    Resampled,
    each_sample,
    known,
    percent,
    write_table,
)

SHOWN = 6  # images kept for the sheet
MOST_NAMED = 100  # classes in a picture of confusions
_NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP of small objects",
    "ap_medium": "AP of medium objects",
    "ap_large": "AP of large objects",
    "ar1": "AR, 1 per image",
    "ar10": "AR, 10 per image",
    "ar100": "AR, 100 per image",
    "ar_small": "AR of small objects",
    "ar_medium": "AR of medium objects",
    "ar_large": "AR of large objects",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectScores(Comparable):
    """The results of a measurement, with the first few images."""

    by_image = "ap50"

    scenes: list[Scene]
    found: list[DetectionArrays]  # in each of them
    kinds: dict[Kind, CocoScores]  # boxes and, for Mask R-CNN, masks; the last is the main one
    voc: VocScores | None  # for VOC data
    classes: tuple[str, ...]
    seen: list[Seen]

    @cached_property
    def mistakes(self) -> Mistakes:
        """Precision and recall by score, confusions and kinds of errors, of ``main``'s kind."""
        return mistakes(self.scenes, self.found, self.classes, kind=self.main.kind)

    @property
    def main(self) -> CocoScores:
        """The scores of masks if there are any, else of boxes."""
        return list(self.kinds.values())[-1]

    @property
    def counts(self) -> str:
        return "mask_ap" if self.main.kind == "segm" else "ap"

    @property
    def headline(self) -> str:
        of = "masks" if self.main.kind == "segm" else "boxes"
        stats = self.main.stats
        return f"AP {percent(stats['ap'])}, AP50 {percent(stats['ap50'])} of {of}"

    def summary(self) -> dict[str, float]:
        """In percent; names of mask figures begin with ``mask_``."""
        found = _summary({kind: scores.stats for kind, scores in self.kinds.items()})
        if self.voc is not None and self.voc.map_eleven_points is not None:
            found["voc07_ap50"] = self.voc.map_eleven_points
            found["voc_ap50"] = self.voc.map_area or 0.0
        return found

    def resampled(self) -> Resampled:
        """As in ``Comparable``, without VOC's own figures."""
        matched = {
            kind: resampled(self.scenes, self.found, self.classes, kind=kind) for kind in self.kinds
        }

        def over(chosen: npt.NDArray[np.int64]) -> Figures:
            figures = {kind: own(chosen) for kind, own in matched.items()}
            _, per_class = figures[self.main.kind]
            stats = {kind: own for kind, (own, _) in figures.items()}
            return Figures(_summary(stats), known(self.classes, per_class))

        return over

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        rows = [("images measured", f"{self.images:,}")]
        for kind, scores in self.kinds.items():
            of = "masks: " if kind == "segm" else "boxes: " if len(self.kinds) > 1 else ""
            rows += [(f"{of}{_NAMES[name]}", percent(v)) for name, v in scores.stats.items()]
        if self.voc is not None:
            rows.append(("VOC07's AP50 (11 points)", percent(self.voc.map_eleven_points)))
            rows.append(("VOC's AP50 (area)", percent(self.voc.map_area)))
        for name, value, count in zip(
            self.classes, self.main.per_class, self.main.objects, strict=True
        ):
            rows.append((f"AP of {name} ({count:,})", percent(value)))
        score, f1 = self.mistakes.threshold
        rows.append(("best score threshold (mean F1, IoU 0.5)", f"{score:.3f} ({f1:.3f})"))
        counts = self.mistakes.counts(score)
        return rows + [
            (f"errors, best threshold: {name}", f"{count:,}") for name, count in counts.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Also the best score threshold, its F1 and the errors at that threshold."""
        score, f1 = self.mistakes.threshold
        errors = self.mistakes.counts(score)
        return {**self.summary(), "best_score": score, "f1": f1, "errors": errors}

    def write(self, folder: Path) -> tuple[str, ...]:
        """``per_class.csv``, ``by_size.csv``, those of ``write_mistakes``, and pictures."""
        rows: list[tuple[object, ...]] = []
        sizes: list[tuple[object, ...]] = []
        for kind, scores in self.kinds.items():
            rows += [
                (kind, name, count, value)
                for name, count, value in zip(
                    self.classes, scores.objects, scores.per_class, strict=True
                )
            ]
            for size, count in scores.sizes.items():
                stats = scores.stats
                sizes.append((kind, size, count, stats[f"ap_{size}"], stats[f"ar_{size}"]))
        write_table(folder / "per_class.csv", ("of", "class", "objects", "ap_percent"), rows)
        head = ("of", "size", "objects", "ap_percent", "ar_percent")
        write_table(folder / "by_size.csv", head, sizes)
        masks = self.main.kind == "segm"
        draw_scores(
            self.main, self.classes, f"Scores of {'masks' if masks else 'boxes'}",
            folder / "scores.png",
        )  # fmt: skip
        title = "Instances" if masks else "Detections"
        draw_sheet(self.seen, self.classes, title, SURE, folder / "sheet.png")
        write_mistakes(self.mistakes, folder)
        return "scores.png", "sheet.png", "thresholds.png", "errors.png"


def write_mistakes(found: Mistakes, folder: Path) -> None:
    """``thresholds.csv``, ``confusion.csv``, ``errors.csv`` and two pictures."""
    least, f1 = found.threshold
    best = [
        (name, int(found.objects[label]), *(found.best(label) or (None,) * 4))
        for label, name in enumerate(found.classes)
    ]
    head = ("class", "objects", "best_score", "f1", "precision", "recall")
    write_table(folder / "thresholds.csv", head, best)
    names, cells = (*found.classes, "background"), found.confusion(least)
    rows = [(name, *row) for name, row in zip(names, cells.tolist(), strict=True)]
    write_table(folder / "confusion.csv", ("true, by predicted", *names), rows)
    counts = found.counts(least)
    errors = [(name, count, KINDS[name]) for name, count in counts.items()]
    write_table(folder / "errors.csv", ("error", "count", "meaning"), errors)
    subtitle = f"at an IoU of 0.5; mean F1 peaks at {f1:.3f}, at a score threshold of {least:.3f}"
    most = [k for k in np.argsort(-found.objects, kind="stable").tolist() if found.objects[k]]
    curves = [(found.classes[k], *found.curve(k)) for k in most[: pictures.MOST_CURVES]]
    path = folder / "thresholds.png"
    pictures.draw_thresholds(curves, found.classes, subtitle, path, at=least)
    subtitle = f"at a score threshold of {least:.3f}: " + ", ".join(
        f"{v:,} {k}" for k, v in counts.items()
    )
    title = "Confusion matrix and errors"
    with headed_figure(folder / "errors.png", 1100, title, subtitle) as figure:
        if len(names) > MOST_NAMED:
            at = {"left": MARGIN + 70, "side": 700.0, "gamma": 0.5}
            pictures.draw_matrix(figure, cells, len(names), "objects", **at)
            return
        few = len(names) <= pictures.FEW
        texts = [[f"{n or ''}" for n in row] for row in cells.tolist()] if few else []
        pictures.draw_named_matrix(figure, cells, names, "objects", texts)


def _summary(kinds: Mapping[Kind, Mapping[str, float | None]]) -> dict[str, float]:
    return {
        f"{'mask_' if kind == 'segm' else ''}{name}": value
        for kind, stats in kinds.items()
        for name, value in stats.items()
        if value is not None
    }


def measure(
    model: FasterRCNN | Deployed,
    card: ModelCard,
    images: Scenes,
    part: Sequence[Scene],
    how: Measuring,
) -> DetectScores:
    """Scores over whole images.

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    ready(model)
    marks = marks_of(card)
    shown = SceneDataset(
        *(part, marks, len(images.classes), as_it_is),
        skip_bad=how.skip_bad,
        reading=card.preprocess.reading,
    )
    rows: list[int] = []
    found: list[DetectionArrays] = []
    seen: list[Seen] = []
    for image, _, index in each_sample(shown, how):
        rows.append(index)
        found.append(find(model, card, image, how.finding or Finding(), how.precision))
        objects = part[index].objects
        if len(seen) < SHOWN and objects is not None:
            seen.append((in_colours(image), objects, found[-1], part[index].name))
    scenes = [part[index] for index in rows]
    if how.limit is None:
        check_measurable(scenes)
    return DetectScores(
        scenes=scenes,
        found=found,
        kinds=scores_of(scenes, found, card.classes, masks=marks == "masks"),
        voc=voc_scores(scenes, found, card.classes) if images.voc_metric else None,
        classes=card.classes,
        images=len(scenes),
        rows=rows,
        seen=seen,
    )


def check_measurable(scenes: Sequence[Scene]) -> None:
    """Refuse images without an object to measure: no figure would be defined.

    Raises:
        UserError: no object is annotated that is neither a crowd nor difficult.
    """
    objects = [each.objects for each in scenes if each.objects is not None]
    if not any(each.learnable().any() for each in objects):
        raise UserError(
            f"nothing was measured: the {len(scenes)} images have no object to evaluate "
            f"({sum(map(len, objects))} annotated, all of them crowds or difficult)"
        )


def scores_of(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    *,
    masks: bool,
) -> dict[Kind, CocoScores]:
    """COCO's figures of boxes and, if requested, of masks; None where nothing is annotated."""
    kinds: tuple[Kind, ...] = ("bbox", "segm") if masks else ("bbox",)
    return {kind: coco_scores(scenes, found, classes, kind=kind) for kind in kinds}


Seen = tuple[Tensor, Objects, DetectionArrays, str]  # image, truth, detections, name


def draw_sheet(
    seen: Sequence[Seen], names: Sequence[str], title: str, least: float, path: Path
) -> None:
    """Truth and detections side by side, one row per image."""
    rows = []
    for image, objects, found, name in seen:
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        marked = draw_objects(pixels, objects, names)
        rows.append(((marked, draw_detections(pixels, found, names, least=least)), name))
    subtitle = (
        f"{counted(len(seen), 'image')}: annotations, and detections with a score of "
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
