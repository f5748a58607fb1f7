"""Which detections are kept: the options of detectors and, in part, pose. No torch in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from res2net.errors import UserError, check_needs
from res2net.paper.tasks import FINDING

OVERLAP = 0.25  # share of a tile's side
LEAST_TILE = 32  # pixels


@dataclass(frozen=True, kw_only=True)
class Finding:
    """None of an option leaves what the network has.

    Attributes:
        score: lowest that is kept, and drawn.
        iou: overlap from which the less sure of two boxes goes.
        max_detections: of an image, the surest.
        class_agnostic: boxes of different classes suppress each other too.
        tiles: side of tiles in pixels; "auto": the network's own short side.
        overlap: share of a tile's side that the next one covers too, at least.
    """

    score: float | None = None
    iou: float | None = None
    max_detections: int | None = None
    class_agnostic: bool = False
    tiles: int | Literal["auto"] | None = None
    overlap: float = OVERLAP

    @classmethod
    def of(cls, given: Mapping[str, Any], *, exported: str | None) -> Finding | None:
        """The options of a command or call; None where none is given.

        Args:
            given: every option that was given, by name.
            exported: folder of an artifact, whose suppression is part of its graph.

        Raises:
            UserError: a value out of range, or an option without what it needs.
        """
        own = {name: given[name] for name in FINDING if name in given}
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
                f"--iou means nothing for {exported}, whose graph suppresses boxes itself; give "
                "the run that it came from"
            )
        return cls(**own) if own else None
