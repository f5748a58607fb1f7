"""What is wrong with marks in an image: mended or left out, counted, and told once with a file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from res2net.data.scene import Objects, Scene
from res2net.errors import UserError


@dataclass(kw_only=True)
class Tally:
    """Counts faults by kind and remembers the first file of each."""

    faults: dict[str, tuple[int, str]] = field(default_factory=dict)  # kind → number, first file

    def add(self, fault: str, name: str, count: int = 1) -> None:
        """Note ``count`` faults of a kind in a file."""
        if count:
            number, first = self.faults.get(fault, (0, name))
            self.faults[fault] = number + count, first

    def warn(self, where: Path) -> None:
        """One warning a kind."""
        for fault, (number, first) in self.faults.items():
            warnings.warn(f"{where}: {number} {fault}; the first: {first}", stacklevel=3)


def sound(objects: Objects, size: tuple[int, int], name: str, tally: Tally) -> Objects:
    """The objects that can be used, their boxes cut to the image.

    Boxes that are not numbers, have no area or lie outside are left out; key-points outside the
    image count as absent; run lengths of another size are left out.

    Args:
        size: H, W of the image.
        name: the file, for the tally.
    """
    height, width = size
    finite = np.array(np.isfinite(objects.boxes).all(axis=1))
    tally.add("boxes left out that are not numbers", name, int((~finite).sum()))
    objects = objects.of(finite)
    sides = (objects.boxes[:, 2:] - objects.boxes[:, :2]).clip(0)
    area = sides[:, 0] * sides[:, 1]
    tally.add("boxes left out that have no area", name, int((area <= 0).sum()))
    objects = objects.of(area > 0)
    limits = np.array([width, height, width, height], np.float64)
    cut = objects.boxes.clip(0, limits)
    inside = np.array((cut[:, 2:] > cut[:, :2]).all(axis=1))
    tally.add("boxes left out that lie outside their image", name, int((~inside).sum()))
    reaching = (np.abs(cut - objects.boxes).max(axis=1, initial=0) > 1) & inside
    tally.add("boxes cut that reach beyond their image", name, int(reaching.sum()))
    objects.boxes[:] = cut
    objects = objects.of(inside)
    if objects.segments is not None:
        fits = np.array([_fits(each, size) for each in objects.segments], bool)
        tally.add("masks left out whose size is not the image's", name, int((~fits).sum()))
        objects = objects.of(fits)
        whole = np.array([_outlined(each) for each in objects.segments or ()], bool)  # (N,)
        tally.add("masks left out whose outline is no polygon", name, int((~whole).sum()))
        objects = objects.of(whole)
    if objects.keypoints is not None:
        x, y, seen = np.moveaxis(objects.keypoints, 2, 0)
        outside = (seen > 0) & ~((x >= 0) & (x < width) & (y >= 0) & (y < height))
        tally.add("key-points left out that lie outside their image", name, int(outside.sum()))
        objects.keypoints[outside] = 0
    return objects


def _fits(segment: object, size: tuple[int, int]) -> bool:
    if isinstance(segment, dict):
        counts = segment.get("counts")
        if isinstance(counts, list):
            whole = all(isinstance(each, int) and each >= 0 for each in counts)
            whole = whole and sum(counts) == size[0] * size[1]
        else:  # packed: looked into when it is decoded
            whole = isinstance(counts, str | bytes)
        return whole and tuple(segment.get("size", ())) == size
    return not isinstance(segment, np.ndarray) or segment.shape == size


def _outlined(segment: object) -> bool:
    """A polygon has three corners or more, each of two numbers; other forms are not looked into."""
    if not isinstance(segment, list):
        return isinstance(segment, dict | np.ndarray)
    return bool(segment) and all(
        isinstance(each, list)
        and len(each) >= 6
        and len(each) % 2 == 0
        and bool(np.isfinite(np.array(each, np.float64)).all())
        for each in segment
    )


def check_parts(where: Path, train: Sequence[Scene], val: Sequence[Scene]) -> None:
    """Note images that are in both parts.

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
        raise UserError(f"{where}: no image with a file is listed")
