"""Draw the annotations of an image on it."""

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
    if objects.keypoints is not None:
        bones = found.skeleton.bones if found.skeleton else ()
        for points, label in zip(objects.keypoints, objects.labels, strict=True):
            image = draw_skeleton(image, points, bones, colour_of(int(label)), least=1)
    return draw_objects(image, objects, found.classes)


def draw_objects(image: Pixels, objects: Objects, classes: Sequence[str]) -> Pixels:
    """The image with masks and boxes; ignored objects have no name."""
    colours = [colour_of(int(label)) for label in objects.labels]
    for outline, colour in zip(objects.segments or (), colours, strict=False):
        image = tint(image, to_mask(outline, *image.shape[:2]).astype(bool), colour)
    pairs = zip(objects.labels, objects.ignored, strict=True)
    words = ["" if ignored else classes[label] for label, ignored in pairs]
    return draw_boxes(image, objects.boxes, words, colours)
