"""Objects with key-points as a torch data set: cut out, varied, with the heat maps to learn.

Legend: K key-points · S_h, S_w the network's input · h, w its heat maps, a quarter of that
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.data.keyed import KeyedDataset
from res2net.data.scene import Scene, Skeleton
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.transforms import as_it_is
from res2net.tasks.pose.frame import ASPECT, Floats, Frame, around

Crop = tuple[Tensor, Tensor, Tensor, int]  # uint8 (3, S_h, S_w), maps (K, h, w), counts (K,), index
STRIDE = 4  # of the heat maps
SPREAD = 2.0  # σ of a key-point in its map, in cells
SCALE, TURN, TURNED = 0.3, np.deg2rad(40), 0.6  # variation: of the size; of the angle; how often


class CropDataset(KeyedDataset[Crop]):
    """Every object with a key-point that is marked, a sample each.

    Args:
        scenes: with key-points.
        skeleton: which key-points.
        height: S_h.
        hflip: probability of a mirror image; None varies nothing.
        skip_bad: leave objects of images that cannot be decoded out, with a warning.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        skeleton: Skeleton,
        height: int,
        *,
        hflip: float | None = None,
        skip_bad: bool = False,
    ) -> None:
        super().__init__(skip_bad=skip_bad)
        self.whole = SceneDataset(scenes, "keypoints", 1, as_it_is)
        self.skeleton, self.hflip = skeleton, hflip
        self.size = input_size(height)
        self.objects = [
            (number, i)
            for number, scene in enumerate(scenes)
            for i in range(len(scene.objects or ()))
            if _usable(scene, i)
        ]

    def __len__(self) -> int:
        return len(self.objects)

    def sample(self, index: int) -> Crop:
        """The object, its heat maps and which of them count."""
        number, i = self.objects[index]
        image, _ = self.whole.load(number)
        objects = self.whole.scenes[number].objects
        assert objects is not None
        assert objects.keypoints is not None
        frame = around(objects.boxes[i])
        points = objects.keypoints[i]
        if self.hflip is not None:
            frame = varied(frame, self.hflip)
        if frame.mirrored:
            points = points[self.skeleton.mirrored()]
        pixels = frame.cut(image.permute(1, 2, 0).contiguous().numpy(), self.size)
        inside = frame.inward(points[:, :2], self.size)
        maps, counts = heat_maps(inside, points[:, 2] > 0, self.size)
        seen = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        return seen, torch.from_numpy(maps), torch.from_numpy(counts), index


def input_size(height: int) -> tuple[int, int]:
    """S_h, S_w of a height: 3:4, whole multiples of 32."""
    return height, max(32, round(height * ASPECT / 32) * 32)


def varied(frame: Frame, hflip: float) -> Frame:
    """Another size (by up to 30 %), turned (6 of 10 times, by up to 80 degrees), mirrored."""
    size, turn = torch.randn(2).tolist()
    often, mirror = torch.rand(2).tolist()
    return replace(
        frame,
        height=frame.height * float(np.clip(1 + SCALE * size, 1 - SCALE, 1 + SCALE)),
        turn=float(np.clip(TURN * turn, -2 * TURN, 2 * TURN)) if often < TURNED else 0.0,
        mirrored=mirror < hflip,
    )


def heat_maps(
    points: Floats, marked: npt.NDArray[np.bool_], size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A Gaussian of σ = 2 cells around each key-point (K, 2): maps (K, h, w), which count (K,).

    A key-point whose Gaussian lies beyond the map does not count.
    """
    h, w = size[0] // STRIDE, size[1] // STRIDE
    cells = np.floor(points / STRIDE + 0.5)  # the nearest cell
    reach = 3 * SPREAD
    inside = ((cells + reach >= 0) & (cells - reach < np.array([w, h]))).all(axis=1)
    counts = (marked & inside).astype(np.float32)
    x = np.exp(-((np.arange(w) - cells[:, :1]) ** 2) / (2 * SPREAD**2))  # (K, w)
    y = np.exp(-((np.arange(h) - cells[:, 1:]) ** 2) / (2 * SPREAD**2))  # (K, h)
    maps = y[:, :, None] * x[:, None, :] * counts[:, None, None]
    return maps.astype(np.float32), counts


def batched(samples: list[Crop]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """uint8 (B, 3, S_h, S_w), maps (B, K, h, w), counts (B, K), indices."""
    images, maps, counts, indices = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(maps), torch.stack(counts), list(indices)


def _usable(scene: Scene, i: int) -> bool:
    objects = scene.objects
    assert objects is not None
    if objects.keypoints is None or objects.ignored[i]:
        return False
    return bool((objects.keypoints[i, :, 2] > 0).any())
