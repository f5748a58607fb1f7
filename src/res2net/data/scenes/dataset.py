"""Scenes as a torch ``Dataset``: decoded images, and annotations as tensors for torchvision.

Legend: H, W pixels · N objects · K key-points
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from res2net.data.decode import as_pixels, decode
from res2net.data.outlines import to_mask
from res2net.data.preprocess import AS_RGB, Reading
from res2net.data.sampler import KeyedDataset
from res2net.data.scene import Legend, Objects, Scene
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import Marks
from res2net.errors import UserError

Target = dict[str, Any]
Sample = tuple[Tensor, Target, int]  # uint8 (C, H, W), annotations, index
Transform = Callable[[Tensor, Target], tuple[Tensor, Target]]


class SceneDataset(KeyedDataset[Sample]):
    """Scenes with one kind of annotation.

    The target of ``boxes``: boxes (N, 4), labels (N,), ignored (N,); of ``masks`` also masks
    (N, H, W); of ``keypoints`` also keypoints (N, K, 3); of ``classes``, ``salient``: map (H, W).

    Args:
        scenes: the images.
        marks: the kind of annotation.
        classes: number of classes of class maps; values other than these and 255 are errors.
        transform: (image, target) to the same, drawn from torch's generator.
        legend: meaning of the values of class maps.
        skip_bad: leave faulty files out of their batch, with a warning.
        reading: channels C and range of values of an image.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        marks: Marks,
        classes: int,
        transform: Transform,
        *,
        legend: Legend | None = None,
        skip_bad: bool = False,
        reading: Reading = AS_RGB,
    ) -> None:
        super().__init__(skip_bad=skip_bad)
        self.scenes, self.marks, self.classes = scenes, marks, classes
        self.transform, self.legend, self.reading = transform, legend or Legend(), reading

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int) -> Sample:
        """Transformed image, annotations and index."""
        return *self.transform(*self.load(index)), index

    def load(self, index: int) -> tuple[Tensor, Target]:
        """Image uint8 (C, H, W) and annotations before the transform."""
        scene = self.scenes[index]
        pixels = scene.image
        if isinstance(pixels, Path):
            image = decode(pixels, reading=self.reading)
        else:
            image = as_pixels(pixels.copy(), self.reading)
        size = (image.shape[1], image.shape[2])
        return tv_tensors.Image(image), self._target(scene, size)

    def _target(self, scene: Scene, size: tuple[int, int]) -> Target:
        if self.marks in ("classes", "salient"):
            values = map_of(scene, self.marks, size, self.classes, self.legend)
            return {"map": tv_tensors.Mask(torch.from_numpy(values))}
        assert scene.objects is not None
        if scene.size is not None and scene.size != size:
            raise UserError(f"{scene.name}: is {size}, its annotations are for {scene.size} (H, W)")
        try:
            return _marks(scene.objects, size, self.marks)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{scene.name}: a mask cannot be read ({error})") from None


def _marks(objects: Objects, size: tuple[int, int], marks: Marks) -> Target:
    target: Target = {
        "boxes": tv_tensors.BoundingBoxes(
            torch.from_numpy(objects.boxes).float().reshape(-1, 4),
            format="XYXY",
            canvas_size=size,
        ),
        "labels": torch.from_numpy(objects.labels),
        "ignored": torch.from_numpy(objects.ignored),
    }
    if marks == "masks":
        assert objects.segments is not None or not len(objects)
        masks = [to_mask(each, *size) for each in objects.segments or ()]
        stacked = np.stack(masks) if masks else np.zeros((0, *size), np.uint8)
        target["masks"] = tv_tensors.Mask(torch.from_numpy(stacked))
    if marks == "keypoints":
        assert objects.keypoints is not None or not len(objects)
        points = objects.keypoints if objects.keypoints is not None else np.zeros((0, 0, 3))
        target["keypoints"] = torch.from_numpy(points).float()
    return target


def stacked(samples: list[Sample]) -> tuple[Tensor, Tensor]:
    """Crops of one size: uint8 (B, C, S, S) and maps (B, S, S)."""
    images = torch.stack([image.as_subclass(Tensor) for image, _, _ in samples])
    maps = torch.stack([target["map"].as_subclass(Tensor) for _, target, _ in samples])
    return images, maps


def listed(samples: list[Sample]) -> list[Sample]:
    """Collate images of different sizes."""
    return samples
