"""Key-points of the objects in an image.

Legend: N objects · K key-points · S_h, S_w the network's input · h, w its heat maps
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.data.preprocess import Preprocess
from res2net.data.scene import Skeleton
from res2net.drawing.marks import colour_of, draw_boxes, draw_skeleton
from res2net.heads.pose import PoseNet
from res2net.heads.precision import at_least_float32
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.keypoints import oks_nms
from res2net.tasks.dense.network import Deployed, Objects, in_use
from res2net.tasks.pose.crops import STRIDE, input_size
from res2net.tasks.pose.frame import around

SURE = 0.2  # score from which a key-point counts for its pose, and is drawn
AT_ONCE = 32  # objects


@torch.inference_mode()
def poses_of(
    model: PoseNet | Deployed,
    image: Tensor,
    places: DetectionArrays,
    preprocess: Preprocess,
    skeleton: Skeleton,
    *,
    precision: str = "auto",
    turned: bool = True,
) -> DetectionArrays:
    """The pose in each of N boxes of uint8 (3, H, W), in pixels of the image, surest first.

    A pose's score is that of its box times the mean of its sure key-points (0.2 or more). Of
    poses that are alike (OKS above 0.9) the surest stays.

    Args:
        places: boxes with classes and scores; 1 where they were marked by hand.
        turned: also see each object in a mirror (the flip test, maps moved by one cell), where
            the skeleton has partners.
    """
    net = in_use(model, preprocess, precision)
    size = input_size(preprocess.size)
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    frames = [around(box) for box in places.boxes]
    found = np.zeros((len(frames), len(skeleton.names), 3))
    for start in range(0, len(frames), AT_ONCE):
        group = frames[start : start + AT_ONCE]
        seen = torch.from_numpy(np.stack([frame.cut(pixels, size) for frame in group]))
        seen = seen.permute(0, 3, 1, 2)
        heat = net(seen)
        if turned and skeleton.swaps:
            mirror = net(seen.flip(-1)).flip(-1)[:, skeleton.mirrored()]
            mirror[..., 1:] = mirror[..., :-1].clone()
            heat = (heat + mirror) / 2
        points = peaks(heat).cpu().numpy().astype(np.float64)
        for offset, frame in enumerate(group):
            own = points[offset]
            found[start + offset, :, :2] = frame.outward(own[:, :2] * STRIDE, size)
            found[start + offset, :, 2] = own[:, 2]
    sure = found[:, :, 2] > SURE
    means = (found[:, :, 2] * sure).sum(1) / sure.sum(1).clip(1)
    rated = places.scores * means
    aspect = size[1] / size[0]
    areas = np.array([frame.height**2 * aspect for frame in frames]).reshape(-1)
    kept = oks_nms(found, rated, areas, skeleton.sigmas) if len(found) else np.zeros(0, np.int64)
    return DetectionArrays(
        boxes=places.boxes[kept],
        scores=rated[kept],
        labels=places.labels[kept],
        keypoints=found[kept],
    )


def peaks(heat: Tensor) -> Tensor:
    """Heat maps (B, K, h, w) → x, y in cells and the height of the peak: (B, K, 3).

    A quarter of a cell towards the higher neighbour, as the paper's base does.
    """
    heat = at_least_float32(heat)
    h, w = heat.shape[2:]
    top, place = heat.flatten(2).max(2)  # (B, K)
    x, y = place % w, place // w
    flat = heat.flatten(2)

    def at(dx: int, dy: int) -> Tensor:
        index = (y + dy).clamp(0, h - 1) * w + (x + dx).clamp(0, w - 1)
        return flat.gather(2, index[..., None])[..., 0]

    inner = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
    right = torch.sign(at(1, 0) - at(-1, 0)) * 0.25 * inner
    below = torch.sign(at(0, 1) - at(0, -1)) * 0.25 * inner
    return torch.stack([x + right, y + below, top.clamp(min=0)], dim=2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Poses(Objects):
    """The poses in an image, surest first.

    Attributes:
        image: uint8 (3, H, W).
        detections: N boxes and scores with their key-points.
        names: of the K key-points.
        bones: pairs of key-points that a line joins.
    """

    names: Sequence[str]
    bones: Sequence[tuple[int, int]]

    @property
    def keypoints(self) -> npt.NDArray[np.float64]:
        """(N, K, 3): x and y in pixels of the image, and a score 0..1."""
        assert self.detections.keypoints is not None
        return self.detections.keypoints

    def as_dict(self) -> dict[str, Any]:
        """Each pose: score, box, and x, y, score of every key-point."""
        found = self.detections
        assert found.keypoints is not None
        rows = []
        for box, score, points in zip(found.boxes, found.scores, found.keypoints, strict=True):
            rows.append(
                {
                    "score": round(float(score), 4),
                    "box": [round(float(value), 2) for value in box],
                    "keypoints": {
                        name: [round(float(value), 3) for value in point]
                        for name, point in zip(self.names, points, strict=True)
                    },
                }
            )
        return {"objects": rows}

    def line(self) -> str:
        found = self.detections
        assert found.keypoints is not None
        sure = int((found.keypoints[:, :, 2] > SURE).sum())
        return f"poses: {len(found)}, sure key-points: {sure}"

    def pictures(self) -> Mapping[str, Any]:
        """The image with its skeletons."""
        pixels = self.image.permute(1, 2, 0).contiguous().numpy()
        return {"": draw_poses(pixels, self.detections, self.bones, least=SURE)}


def draw_poses(
    image: Any, found: DetectionArrays, bones: Sequence[tuple[int, int]], *, least: float
) -> Any:
    """Boxes and skeletons on (H, W, 3), a colour each."""
    assert found.keypoints is not None
    colours = [colour_of(i) for i in range(len(found))]
    image = draw_boxes(image, found.boxes, [""] * len(found), colours)
    for points, colour in zip(found.keypoints, colours, strict=True):
        image = draw_skeleton(image, points, bones, colour, least=least)
    return image


def skeleton_of(marks: Mapping[str, Any]) -> Skeleton:
    """The skeleton in a model's card."""
    values = marks["skeleton"]
    return Skeleton(
        names=tuple(values["names"]),
        swaps=tuple((int(a), int(b)) for a, b in values["swaps"]),
        bones=tuple((int(a), int(b)) for a, b in values["bones"]),
        sigmas=tuple(map(float, values["sigmas"])),
    )
