"""The activation map of the likeliest class on the photo itself.

Legend: H, W pixels of the photo · S side of the square that the network sees
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from res2net.data.photo import RGB, Pixels, shown
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import normalise
from res2net.explain.cam import class_activation_map
from res2net.explain.overlay import heat_overlay
from res2net.tasks.classify.task import Classifier

LARGEST = 640  # pixels of a side that a page shows


def draw_activation(predictor: Classifier, shaped: Tensor, pixels: Pixels) -> tuple[RGB, str]:
    """The photo under its Grad-CAM, cut to what the network saw, and a line on what that is.

    Args:
        shaped: what ``predictor.shaped`` made of ``pixels``: uint8 (C, S, S).
        pixels: uint8 (H, W, C).
    """
    batch = normalise(shaped[None], predictor.preprocess)  # (1, C, S, S)
    found = class_activation_map(predictor.model, batch)
    seen = seen_square(shown(pixels), predictor.preprocess)
    heat = Image.fromarray(found.maps[0].numpy(), "F")  # (S, S)
    large = np.asarray(heat.resize((seen.shape[1], seen.shape[0]), Image.Resampling.BILINEAR))
    name = predictor.classes[found.classes[0]]
    return heat_overlay(seen, large.clip(0, 1)), f"evidence for {name} (Grad-CAM, {found.level})"


def seen_square(pixels: RGB, preprocess: Preprocess) -> RGB:
    """The central square of a photo (H, W, 3) that is left by resizing and cropping.

    In the photo's own pixels, or fewer where a side would have more than 640.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    side = min(max(round(short * preprocess.size / preprocess.resize), 1), short)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    if side > LARGEST:
        square = square.resize((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(square)
