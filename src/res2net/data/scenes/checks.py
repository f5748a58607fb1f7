"""Check annotations: faulty ones are corrected or left out, counted, and reported by kind."""

from __future__ import annotations

import reprlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import some, spread
from res2net.data.labelled import Validation, note_alike
from res2net.data.outlines import around_rle, corners, fits, parts_of
from res2net.data.scene import Objects, Scene, Scenes, Segment, no_objects
from res2net.data.scenes.mapfile import at_once, held_values
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.split import (
    Keys,
    check_keys,
    hold_out,
    keys_of,
    note_shared,
    one_group,
)
from res2net.errors import UserError

BOXES_ALONE = "objects have only a box, which is used as outline"


@dataclass(kw_only=True)
class Tally:
    """Count faults by kind, with the first file of each."""

    faults: dict[str, tuple[int, str]] = field(default_factory=dict)  # kind → number, first file

    def add(self, fault: str, name: str, count: int = 1) -> None:
        """Note ``count`` faults of a kind in a file."""
        if count:
            number, first = self.faults.get(fault, (0, name))
            self.faults[fault] = number + count, first

    def warn(self, where: Path) -> None:
        """Issue one warning per kind."""
        for fault, (number, first) in self.faults.items():
            warnings.warn(f"{where}: {number} {fault}; the first: {first}", stacklevel=3)


def scene_of(
    name: str,
    image: Path,
    size: tuple[int, int] | None,
    objects: Callable[[tuple[int, int]], Objects],
    tally: Tally,
) -> Scene:
    """An image with its usable objects, or with none if its file is unreadable.

    The check of all images reports unreadable files together or leaves them out.

    Args:
        size: H, W if the annotations state it.
        objects: returns the annotated objects of an image of (H, W).
    """
    try:
        size = size or photo.image_size(image)
    except UserError:
        return Scene(name=name, image=image, objects=no_objects())
    return Scene(name=name, image=image, objects=sound(objects(size), size, name, tally), size=size)


def sound(objects: Objects, size: tuple[int, int], name: str, tally: Tally) -> Objects:
    """The usable objects, with boxes clipped to the image.

    Boxes that are not finite, have no area or lie outside are left out; key-points outside the
    image count as absent; run lengths of another size and parts of an outline that are not
    polygons are left out, and an object stays if it has another valid part.

    Args:
        size: H, W of the image.
        name: the file, for the tally.
    """
    height, width = size
    finite = np.array(np.isfinite(objects.boxes).all(axis=1))
    tally.add("boxes with non-finite numbers left out", name, int((~finite).sum()))
    objects = objects.of(finite)
    sides = _sides(objects.boxes)
    tally.add("boxes without area left out", name, int((sides < _LEAST_SIDE).any(1).sum()))
    objects = objects.of(np.array((sides >= _LEAST_SIDE).all(axis=1)))
    limits = np.array([width, height, width, height], np.float64)
    cut = objects.boxes.clip(0, limits)
    inside = np.array((_sides(cut) >= _LEAST_SIDE).all(axis=1))
    tally.add("boxes outside their image left out", name, int((~inside).sum()))
    reaching = (np.abs(cut - objects.boxes).max(axis=1, initial=0) > 1) & inside
    tally.add("boxes clipped to their image", name, int(reaching.sum()))
    thin = int((_sides(cut[inside]) < 1).any(axis=1).sum())
    tally.add("boxes are less than a pixel wide or high", name, thin)
    objects.boxes[:] = cut
    objects = objects.of(inside)
    if objects.segments is None and objects.keypoints is None:
        rows = zip(objects.labels.tolist(), map(tuple, objects.boxes.tolist()), strict=True)
        tally.add("objects repeat the class and box of another", name, len(objects) - len({*rows}))
    if objects.segments is not None:
        fitting = [not isinstance(each, dict) or fits(each, size) for each in objects.segments]
        fit = np.array(fitting, bool)
        wrong = "damaged masks and masks of another size than the image left out"
        tally.add(wrong, name, int((~fit).sum()))
        objects = objects.of(fit)
        outlines, around = [], np.full((len(objects), 4), np.nan)
        for number, each in enumerate(objects.segments or ()):
            outline, around[number] = _outlined(each, size, name, tally)
            outlines.append(outline)
        apart = _apart(around.clip(0, limits), objects.boxes)
        tally.add("outlines are elsewhere than their boxes (IoU below 0.5)", name, apart)
        whole = np.array([bool(len(each)) for each in outlines], bool)  # (N,)
        tally.add("masks without a valid polygon left out", name, int((~whole).sum()))
        objects = replace(objects, segments=tuple(outlines)).of(whole)
    if objects.keypoints is not None:
        x, y, seen = np.moveaxis(objects.keypoints, 2, 0)
        odd = int((~np.isin(seen, (0, 1, 2))).sum())
        tally.add("key-points have a visibility other than 0, 1, 2: above 0 is visible", name, odd)
        outside = (seen > 0) & ~((x >= 0) & (x < width) & (y >= 0) & (y < height))
        tally.add("key-points outside their image left out", name, int(outside.sum()))
        zero = (seen > 0) & (x == 0) & (y == 0)
        fault = "key-points at 0, 0 count as visible; absent ones have visibility 0"
        tally.add(fault, name, int(zero.sum()))
        objects.keypoints[outside | ~(seen > 0)] = 0
        x, y, seen = np.moveaxis(objects.keypoints, 2, 0)
        left, top, right, bottom = objects.boxes.T[:, :, None]
        held = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        apart = (seen > 0).any(axis=1) & ~((seen > 0) & held).any(axis=1)
        tally.add("objects have all key-points outside their box", name, int(apart.sum()))
    return objects


