"""Options for which detections are kept: detectors and, in part, pose. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict

from res2net.errors import UserError, check_needs

OVERLAP = 0.25  # of neighbouring tiles
LEAST_TILE = 32  # pixels


@dataclass(frozen=True, kw_only=True)
class Finding:
    """None for an option keeps the network's own value."""

    score: float | None = None  # score threshold; default: 0.05 (C4: 0), in pictures 0.5
    max_detections: int | None = None  # maximum per image, by score; default: 100, all with --tiles
    iou: float | None = None  # IoU threshold of non-maximum suppression; default: FPN 0.5, C4 0.3
    class_agnostic: bool = False  # suppress overlapping boxes across classes
    tiles: int | Literal["auto"] | None = None  # tiles of this side, auto: input's; default: none
    overlap: float | None = None  # overlap of neighbours, as a share of a tile; default: 0.25

    @classmethod
    def of(cls, own: Mapping[str, Any], *, exported: str | None) -> Self | None:
        """The options of a command or call; None where none is given.

        Args:
            own: all given options, by name.
            exported: folder of an artifact, whose suppression is part of its graph.

        Raises:
            UserError: a value out of range, or an option without what it needs.
            TypeError: a name that is not an option.
        """
        found = cls(**own)
        for name, least, most in (("score", 0, 1), ("iou", 0, 1), ("overlap", 0, 0.9)):
            if not least <= own.get(name, least) <= most:
                raise UserError(f"--{name} is {own[name]}; it must lie in {least}..{most}")
        if own.get("max_detections", 1) < 1:
            raise UserError(f"--max-detections is {own['max_detections']}; it must be at least 1")
        tiles = own.get("tiles", "auto")
        if tiles != "auto" and not (isinstance(tiles, int) and tiles >= LEAST_TILE):
            raise UserError(f"--tiles is {tiles}; it is auto, or {LEAST_TILE} pixels or more")
        check_needs(own, {"overlap": ("--tiles", "tiles" in own)})
        if exported is not None and "iou" in own:
            raise UserError(
                f"--iou does not apply to {exported}, whose graph suppresses boxes itself; give "
                "the original run"
            )
        return found if own else None


class FindingOptions(TypedDict, total=False):
    """The same as arguments of a function."""

    score: float | None
    max_detections: int | None
    iou: float | None
    class_agnostic: bool
    tiles: int | Literal["auto"] | None
    overlap: float | None


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a call that are neither None nor False."""
    return {name: each for name, each in options.items() if each is not None and each is not False}
