"""How to read, for the formats that leave a choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from res2net.data.split import Holdout

Marks = Literal["boxes", "masks", "classes", "salient", "keypoints"]


@dataclass(frozen=True, kw_only=True)
class SceneOptions(Holdout):
    """What is wanted of a data set."""

    marks: Marks  # which annotation
