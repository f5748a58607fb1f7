"""An image with its annotations drawn on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from res2net.data.outlines import to_mask
from res2net.data.scene import Objects, Pixels, Scene, Scenes
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import Marks
from res2net.drawing.marks import colour_of, draw_boxes, draw_legend, draw_skeleton, tint


def annotated(image: Pixels, scene: Scene, found: Scenes, marks: Marks) -> Pixels:
    """The image (H, W, 3) with its annotations: boxes, outlines, key-points, or its map."""
    if marks in ("classes", "salient"):
        values = map_of(scene, marks, image.shape[:2], len(found.classes), found.legend)
        shown = [k for k in np.unique(values).tolist() if 0 < k < len(found.classes)]
        names = [found.classes[k] for k in shown]
        palette = found.palette or tuple(colour_of(k) for k in range(len(found.classes)))
        colours = [palette[k] if any(palette[k]) else colour_of(k) for k in shown]
        for k, colour in zip(shown, colours, strict=True):
            image = tint(image, values == k, colour)
        return draw_legend(image, names, colours) if marks == "classes" else image
    objects = scene.objects
    if objects is None or not len(objects):
        return image
    bones = found.skeleton.bones if found.skeleton else ()
    for i in range(len(objects)):
        colour = colour_of(int(objects.labels[i]))
        if objects.segments is not None and marks == "masks":
            image = tint(image, to_mask(objects.segments[i], *image.shape[:2]).astype(bool), colour)
        if objects.keypoints is not None:
            image = draw_skeleton(image, objects.keypoints[i], bones, colour, least=1)
    return draw_boxes(image, objects.boxes, _words(objects, found.classes), _colours(objects))


def _words(objects: Objects, classes: Sequence[str]) -> list[str]:
    """A class name an object; none of one that does not count."""
    pairs = zip(objects.labels, objects.ignored, strict=True)
    return ["" if ignored else classes[label] for label, ignored in pairs]


def _colours(objects: Objects) -> list[tuple[int, int, int]]:
    return [colour_of(int(label)) for label in objects.labels]
