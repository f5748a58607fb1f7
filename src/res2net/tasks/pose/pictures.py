"""Pictures of poses: a sheet, scores by size. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from res2net.data.scene import Objects, Skeleton
from res2net.drawing.canvas import counted
from res2net.metrics.coco import CocoScores
from res2net.metrics.detections import Detections
from res2net.tasks.dense import pictures
from res2net.tasks.pose.inference import SURE, draw_poses


def draw_sheet(
    seen: Sequence[tuple[Tensor, Objects, Detections, str]], skeleton: Skeleton, path: Path
) -> None:
    """Truth and poses side by side, a row each."""
    rows = []
    for image, objects, found, name in seen:
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        marked = Detections(
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
        f"{counted(len(seen), 'image')}: as it was marked, and what was found with a score of "
        f"{100 * SURE:.0f} % or more"
    )
    pictures.draw_sheet(rows, "Key-points", subtitle, path)


def draw_scores(
    scores: CocoScores, near: Mapping[str, tuple[float, int]], boxes: str, path: Path
) -> None:
    """The averages, and how near poses are to objects of each size."""
    stats = [(name.upper(), value) for name, value in scores.stats.items() if value is not None]
    pictures.draw_bars(
        path,
        "Key-points",
        f"AP {scores.stats['ap'] or 0:.1f} %, {boxes}",
        stats,
        [(size, value, counted(count, "object")) for size, (value, count) in near.items()],
        ("%", "mean OKS, %", "Objects (small < 32², large ≥ 96² px)"),
    )
