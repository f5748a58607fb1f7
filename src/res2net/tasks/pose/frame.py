"""The part of an image that the network sees of one object, and the way back.

Legend: N objects · K key-points · S_h, S_w the network's input (4:3 upright) · H, W a whole image
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]
ASPECT = 3 / 4  # width over height of what the network sees
MARGIN = 1.25  # of the box


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A turned rectangle around an object, in pixels of the image."""

    centre: tuple[float, float]  # x, y
    height: float
    turn: float = 0.0  # radians, clockwise as seen
    mirrored: bool = False

    def matrix(self, size: tuple[int, int]) -> Floats:
        """(2, 3): pixels of the network's input (x, y, 1) → pixels of the image.

        Args:
            size: S_h, S_w.
        """
        scale = self.height / size[0]
        cos, sin = scale * np.cos(self.turn), scale * np.sin(self.turn)
        turn = np.array([[cos, -sin], [sin, cos]])
        if self.mirrored:
            turn = turn @ np.diag([-1.0, 1.0])
        middle = np.array([size[1] / 2, size[0] / 2])
        return np.concatenate([turn, (np.array(self.centre) - turn @ middle)[:, None]], axis=1)

    def cut(self, image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """What the network sees of (H, W, 3): (S_h, S_w, 3), black beyond the image."""
        data = tuple(self.matrix(size).ravel().tolist())
        picture = Image.fromarray(image)
        seen = picture.transform((size[1], size[0]), Image.Transform.AFFINE, data, _BILINEAR)
        return np.asarray(seen)

    def outward(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Points (..., 2) of the network's input → of the image."""
        matrix = self.matrix(size)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def inward(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Points (..., 2) of the image → of the network's input."""
        matrix = self.matrix(size)
        return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def around(box: npt.NDArray[np.float64]) -> Frame:
    """The upright frame of a box (4,): widened to 3:4, then by a quarter."""
    left, top, right, bottom = box.tolist()
    height = max(bottom - top, (right - left) / ASPECT, 1.0)
    return Frame(centre=((left + right) / 2, (top + bottom) / 2), height=height * MARGIN)


_BILINEAR = Image.Resampling.BILINEAR
