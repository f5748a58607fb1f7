"""Generated scenes: textured objects on textured ground, with every kind of label, without files.

An object is of one of four kinds, randomly rotated, with a length log-uniform from 8 pixels to the
side of the image. Its four key-points are tip, left, tail and right in its own frame; where they
are the annotation, a white dot marks the tip, since the ends of a disc, kite or bar look alike. The
objects are the salient pixels. A scene depends only on (seed, index) and the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from res2net.data.scene import Objects, Scene, Scenes, Skeleton, no_objects
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.skeletons import with_partners
from res2net.drawing.marks import class_colours

Floats = npt.NDArray[np.float64]

# Outlines in an object's own frame: the tip is at (0, -1), the left at (-w, 0), the tail at (0, 1).
_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
SHAPES: dict[str, npt.NDArray[np.float64]] = {
    "disc": np.stack([np.sin(_TURN), -np.cos(_TURN)], axis=1),
    "kite": np.array([(0, -1), (0.6, 0), (0, 1), (-0.6, 0)]),
    "arrow": np.array([(0, -1), (0.8, 0), (0.25, 0), (0.25, 1), (-0.25, 1), (-0.25, 0), (-0.8, 0)]),
    "bar": np.array([(0.3, -1), (0.3, 1), (-0.3, 1), (-0.3, -1)]),
}
CLASSES = tuple(SHAPES)
KEYPOINTS = Skeleton(
    names=("tip", "left", "tail", "right"),
    swaps=((1, 3),),
    bones=((0, 1), (1, 2), (2, 3), (3, 0)),
    sigmas=(0.08,) * 4,
)
SMALLEST = 8  # pixels
TRAIN, VAL = 256, 64  # scenes


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneRules:
    """Parameters of the generator."""

    side: int = 160  # pixels of the square image
    most: int = 5  # maximum objects per image; the minimum is one
    smallest: float = SMALLEST  # pixels, length of the smallest object
    largest: float | None = None  # pixels; None: the side of the image
    tips: bool = False  # with a white dot at the tip of each object


class Made(Sequence[Scene]):
    """Scenes of a seed by index, generated on first use and then kept."""

    def __init__(self, numbers: range, seed: int, rules: SceneRules) -> None:
        self.numbers, self.seed, self.rules = numbers, seed, rules
        self._kept: dict[int, Scene] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> Made: ...
    def __getitem__(self, index: int | slice) -> Scene | Made:
        if isinstance(index, slice):
            return Made(self.numbers[index], self.seed, self.rules)
        number = self.numbers[index]
        if number not in self._kept:
            self._kept[number] = generate(number, self.seed, self.rules)
        return self._kept[number]


def read(path: Path, options: SceneOptions) -> Scenes:  # noqa: ARG001
    """256 scenes for training and 64 for validation; ``path`` is not used.

    Raises:
        UserError: partners that are not key-points.
    """
    rules = SceneRules(tips=options.marks == "keypoints")
    made = Made(range(TRAIN + VAL), options.seed, rules)
    classes = ("ground", *CLASSES) if options.marks == "classes" else CLASSES
    return Scenes(
        name="scenes",
        classes=classes,
        train=made[:TRAIN],
        val=made[TRAIN:],
        skeleton=with_partners(KEYPOINTS, options.partners),
        palette=class_colours(classes),
    )


def generate(index: int, seed: int, rules: SceneRules) -> Scene:
    """Scene ``index`` of a seed."""
    chance = np.random.default_rng((seed, index))
    side = rules.side
    base, pattern, tint = _texture(chance, side)
    picture = _coloured(base, pattern, tint)
    numbers = np.zeros((side, side), np.uint8)  # 0 ground, else 1 + object
    labels: list[int] = []
    frames: list[_Frame] = []
    wholes: list[float] = []  # area of each object in pixels before occlusion
    largest = rules.largest or side
    for _ in range(int(chance.integers(1, rules.most + 1))):
        length = np.exp(chance.uniform(np.log(rules.smallest), np.log(largest)))
        label = int(chance.integers(len(CLASSES)))
        centre = chance.uniform(0.25 * length, side - 0.25 * length, 2)
        turn = chance.uniform(0, 2 * np.pi)
        frame = _Frame(centre=centre, half=length / 2, turn=turn, label=label)
        inside = _filled(frame.place(SHAPES[CLASSES[label]]), side)
        hidden = np.bincount(numbers[inside], minlength=len(wholes) + 1)[1:]
        before = np.bincount(numbers.ravel(), minlength=len(wholes) + 1)[1:]
        if inside.sum() < 12 or (before - hidden < 0.5 * np.array(wholes)).any():
            continue  # too little of it is visible, or it hides half of another
        labels.append(label)
        frames.append(frame)
        wholes.append(float(inside.sum()))
        numbers[inside] = len(labels)
        base, pattern, tint = _texture(chance, side)
        picture[inside] = _coloured(base, pattern[inside], tint)
        if rules.tips:
            picture[inside & frame.near_tip(side)] = 255
    return _as_scene(index, picture, numbers, labels, frames)


def _as_scene(
    index: int,
    picture: npt.NDArray[np.uint8],
    numbers: npt.NDArray[np.uint8],
    labels: list[int],
    frames: list[_Frame],
) -> Scene:
    side = len(picture)
    classes = np.array([0, *(label + 1 for label in labels)], np.uint8)[numbers]
    masks = [numbers == i + 1 for i in range(len(labels))]
    objects = no_objects()
    if labels:
        boxes = []
        for mask in masks:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        points = np.stack([frame.keypoints(numbers, i + 1) for i, frame in enumerate(frames)])
        objects = Objects(
            boxes=np.array(boxes, np.float64),
            labels=np.array(labels, np.int64),
            ignored=np.zeros(len(labels), bool),
            areas=np.array([mask.sum() for mask in masks], np.float64),
            segments=tuple(masks),
            keypoints=points,
        )
    return Scene(
        name=f"#{index}",
        image=picture,
        objects=objects,
        classes=classes,
        salient=np.where(numbers > 0, 255, 0).astype(np.uint8),
        size=(side, side),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    centre: npt.NDArray[np.float64]
    half: float
    turn: float
    label: int

    def place(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        placed: npt.NDArray[np.float64] = points @ np.array([[cos, sin], [-sin, cos]])
        return self.centre + self.half * placed

    def near_tip(self, side: int) -> npt.NDArray[np.bool_]:
        """The dot that marks the tip, a quarter of the object long: (side, side)."""
        x, y = self.place(np.array([(0, -0.75)]))[0]
        rows, columns = np.ogrid[:side, :side]
        near: npt.NDArray[np.bool_] = np.hypot(columns - x, rows - y) < self.half / 4
        return near

    def keypoints(self, numbers: npt.NDArray[np.uint8], own: int) -> npt.NDArray[np.float64]:
        """(4, 3): visible (2) on the object, hidden (1) under another, absent outside."""
        width = float(SHAPES[CLASSES[self.label]][:, 0].max())
        ends = self.place(np.array([(0, -1), (-width, 0), (0, 1), (width, 0)]))
        side = len(numbers)
        found = np.zeros((4, 3))
        for k, (x, y) in enumerate(ends):
            if 0 <= x < side and 0 <= y < side:
                near_x, near_y = self.centre + 0.9 * (ends[k] - self.centre)
                seen = numbers[int(near_y), int(near_x)] == own
                found[k] = x, y, 2 if seen else 1
        return found


def _filled(points: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.bool_]:
    image = Image.new("1", (side, side))
    ImageDraw.Draw(image).polygon([(x, y) for x, y in points], fill=1)
    return np.array(image, bool)


def _coloured(base: Floats, pattern: Floats, tint: Floats) -> npt.NDArray[np.uint8]:
    """A colour (3,) modulated by a pattern (...): (..., 3)."""
    return np.clip(base + pattern[..., None] * tint, 0, 255).astype(np.uint8)


def _texture(chance: np.random.Generator, side: int) -> tuple[Floats, Floats, Floats]:
    """A colour (3,), a pattern of stripes or blots in -1..1 (side, side), and its colour (3,)."""
    base = chance.uniform(40, 215, 3)
    if chance.random() < 0.5:
        cells = int(chance.integers(4, 24))
        blots = Image.fromarray(chance.integers(0, 256, (cells, cells), np.uint8))
        pattern = np.asarray(blots.resize((side, side), Image.Resampling.BILINEAR)) / 127.5 - 1
    else:
        turn, period = chance.uniform(0, np.pi), chance.uniform(4, 24)
        steps = np.arange(side)
        slope = np.cos(turn) * steps[None] + np.sin(turn) * steps[:, None]
        pattern = np.sin(2 * np.pi * slope / period)
    return base, pattern, chance.uniform(-45, 45, 3)