_LOOKED = 64  # images per part whose size is compared with the stated one
_SHARES = 2.0  # normalised coordinates may slightly exceed 1; pixels of whole data sets are larger
_LEAST_SIDE = 0.01  # pixels; smaller is no object and may round to 0 in fp32


def _sides(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.asarray(boxes[:, 2:] - boxes[:, :2])  # (N, 2)


def _outlined(
    segment: Segment, size: tuple[int, int], name: str, tally: Tally
) -> tuple[Segment, Sequence[float]]:
    """The parts of an outline that are polygons, at most one image side beyond the image.

    The second value is left, top, right, bottom around them; NaN without any.
    """
    unknown = (np.nan,) * 4
    if isinstance(segment, dict | np.ndarray):
        return segment, around_rle(segment) if isinstance(segment, dict) else unknown
    parts, side = parts_of(segment), max(size)
    good, ends = [], []
    for part in parts:
        points = corners(part)
        if points is None:
            continue
        least, most = points.min(0), points.max(0)
        if -side <= least.min() and most.max() <= 2 * side:
            good.append(part)
            ends.append((*least.tolist(), *most.tolist()))
    if not good:
        return good, unknown
    tally.add("outline parts that are not polygons left out", name, len(parts) - len(good))
    left, top, right, bottom = zip(*ends, strict=True)
    return good, (min(left), min(top), max(right), max(bottom))


def _apart(ones: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> int:
    """How many of N boxes overlap the other one (both (N, 4), or NaN) with an IoU below 0.5."""
    ends = np.minimum(ones[:, 2:], others[:, 2:]), np.maximum(ones[:, :2], others[:, :2])
    shared = (ends[0] - ends[1]).clip(0).prod(axis=1)
    union = sum(_sides(each).prod(axis=1) for each in (ones, others)) - shared
    return int((shared < 0.5 * union).sum())


def check_parts(where: Path, train: Sequence[Scene], val: Sequence[Scene]) -> None:
    """Warn of images that are in both parts.

    Raises:
        UserError: no image at all.
    """
    seen = {scene.image for scene in train if isinstance(scene.image, Path)}
    both = [scene.name for scene in val if scene.image in seen] if seen else []
    if both:
        warnings.warn(
            f"{where}: {len(both)} images are in both parts, training and validation; "
            f"the first: {both[0]}",
            stacklevel=3,
        )
    if not train and not val:
        raise UserError(f"{where}: none of the listed images has a file")


def parted(
    where: Path, parts: Mapping[str, Sequence[Scene]], options: SceneOptions
) -> dict[str, Any]:
    """The parts for ``Scenes``; without a "val", one is held out of "train".

    Raises:
        UserError: no image at all.
    """
    train, val, test = (_once(where, parts.get(part, ())) for part in ("train", "val", "test"))
    check_parts(where, train, (*val, *test))
    held_out = "val" not in parts and bool(train)
    if held_out:
        train, val = split(where, train, options)
    validation: Validation = "train" if held_out else "given"
    return {"train": train, "val": val, "test": test, "validation": validation}


def _once(where: Path, scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Each image of a part once, with a note of those that are listed again."""
    own: dict[object, Scene] = {}
    for number, scene in enumerate(scenes):
        own.setdefault(scene.image if isinstance(scene.image, Path) else number, scene)
    if len(own) < len(scenes):
        again = len(scenes) - len(own)
        warnings.warn(f"{where}: {again} images listed twice are counted once", stacklevel=4)
    return tuple(own.values())


def split(
    where: Path, scenes: Sequence[Scene], options: SceneOptions
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """(train, val): images of each class in both if possible, and no divided groups.

    Classes of maps are read for data sets of up to 1,000 images.

    Raises:
        UserError: images without groups, or all in one group.
    """
    if options.split_rule == "v1" and not options.group_by:
        chosen = _by_chance(len(scenes), options)
    else:
        keys = group_keys(where, scenes, options.group_by) if options.group_by else None
        if keys is not None and options.fraction:
            check_keys(where, options.group_by, keys, [scene.name for scene in scenes])
        chosen = set(hold_out(_held(scenes, options), options, keys))
        if keys is not None and options.fraction and not chosen and len(scenes) > 1:
            raise one_group(where, options.group_by)
    return (
        tuple(scene for i, scene in enumerate(scenes) if i not in chosen),
        tuple(scene for i, scene in enumerate(scenes) if i in chosen),
    )


def _by_chance(count: int, options: SceneOptions) -> set[int]:
    """Images from a permutation; at least one, and not all."""
    if not options.fraction:
        return set()
    held_out = min(max(round(options.fraction * count), 1), count - 1)
    order = np.random.default_rng(options.seed).permutation(count)
    return set(order[: max(held_out, 0)].tolist())


def _held(scenes: Sequence[Scene], options: SceneOptions) -> list[frozenset[int]]:
    """Classes in each image: those of objects not ignored, or values of its class map."""
    maps = [scene.classes for scene in scenes if isinstance(scene.classes, Path)]
    if options.marks == "classes" and len(maps) == len(scenes) <= _MOST_MAPS:
        return list(at_once(held_values, maps))
    objects = [scene.objects for scene in scenes]
    return [
        frozenset() if each is None else frozenset(each.labels[each.learnable()].tolist())
        for each in objects
    ]


_MOST_MAPS = 1000  # maps read to hold out images of every class: 20 ms each


def group_keys(where: Path, scenes: Sequence[Scene], by: str) -> Keys:
    """The group of each image by its path.

    Raises:
        UserError: images without paths.
    """
    root = where if where.is_dir() else where.parent
    return keys_of([_inside(root, scene) for scene in scenes], by)


def _inside(root: Path, scene: Scene) -> str:
    """The path of an image within the data set, or its name if it is elsewhere."""
    try:
        return str(scene.image.relative_to(root)) if isinstance(scene.image, Path) else scene.name
    except ValueError:
        return scene.name


def note_groups(where: Path, images: Scenes, by: str) -> None:
    """Note groups with images in two parts.

    Raises:
        UserError: no image is in a group.
    """
    named = {"training": images.train, "validation": images.val, "test": images.test}
    keys = {name: group_keys(where, part, by) for name, part in named.items()}
    if images.validation != "train":  # else checked when the part was held out
        every = [key for own in keys.values() for key in own]
        check_keys(where, by, every, [scene.name for scene in images.everything])
    note_shared(where, by, keys)


def shown(value: object) -> str:
    """A value of a foreign file for a message, truncated."""
    try:
        return _SHORT.repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"such a {type(value).__name__}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def check_names(where: Path, names: Sequence[object]) -> None:
    """Check that names of classes are printable words or numbers.

    Raises:
        UserError: one is not.
    """
    for name in names:
        number = type(name) in (int, float) and abs(name) < 1e9  # type: ignore[arg-type]
        if not number and not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise UserError(f"{where}: {shown(name)} is not a class name; put names in quotes")


def check_different(where: Path, names: Sequence[object]) -> None:
    """Check that the names of the classes are unique.

    Raises:
        UserError: two classes have the same name.
    """
    twice = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if twice:
        raise UserError(f"{where}: names {len(twice)} classes twice, the first: {twice[0]}")


def check_scale(where: Path | str, scenes: Sequence[Scene]) -> None:
    """Refuse boxes and key-points in normalised coordinates if the format has pixels.

    Raises:
        UserError: all of them end within the first two pixels of their images.
    """
    ends = [
        scene.objects.boxes.max()
        for scene in scenes
        if scene.objects is not None and len(scene.objects)
    ]
    points = [
        scene.objects.keypoints[:, :, :2].max(initial=0)
        for scene in scenes
        if scene.objects is not None and scene.objects.keypoints is not None
    ]
    for what, found in (("boxes", ends), ("key-points", [each for each in points if each])):
        if found and max(found) <= _SHARES:
            raise UserError(
                f"{where}: all {what} of {len(found)} images lie within 0..{max(found):.4g}, as "
                "normalised coordinates do; this format uses pixels: multiply by the width and "
                "height of each image"
            )


def check_sizes(where: str, scenes: Sequence[Scene]) -> None:
    """Refuse annotations for images of another size, by a sample of the images.

    Raises:
        UserError: the size in an annotation differs from that of its image.
    """
    looked = [each for each in spread(scenes, _LOOKED) if isinstance(each.image, Path)]
    for scene in looked:
        try:
            size = photo.image_size(scene.image)  # type: ignore[arg-type]
        except UserError:  # reported by the check of all images
            continue
        if scene.size is None or scene.size == size:
            continue
        stated = "{1}x{0}".format(*scene.size)
        turned = scene.size == size[::-1]
        hint = "the image is rotated by its EXIF tag, or its width and height are swapped"
        raise UserError(
            f"{where}: {scene.name} is {size[1]}x{size[0]} pixels (width x height), its "
            f"annotations are for {stated}{f' ({hint})' if turned else ''}; correct the size or "
            "the image"
        )


Boxes = npt.NDArray[np.float64]  # (N, 4)


@dataclass(kw_only=True)
class Corners:
    """Detect boxes given as two corners in a format with a corner (or centre) and sides."""

    boxes: int = 0
    like: int = 0  # boxes that are also valid as two corners
    beyond: int = 0  # boxes that extend beyond the image as read

    def add(self, stated: Boxes, read: Boxes, size: tuple[int, int]) -> None:
        """Count the boxes of an image.

        Args:
            stated: (N, 4) in pixels, in the order of the file.
            read: (N, 4) left, top, right, bottom.
            size: H, W of the image.
        """
        ends = np.array([size[1], size[0]])
        first, last = stated[:, :2], stated[:, 2:]
        with np.errstate(invalid="ignore"):
            like = (first < last).all(1) & (first >= -1).all(1) & (last <= ends + 1).all(1)
            beyond = (read[:, :2] < -1).any(1) | (read[:, 2:] > ends + 1).any(1)
        self.boxes += len(stated)
        self.like += int(like.sum())
        self.beyond += int(beyond.sum())

    def check(self, where: Path, form: str) -> None:
        """Refuse if nearly all boxes are valid corners and at least a third extend beyond as read.

        Args:
            form: the four numbers of the format, in words.

        Raises:
            UserError: the boxes are corners.
        """
        if self.boxes > 1 and self.like >= 0.95 * self.boxes and self.beyond * 3 >= self.boxes:
            raise UserError(
                f"{where}: its boxes look like left, top, right, bottom (as {form}, {self.beyond} "
                f"of {self.boxes} exceed their images); this format has {form}: convert them"
            )


def check_objects(where: str, scenes: Scenes, marks: Marks) -> None:
    """Before the first step, refuse data without usable objects and note classes without any.

    Args:
        where: the data, for messages.
        marks: only those of objects are checked.

    Raises:
        UserError: no usable object in the training or in the validation images.
    """
    if marks not in ("boxes", "masks", "keypoints"):
        return
    note_alike(where, scenes.classes)
    for part, images in (("training", scenes.train), ("validation", scenes.val)):
        check_scale(f"{where}, {part} part", images)
        objects = [each.objects for each in images if each.objects is not None]
        labels = [each.labels[each.learnable()] for each in objects]
        counts = np.bincount(
            np.concatenate([[], *labels]).astype(int), minlength=len(scenes.classes)
        )
        if not counts.any():
            empty = sum(not len(each) for each in objects)
            rest = sum(map(len, objects))
            raise UserError(
                f"{where}: the {len(images)} {part} images have no usable object: {empty} have no "
                f"annotations or no valid ones, {rest} objects are crowds, difficult or without "
                "key-points"
            )
        absent = [name for name, count in zip(scenes.classes, counts, strict=True) if not count]
        if absent:
            warnings.warn(
                f"{where}: {len(absent)} of {len(counts)} classes have no object in the {part} "
                f"images: {some(absent)}",
                stacklevel=3,
            )
