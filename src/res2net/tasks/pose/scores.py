"""The scores of a pose network over a part of the data, their tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Objects, Scene, Scenes, Skeleton
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.skeletons import numbered, sides_of
from res2net.data.scenes.transforms import as_it_is
from res2net.drawing.marks import SIDES, Side
from res2net.errors import UserError, counted
from res2net.heads.pose import PoseNet
from res2net.metrics.coco import CocoScores, coco_scores, resampled
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.keypoints import NEAR, oks, pck
from res2net.metrics.sizes import SIZES, size_index
from res2net.tasks import pictures
from res2net.tasks.network import Deployed, in_colours, ready
from res2net.tasks.pose.task import SURE, draw_poses, poses_of, skeleton_of
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

Seen = tuple[Tensor, Objects, DetectionArrays, str]  # image, truth, poses, name
SHOWN = 6  # images kept for the sheet
NAMED: dict[Side, str] = {"left": "left", "right": "right", "": "neither, or both"}
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
class PoseScores(Comparable):
    """The results of a measurement, with the first few images."""

    by_image = "oks"

    scenes: list[Scene]
    found: list[DetectionArrays]  # in each of them
    classes: tuple[str, ...]
    scores: CocoScores
    boxes: str  # origin of the boxes: annotated or detected
    alike: list[Alike]  # for each image
    skeleton: Skeleton
    seen: list[Seen]

    @property
    def headline(self) -> str:
        return f"AP {percent(self.scores.stats['ap'])} of key-points, {self.boxes}"

    def summary(self) -> dict[str, float]:
        """In percent."""
        return _summary(self.scores.stats, self.alike)

    @property
    def near(self) -> dict[str, tuple[float, int]]:
        """Size → mean OKS of its objects in percent, and their number."""
        return nearness(self.alike)

    def resampled(self) -> Resampled:
        """As in ``Comparable``; also ``oks``, the mean over all objects."""
        matched = resampled(
            *(self.scenes, self.found, self.classes),
            kind="keypoints",
            sigmas=self.skeleton.sigmas,
        )

        def over(chosen: npt.NDArray[np.int64]) -> Figures:
            stats, per_class = matched(chosen)
            alike = [self.alike[i] for i in chosen]
            values = [near.oks for each in alike for near in each]
            mean = {"oks": 100 * float(np.mean(values))} if values else {}
            return Figures({**_summary(stats, alike), **mean}, known(self.classes, per_class))

        return over

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        rows = [("images measured", f"{self.images:,}"), ("boxes", self.boxes)]
        rows += [(_NAMES[name], percent(value)) for name, value in self.scores.stats.items()]
        for size, (value, count) in self.near.items():
            rows.append((f"mean OKS of {size} objects ({count:,})", f"{value:.2f} %"))
        for name, (count, share, area) in self.per_keypoint.items():
            if count:
                what = f"{name} ({count:,})" if name else "key-points"
                rows.append((f"PCK at {NEAR} and area of {what}", f"{share:.2f} %, {area:.2f} %"))
        return rows

    @property
    def per_keypoint(self) -> dict[str, tuple[int, float | None, float | None]]:
        """Name, or "" for all → number of annotated ones, PCK and the area under its curve."""
        far = _distances(self.alike, len(self.skeleton.names))
        own = {name: pck(far[:, k]) for k, name in enumerate(self.skeleton.names)}
        return {"": pck(far), **own}

    def write(self, folder: Path) -> tuple[str, ...]:
        """``by_size.csv``, ``per_keypoint.csv`` and pictures."""
        blank = (None, 0)
        sizes = [(size, *reversed(self.near.get(size, blank))) for size in SIZES]
        write_table(folder / "by_size.csv", ("size", "objects", "mean_oks_percent"), sizes)
        rows = [(name or "all", *own) for name, own in self.per_keypoint.items()]
        heads = ("key_point", "annotated", "pck_percent", "area_percent")
        write_table(folder / "per_keypoint.csv", heads, rows)
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
        boxes: a detector's; None: the annotated ones.
        turned: also average over the mirror image (flip test).

    Raises:
        UserError: a file that cannot be read (unless left out), other key-points than the
            network's, or nothing to measure.
    """
    ready(model)
    skeleton = skeleton_of(card.marks)
    check_points(images, skeleton)
    rows: list[int] = []
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
        rows.append(index)
        if len(seen) < SHOWN and len(scene.objects):
            seen.append((in_colours(image), scene.objects, found[-1], scene.name))
    scenes = [part[index] for index in rows]
    if how.limit is None and not any(len(annotated_boxes(scene)) for scene in scenes):
        raise UserError("nothing was measured: no key-point is annotated in these images")
    return PoseScores(
        scenes=scenes,
        found=found,
        classes=images.classes,
        scores=coco_scores(scenes, found, images.classes, kind="keypoints", sigmas=skeleton.sigmas),
        boxes=(
            "in the annotated boxes" if how.boxes is None else f"in the boxes of {how.boxes.origin}"
        ),
        alike=[best_oks(*pair, skeleton) for pair in zip(scenes, found, strict=True)],
        skeleton=skeleton,
        images=len(scenes),
        rows=rows,
        seen=seen,
    )


