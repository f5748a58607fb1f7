"""Pictures of poses: a sheet, scores by size. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from res2net.data.scene import Objects, Skeleton
from res2net.drawing.canvas import counted
from res2net.metrics.coco import CocoScores
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.dense import pictures
from res2net.tasks.dense.tables import percent
from res2net.tasks.pose.inference import SURE, draw_poses


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
