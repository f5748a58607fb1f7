"""Scenes as a torch data set: decoded, with marks as tensors that torchvision's transforms move.

Legend: H, W pixels · N objects · K key-points
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from res2net.data import photo
from res2net.data.decode import decode
from res2net.data.keyed import KeyedDataset
from res2net.data.outlines import to_mask
from res2net.data.scene import IGNORED, Objects, Pixels, Scene
from res2net.data.scenes.options import Marks
from res2net.errors import UserError

Target = dict[str, Any]
Sample = tuple[Tensor, Target, int]  # uint8 (3, H, W), marks, index
Transform = Callable[[Tensor, Target], tuple[Tensor, Target]]


class SceneDataset(KeyedDataset[Sample]):
    """Scenes with one kind of marks.

    The target of ``boxes``: boxes (N, 4), labels (N,), ignored (N,); of ``masks`` also masks
    (N, H, W); of ``keypoints`` also keypoints (N, K, 3); of ``classes``, ``salient``: map (H, W).

    Args:
        scenes: what to show.
        marks: which marks.
        classes: of class maps; another value than these and 255 is a fault.
        transform: (image, target) to the same, drawn from torch's generator.
        void: values of class maps that count as 255.
        skip_bad: leave faulty files out of their batch, with a warning.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        marks: Marks,
        classes: int,
        transform: Transform,
        *,
        void: Sequence[int] = (),
        skip_bad: bool = False,
    ) -> None:
        super().__init__(skip_bad=skip_bad)
        self.scenes, self.marks, self.classes = scenes, marks, classes
        self.transform, self.void = transform, tuple(void)

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int) -> Sample:
        """Image, marks and index, transformed."""
        return *self.transform(*self.load(index)), index

    def load(self, index: int) -> tuple[Tensor, Target]:
        """Image uint8 (3, H, W) and marks, nothing transformed."""
        scene = self.scenes[index]
        pixels = scene.image
        image = decode(pixels) if isinstance(pixels, Path) else _channels_first(pixels)
        size = (image.shape[1], image.shape[2])
        return tv_tensors.Image(image), self._target(scene, size)

    def _target(self, scene: Scene, size: tuple[int, int]) -> Target:
        if self.marks == "classes":
            return {"map": tv_tensors.Mask(torch.from_numpy(self._classes(scene, size)))}
        if self.marks == "salient":
            assert scene.salient is not None
            values = read_map(scene.salient)
            _check_size(values, size, scene)
            wanted = np.where(values > 128, np.uint8(1), np.uint8(0))
            return {"map": tv_tensors.Mask(torch.from_numpy(wanted))}
        assert scene.objects is not None
        if scene.size is not None and scene.size != size:
            raise UserError(f"{scene.name}: is {size}, its marks are for {scene.size} (H, W)")
        try:
            return _marks(scene.objects, size, self.marks)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{scene.name}: a mask cannot be read ({error})") from None

    def _classes(self, scene: Scene, size: tuple[int, int]) -> Pixels:
        assert scene.classes is not None
        values = read_map(scene.classes)
        _check_size(values, size, scene)
        for each in self.void:
            values[values == each] = IGNORED
        strange = np.unique(values[(values >= self.classes) & (values != IGNORED)])
        if strange.size:
            raise UserError(
                f"{scene.name}: its map has the value {strange[0]}; classes are "
                f"0..{self.classes - 1}, {IGNORED} does not count"
            )
        return values


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


def read_map(source: Path | Pixels) -> Pixels:
    """A map (H, W): the indices of a palette or grey values, whatever the colours.

    Raises:
        UserError: not an image, or one in colours.
    """
    if not isinstance(source, Path):
        return source.copy()
    with photo.faults_named(source), Image.open(source) as file:
        image = file.convert("L") if file.mode == "1" else file
        if image.mode not in ("L", "P"):
            raise UserError(f"{source}: a map has one value a pixel, this one is {image.mode}")
        return np.array(image, np.uint8)


def _check_size(values: npt.NDArray[Any], size: tuple[int, int], scene: Scene) -> None:
    if values.shape != size:
        raise UserError(f"{scene.name}: is {size}, its map {values.shape} (H, W)")


def _channels_first(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)
