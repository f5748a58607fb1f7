"""Masks from activation maps: segmentation by a network trained without masks (paper 4.5).

Each pixel gets the annotated class of its image with the highest map value, or background if that
value is below a threshold. Legend: H, W pixels · K classes of the data
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from res2net.drawing.marks import class_colours, with_palette
from res2net.explain.study import Mark
from res2net.explain.subject import Explained
from res2net.files import make_folder, write_bytes

THRESHOLDS = tuple(step / 20 for step in range(1, 19))  # 0.05..0.9 of a map's maximum
BACKGROUND = 0  # in a mask; class k of the data is k + 1


@dataclass(frozen=True, kw_only=True)
class PseudoRow:
    """The masks of a network at a threshold."""

    network: str
    threshold: float  # share of a map's maximum
    images: int
    mean_iou: float  # percent, over the background and the annotated classes
    best: bool  # of the network's thresholds, on these images


class PseudoMasks:
    """Accumulate the masks of several networks over images, at all thresholds.

    Args:
        networks: names.
        classes: K names of the data; if empty, all objects have one class.
        folder: output folder for masks, with a subfolder per network; None: do not write.
        threshold: threshold of the written masks.
    """

    def __init__(
        self,
        networks: Sequence[str],
        classes: Sequence[str],
        *,
        folder: Path | None = None,
        threshold: float = 0.3,
    ) -> None:
        self.networks, self.classes = list(networks), list(classes) or [""]
        self.folder, self.threshold = folder, threshold
        kinds = len(self.classes) + 1
        # (network, threshold, class): pixels of mask and annotation, of either
        self.both = np.zeros((len(networks), len(THRESHOLDS), kinds), np.int64)
        self.either = np.zeros_like(self.both)
        self.images = 0

    def add(self, name: str, found: Sequence[tuple[Mark, Sequence[Explained]]]) -> None:
        """Add an image, with one map per annotated class and network."""
        true = np.full(found[0][0].masks[0].shape, BACKGROUND, np.uint8)
        numbers = [self.classes.index(mark.name or self.classes[0]) + 1 for mark, _ in found]
        for (mark, _), number in zip(found, numbers, strict=True):
            true[np.logical_or.reduce(mark.masks)] = number
        for n, network in enumerate(self.networks):
            heats = np.stack([maps[n].heat for _, maps in found])  # (marks, H, W)
            highest, kind = heats.max(0), np.array(numbers, np.uint8)[heats.argmax(0)]
            for t, threshold in enumerate(THRESHOLDS):
                self._count(n, t, _mask(highest, kind, threshold), true)
            if self.folder is not None:
                self._write(network, name, _mask(highest, kind, self.threshold))
        self.images += 1

    def _count(
        self, n: int, t: int, mask: npt.NDArray[np.uint8], true: npt.NDArray[np.uint8]
    ) -> None:
        for k in range(len(self.classes) + 1):
            inside, wanted = mask == k, true == k
            self.both[n, t, k] += int((inside & wanted).sum())
            self.either[n, t, k] += int((inside | wanted).sum())

    def _write(self, network: str, name: str, mask: npt.NDArray[np.uint8]) -> None:
        assert self.folder is not None
        place = self.folder / Path(network).name
        make_folder(place, "--out")
        picture = with_palette(mask, class_colours(("background", *self.classes)))
        data = io.BytesIO()
        picture.save(data, "PNG")
        write_bytes(place / f"{Path(name).stem}.png", data.getvalue())

    def rows(self) -> list[PseudoRow]:
        """A row for each network and threshold, without classes that no image has."""
        there = self.either[..., 1:].max(axis=(0, 1)) > 0
        counted = np.array([True, *there])
        iou = 100 * self.both[..., counted] / np.maximum(1, self.either[..., counted])
        mean = iou.mean(-1)  # (network, threshold)
        return [
            PseudoRow(
                network=network,
                threshold=threshold,
                images=self.images,
                mean_iou=float(mean[n, t]),
                best=t == int(mean[n].argmax()),
            )
            for n, network in enumerate(self.networks)
            for t, threshold in enumerate(THRESHOLDS)
        ]


def _mask(
    highest: npt.NDArray[np.float32], kind: npt.NDArray[np.uint8], threshold: float
) -> npt.NDArray[np.uint8]:
    return np.where(highest >= threshold, kind, np.uint8(BACKGROUND)).astype(np.uint8)