def check_points(images: Scenes, skeleton: Skeleton) -> None:
    """Refuse data whose key-points differ from the network's, or are in another order.

    Case and spelling of names are ignored; so are numbers for names ("point 1").

    Raises:
        UserError: they differ.
    """
    own = images.skeleton.names if images.skeleton is not None else skeleton.names
    plain, wanted = (
        ["".join(filter(str.isalnum, name.lower())) for name in names]
        for names in (own, skeleton.names)
    )
    unnamed = numbered(len(own)) in (own, skeleton.names)
    if len(own) != len(skeleton.names) or (plain != wanted and not unnamed):
        raise UserError(
            f"{images.name}: its key-points are {', '.join(own)}; the network's are "
            f"{', '.join(skeleton.names)}, in this order"
        )


class Near(NamedTuple):
    """How close the best pose is to an object."""

    size: str  # of the object
    oks: float  # 0..1
    distances: npt.NDArray[np.float64]  # (K,) as for ``metrics.keypoints.pck``


Alike = list[Near]  # for the objects of an image


def best_oks(scene: Scene, found: DetectionArrays, skeleton: Skeleton) -> Alike:
    """How close the pose with the highest OKS is to each object that has key-points."""
    objects = scene.objects
    assert objects is not None
    if objects.keypoints is None:
        return []
    assert found.keypoints is not None
    best: Alike = []
    for i in range(len(objects)):
        points = objects.keypoints[i]
        if objects.ignored[i] or not (points[:, 2] > 0).any():
            continue
        area = float(objects.areas[i])
        near = oks(found.keypoints, points, area, skeleton.sigmas, visible=points[:, 2])
        size = list(SIZES)[int(size_index(np.array([area]))[0])]
        far = np.where(points[:, 2] > 0, np.inf, np.nan)
        if len(near):
            gap = found.keypoints[near.argmax(), :, :2] - points[:, :2]
            side = float((objects.boxes[i, 2:] - objects.boxes[i, :2]).max())
            far = np.where(np.isnan(far), np.nan, np.hypot(*gap.T) / max(side, 1e-9))
        best.append(Near(size, float(near.max(initial=0.0)), far))
    return best


def nearness(alike: Sequence[Alike]) -> dict[str, tuple[float, int]]:
    """Mean OKS in percent of the best pose for each object, by the object's size."""
    every = [near for each in alike for near in each]
    values = {size: [near.oks for near in every if near.size == size] for size in SIZES}
    return {size: (100 * float(np.mean(own)), len(own)) for size, own in values.items() if own}


def _summary(stats: Mapping[str, float | None], alike: Sequence[Alike]) -> dict[str, float]:
    _, share, area = pck(_distances(alike))
    figures = {**stats, "pck": share, "pck_area": area}
    found = {name: value for name, value in figures.items() if value is not None}
    return {**found, **{f"oks_{size}": mean for size, (mean, _) in nearness(alike).items()}}


def _distances(alike: Sequence[Alike], count: int = -1) -> npt.NDArray[np.float64]:
    """Of all objects: (N, K)."""
    rows = [near.distances for each in alike for near in each]
    return np.array(rows) if rows else np.zeros((0, max(count, 0)))


def annotated_boxes(scene: Scene) -> DetectionArrays:
    """The annotated boxes of objects with key-points, as detections with score 1."""
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
    """Truth and poses side by side, one row per image."""
    rows, sides = [], sides_of(skeleton)
    for image, objects, found, name in seen:
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        marked = DetectionArrays(
            boxes=objects.boxes,
            scores=np.ones(len(objects)),
            labels=objects.labels,
            keypoints=objects.keypoints,
        )
        pair = (
            draw_poses(pixels, marked, skeleton.bones, sides, least=1),
            draw_poses(pixels, found, skeleton.bones, sides, least=SURE),
        )
        rows.append((pair, name))
    subtitle = (
        f"{counted(len(seen), 'image')}: annotations, and poses with a score of "
        f"{100 * SURE:.0f} % or more"
    )
    legend = [(words, SIDES[side]) for side, words in NAMED.items() if side in sides]
    pictures.draw_sheet(rows, "Key-points", subtitle, path, legend)


def draw_scores(
    scores: CocoScores,
    names: Mapping[str, str],
    near: Mapping[str, tuple[float, int]],
    boxes: str,
    path: Path,
) -> None:
    """The averages by name, and the closeness of poses by size of object."""
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
