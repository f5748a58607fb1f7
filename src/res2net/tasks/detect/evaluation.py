"""The scores of a detector over a part of the data, their tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchvision.models.detection import FasterRCNN

from res2net.card import ModelCard
from res2net.data.scene import Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.options import Marks
from res2net.data.scenes.transforms import as_it_is
from res2net.errors import UserError
from res2net.metrics.coco import CocoScores, Kind, coco_scores
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.voc import VocScores, voc_scores
from res2net.tasks.dense.network import Deployed, ready
from res2net.tasks.dense.samples import each_sample
from res2net.tasks.dense.tables import percent, write_table
from res2net.tasks.dense.task import Track
from res2net.tasks.detect.inference import SURE, detect
from res2net.tasks.detect.pictures import Seen, draw_scores, draw_sheet

SHOWN = 6  # images kept for the sheet
_NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP of small objects",
    "ap_medium": "AP of medium objects",
    "ap_large": "AP of large objects",
    "ar1": "AR, 1 an image",
    "ar10": "AR, 10 an image",
    "ar100": "AR, 100 an image",
    "ar_small": "AR of small objects",
    "ar_medium": "AR of medium objects",
    "ar_large": "AR of large objects",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectScores:
    """What a measurement found, with the first few images."""

    kinds: dict[Kind, CocoScores]  # of boxes and, of Mask R-CNN, masks; the last one counts
    voc: VocScores | None  # where the data are VOC's
    classes: tuple[str, ...]
    images: int  # measured
    seen: list[Seen]

    @property
    def main(self) -> CocoScores:
        """Of masks where there are such, else of boxes."""
        return list(self.kinds.values())[-1]

    @property
    def headline(self) -> str:
        of = "masks" if self.main.kind == "segm" else "boxes"
        stats = self.main.stats
        return f"AP {percent(stats['ap'])}, AP50 {percent(stats['ap50'])} of {of}"

    def summary(self) -> dict[str, float]:
        """In percent; figures of masks begin with ``mask_``."""
        found = {
            f"{'mask_' if kind == 'segm' else ''}{name}": value
            for kind, scores in self.kinds.items()
            for name, value in scores.stats.items()
            if value is not None
        }
        if self.voc is not None and self.voc.map_eleven_points is not None:
            found["voc07_ap50"] = self.voc.map_eleven_points
            found["voc_ap50"] = self.voc.map_area or 0.0
        return found

    def table(self) -> list[tuple[str, str]]:
        """(what, figure) for people."""
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
        return rows

    def write(self, folder: Path) -> tuple[str, ...]:
        """``per_class.csv``, ``by_size.csv`` and pictures."""
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
        return "scores.png", "sheet.png"


def measure(
    model: FasterRCNN | Deployed,
    card: ModelCard,
    images: Scenes,
    part: Sequence[Scene],
    *,
    precision: str = "auto",
    skip_bad: bool = False,
    limit: int | None = None,
    track: Track | None = None,
) -> DetectScores:
    """Scores over whole images.

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    ready(model)
    marks: Marks = "masks" if card.task == "instances" else "boxes"
    shown = SceneDataset(part, marks, len(images.classes), as_it_is, skip_bad=skip_bad)
    scenes: list[Scene] = []
    found: list[DetectionArrays] = []
    seen: list[Seen] = []
    for image, _, index in each_sample(shown, limit, track):
        scenes.append(part[index])
        found.append(detect(model, image, precision=precision))
        objects = part[index].objects
        if len(seen) < SHOWN and objects is not None:
            seen.append((image, objects, found[-1], part[index].name))
    if limit is None:
        check_measurable(scenes)
    return DetectScores(
        kinds=scores_of(scenes, found, card.classes, masks=marks == "masks"),
        voc=voc_scores(scenes, found, card.classes) if images.voc_metric else None,
        classes=card.classes,
        images=len(scenes),
        seen=seen,
    )


def check_measurable(scenes: Sequence[Scene]) -> None:
    """Refuse images in which nothing is asked for: no figure of theirs means anything.

    Raises:
        UserError: no object is annotated that is neither a crowd nor difficult.
    """
    objects = [each.objects for each in scenes if each.objects is not None]
    if not any(each.learnable().any() for each in objects):
        raise UserError(
            f"nothing was measured: the {len(scenes)} images have no object that counts "
            f"({sum(map(len, objects))} annotated, all of them crowds or difficult)"
        )


def scores_of(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    *,
    masks: bool,
) -> dict[Kind, CocoScores]:
    """COCO's figures of boxes and, where asked for, of masks; None where nothing is annotated."""
    kinds: tuple[Kind, ...] = ("bbox", "segm") if masks else ("bbox",)
    return {kind: coco_scores(scenes, found, classes, kind=kind) for kind in kinds}
