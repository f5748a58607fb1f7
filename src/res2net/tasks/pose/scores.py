"""The scores of a pose network over a part of the data, their tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Objects, Scene, Scenes, Skeleton
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.transforms import as_it_is
from res2net.drawing.canvas import counted
from res2net.errors import UserError
from res2net.heads.pose import PoseNet
from res2net.metrics.coco import CocoScores, coco_scores
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.keypoints import oks
from res2net.metrics.sizes import SIZES, size_index
from res2net.tasks import pictures
from res2net.tasks.network import Deployed, in_colours, ready
from res2net.tasks.pose.task import SURE, draw_poses, poses_of, skeleton_of
from res2net.tasks.scores import Measuring, Scores, each_sample, percent, write_table

Seen = tuple[Tensor, Objects, DetectionArrays, str]  # image, truth, what was found, name
SHOWN = 6  # images kept for the sheet
_NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_medium": "AP of medium objects",
    "ap_large": "AP of large objects",
    "ar": "AR",
    "ar50": "AR50",
    "ar75": "AR75",
    "ar_medium": "AR of medium objects",
    "ar_large": "AR of large objects",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseScores(Scores):
    """What a measurement found, with the first few images."""

    scores: CocoScores
    boxes: str  # where the boxes came from: figures with marked and with detected ones differ
    near: dict[str, tuple[float, int]]  # size → mean OKS of its objects in percent, their number
    skeleton: Skeleton
    seen: list[Seen]

    @property
    def headline(self) -> str:
        return f"AP {percent(self.scores.stats['ap'])} of key-points, {self.boxes}"

    def summary(self) -> dict[str, float]:
        """In percent."""
        found = {k: v for k, v in self.scores.stats.items() if v is not None}
        return {**found, **{f"oks_{size}": value for size, (value, _) in self.near.items()}}

    def table(self) -> list[tuple[str, str]]:
        """(what, figure) for people."""
        rows = [("images measured", f"{self.images:,}"), ("boxes", self.boxes)]
        rows += [(_NAMES[name], percent(value)) for name, value in self.scores.stats.items()]
        for size, (value, count) in self.near.items():
            rows.append((f"mean OKS of {size} objects ({count:,})", f"{value:.2f} %"))
        return rows

    def write(self, folder: Path) -> tuple[str, ...]:
        """``by_size.csv`` and pictures."""
        blank = (None, 0)
        sizes = [(size, *reversed(self.near.get(size, blank))) for size in SIZES]
        write_table(folder / "by_size.csv", ("size", "objects", "mean_oks_percent"), sizes)
        draw_scores(self.scores, _NAMES, self.near, self.boxes, folder / "scores.png")
        draw_sheet(self.seen, self.skeleton, folder / "sheet.png")
        return "scores.png", "sheet.png"


def measure(
    model: PoseNet | Deployed,
    card: ModelCard,
    images: Scenes,
    part: Sequence[Scene],
    how: Measuring,
) -> PoseScores:
    """Scores over whole images.

    Args:
        boxes: those of a detector; None takes the marked ones.
        turned: also see each object in a mirror (the flip test).

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    ready(model)
    skeleton = skeleton_of(card.marks)
    scenes: list[Scene] = []
    found: list[DetectionArrays] = []
    seen: list[Seen] = []
    shown = SceneDataset(
        *(part, "keypoints", len(images.classes), as_it_is),
        skip_bad=how.skip_bad,
        reading=card.preprocess.reading,
    )
    for image, _, index in each_sample(shown, how):
        scene = part[index]
        assert scene.objects is not None
        places = (
            annotated_boxes(scene)
            if how.boxes is None
            else how.boxes.of(scene.name, images.classes)
        )
        found.append(
            poses_of(
                *(model, image, places, card.preprocess, skeleton),
                precision=how.precision,
                turned=how.flip is not False,
            )
        )
        scenes.append(scene)
        if len(seen) < SHOWN and len(scene.objects):
            seen.append((in_colours(image), scene.objects, found[-1], scene.name))
    if how.limit is None and not any(len(annotated_boxes(scene)) for scene in scenes):
        raise UserError("nothing was measured: no key-point is annotated in these images")
    return PoseScores(
        scores=coco_scores(scenes, found, images.classes, kind="keypoints", sigmas=skeleton.sigmas),
        boxes=(
            "in the annotated boxes" if how.boxes is None else f"in the boxes of {how.boxes.origin}"
        ),
        near=nearness(scenes, found, skeleton),
        skeleton=skeleton,
        images=len(scenes),
        seen=seen,
    )


def nearness(
    scenes: Sequence[Scene], found: Sequence[DetectionArrays], skeleton: Skeleton
) -> dict[str, tuple[float, int]]:
    """Mean OKS in percent of the best pose for each object, by the object's size."""
    values: dict[str, list[float]] = {size: [] for size in SIZES}
    for scene, each in zip(scenes, found, strict=True):
        objects = scene.objects
        assert objects is not None
        if objects.keypoints is None:
            continue
        assert each.keypoints is not None
        for i in range(len(objects)):
            points = objects.keypoints[i]
            if objects.ignored[i] or not (points[:, 2] > 0).any():
                continue
            area = float(objects.areas[i])
            alike = oks(each.keypoints, points, area, skeleton.sigmas, visible=points[:, 2])
            size = list(SIZES)[int(size_index(np.array([area]))[0])]
            values[size].append(float(alike.max(initial=0.0)))
    return {size: (100 * float(np.mean(own)), len(own)) for size, own in values.items() if own}


def annotated_boxes(scene: Scene) -> DetectionArrays:
    """The marked boxes of the objects that have key-points, as if a detector were sure of them."""
    objects = scene.objects
    assert objects is not None
    usable = objects.learnable() & (objects.keypoints is not None)
    count = int(usable.sum())
    return DetectionArrays(
        boxes=objects.boxes[usable], scores=np.ones(count), labels=objects.labels[usable]
    )


def draw_sheet(
    seen: Sequence[tuple[Tensor, Objects, DetectionArrays, str]], skeleton: Skeleton, path: Path
) -> None:
    """Truth and poses side by side, a row each."""
    rows = []
    for image, objects, found, name in seen:
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        marked = DetectionArrays(
            boxes=objects.boxes,
            scores=np.ones(len(objects)),
            labels=objects.labels,
            keypoints=objects.keypoints,
        )
        pair = (
            draw_poses(pixels, marked, skeleton.bones, least=1),
            draw_poses(pixels, found, skeleton.bones, least=SURE),
        )
        rows.append((pair, name))
    subtitle = (
        f"{counted(len(seen), 'image')}: as annotated, and what was found with a score of "
        f"{100 * SURE:.0f} % or more"
    )
    pictures.draw_sheet(rows, "Key-points", subtitle, path)


def draw_scores(
    scores: CocoScores,
    names: Mapping[str, str],
    near: Mapping[str, tuple[float, int]],
    boxes: str,
    path: Path,
) -> None:
    """The averages by their names, and how near poses are to objects of each size."""
    pictures.draw_bars(
        path,
        "Scores of key-points",
        f"AP {percent(scores.stats['ap'])} of {counted(sum(scores.objects), 'object')}, {boxes}",
        pictures.Bars(
            title="Precision and recall",
            label="%",
            values=[(names[k], value) for k, value in scores.stats.items() if value is not None],
        ),
        pictures.BySize(
            title="By size of the object",
            things="object",
            label="mean OKS, %",
            series={"OKS": {size: value for size, (value, _) in near.items()}},
            counts={size: count for size, (_, count) in near.items()},
        ),
    )
