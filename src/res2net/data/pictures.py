"""Draw the annotations of an image on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from res2net.data.outlines import to_mask
from res2net.data.scene import Objects, Pixels, Scene, Scenes
from res2net.data.scenes.mapfile import map_of
from res2net.data.scenes.options import Marks
from res2net.data.scenes.skeletons import sides_of
from res2net.drawing.marks import (
    class_colours,
    colour_of,
    draw_boxes,
    draw_legend,
    draw_masks,
    draw_skeleton,
    tint,
)


def annotated(image: Pixels, scene: Scene, found: Scenes, marks: Marks) -> Pixels:
    """The image (H, W, 3) with its annotations: boxes, outlines, key-points, or its map."""
    if marks in ("classes", "salient"):
        values = map_of(scene, marks, image.shape[:2], len(found.classes), found.legend)
        palette = found.palette or class_colours(found.classes)
        shown = [k for k in np.unique(values).tolist() if k < len(palette) and any(palette[k])]
        names, colours = [found.classes[k] for k in shown], [palette[k] for k in shown]
        for k, colour in zip(shown, colours, strict=True):
            image = tint(image, values == k, colour)
        return draw_legend(image, names, colours) if marks == "classes" else image
    objects = scene.objects
    if objects is None or not len(objects):
        return image
    if objects.keypoints is not None:
        bones = found.skeleton.bones if found.skeleton else ()
        sides = sides_of(found.skeleton) if found.skeleton else ("",) * objects.keypoints.shape[1]
        for points in objects.keypoints:
            image = draw_skeleton(image, points, bones, sides, least=1)
    return draw_objects(image, objects, found.classes)


def draw_objects(image: Pixels, objects: Objects, classes: Sequence[str]) -> Pixels:
    """The image with masks and boxes; ignored objects have no name.

    Boxes have the colour of their class, masks and their boxes one for each object.
    """
    masks = [to_mask(each, *image.shape[:2]).astype(bool) for each in objects.segments or ()]
    numbers = range(len(objects)) if masks else objects.labels.tolist()
    colours = [colour_of(number) for number in numbers]
    image = draw_masks(image, masks, colours) if masks else image
    pairs = zip(objects.labels, objects.ignored, strict=True)
    words = ["" if ignored else classes[label] for label, ignored in pairs]
    return draw_boxes(image, objects.boxes, words, colours)
