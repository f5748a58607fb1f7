"""How to read, for the formats that leave a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from res2net.data.scene import Scene

Marks = Literal["boxes", "masks", "classes", "salient", "keypoints"]


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """What is wanted of a data set."""

    marks: Marks  # which annotation
    val_fraction: float = 0.2  # held out where the data have no validation part; 0: none
    seed: int = 0  # of that part, and of generated scenes


def split(
    scenes: Sequence[Scene], options: SceneOptions
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """(train, val), drawn from the seed; at least one in each of two or more.

    A fraction of 0 holds nothing out.
    """
    if not options.val_fraction:
        return tuple(scenes), ()
    held_out = min(max(round(options.val_fraction * len(scenes)), 1), len(scenes) - 1)
    order = np.random.default_rng(options.seed).permutation(len(scenes))
    val = set(order[: max(held_out, 0)].tolist())
    return (
        tuple(scene for i, scene in enumerate(scenes) if i not in val),
        tuple(scene for i, scene in enumerate(scenes) if i in val),
    )
