"""Generated scenes for classification: one object per image, whose kind is the class.

Object length is the studied variable: log-uniform from 8 pixels to the side of the image in
training, and each of ``LENGTHS``, half an octave apart, equally often in validation.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np

from res2net.data.labelled import LabelledImages, ReadOptions, Split
from res2net.data.scene import Scene
from res2net.data.scenes.generated import CLASSES, SMALLEST, SceneRules, generate

SIDE = 64  # pixels
TRAIN, VAL = 16384, 2800  # images
LENGTHS = tuple(SMALLEST * 2 ** (half / 2) for half in range(7))  # pixels, 8 to 64


def read(_: Path, options: ReadOptions) -> LabelledImages:
    """16,384 training and 2,800 validation images of 64x64 pixels with four kinds of object."""
    images = np.empty((TRAIN + VAL, SIDE, SIDE, 3), np.uint8)
    labels = np.empty(TRAIN + VAL, np.int64)
    for index in range(TRAIN + VAL):
        scene = scene_of(index, options.seed)
        assert scene.objects is not None
        images[index] = np.asarray(scene.image)
        labels[index] = scene.objects.labels[0]
    return LabelledImages(
        name="scenes",
        classes=CLASSES,
        train=Split(images=images[:TRAIN], labels=labels[:TRAIN]),
        val=Split(images=images[TRAIN:], labels=labels[TRAIN:]),
        native_size=SIDE,
    )


def scene_of(index: int, seed: int) -> Scene:
    """Image ``index`` of a seed, training first, with the outline of its object."""
    smallest, largest = float(SMALLEST), float(SIDE)
    if index >= TRAIN:
        smallest = largest = length_of(index - TRAIN)
    rules = SceneRules(side=SIDE, most=1, smallest=smallest, largest=largest)
    # hardly visible objects are left out of their scene: then the next scene is used
    scenes = (generate(index, seed + (turn << 32), rules) for turn in count())
    return next(each for each in scenes if each.objects)


def length_of(index: int) -> float:
    """Pixels of the object in validation image ``index``."""
    return LENGTHS[index % len(LENGTHS)]
