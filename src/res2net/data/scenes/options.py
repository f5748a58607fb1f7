"""Options for reading annotated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from res2net.data.split import Holdout
from res2net.errors import UserError

Marks = Literal["boxes", "masks", "classes", "salient", "keypoints"]


@dataclass(frozen=True, kw_only=True)
class SceneOptions(Holdout):
    """Options for reading a data set."""

    marks: Marks  # kind of annotation
    partners: str = ""  # mirror partners of key-points: see ``pairs_of``
    skip_bad: bool = False  # leave out maps of objects that cannot be used, with a warning


def pairs_of(partners: str) -> list[tuple[str, str]]:
    """The pairs of names in ``left_eye:right_eye,left_ear:right_ear``.

    Raises:
        UserError: not pairs of names, or a duplicate name.
    """
    words = [word.strip() for word in partners.split(",")] if partners.strip() else []
    pairs = [[name.strip() for name in word.split(":")] for word in words]
    for word, pair in zip(words, pairs, strict=True):
        if len(pair) != 2 or not all(pair):
            raise UserError(
                f"--input.partners has {word!r}; give pairs of key-points with a colon, such as "
                "left_eye:right_eye,left_ear:right_ear"
            )
    names = [name for pair in pairs for name in pair]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UserError(f"--input.partners names {twice[0]!r} twice; a key-point has one partner")
    return [(left, right) for left, right in pairs]
