"""Outlines of objects as masks: polygons, COCO's run lengths, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data.scene import RLE, Segment
from res2net.errors import UserError

Mask = npt.NDArray[np.uint8]  # (H, W) of 0 and 1


def to_mask(outline: Segment, height: int, width: int) -> Mask:
    """An outline filled: uint8 (H, W) of 0 and 1, by COCO's own rule for polygons.

    Raises:
        ValueError: run lengths of another size than (height, width), or damaged ones.
    """
    if isinstance(outline, np.ndarray):
        if outline.shape != (height, width):
            raise ValueError(f"the mask is {outline.shape}, the image {(height, width)}")
        return outline.astype(np.uint8)
    rle = _rle(outline, height, width)
    return np.ascontiguousarray(_library().decode(rle))


def pack(mask: npt.NDArray[Any]) -> RLE:
    """A mask (H, W) as packed run lengths, plain types for JSON."""
    rle = _library().encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": _text(rle["counts"])}


def area(rle: RLE) -> float:
    """Pixels of a packed mask."""
    return float(_library().area(rle))


def _rle(outline: Any, height: int, width: int) -> RLE:
    library = _library()
    if isinstance(outline, dict):
        size = tuple(outline.get("size", ()))
        if size != (height, width):
            raise ValueError(f"its run lengths are of {size}, the image is {(height, width)}")
        if isinstance(outline["counts"], list):
            if sum(outline["counts"]) != height * width:
                raise ValueError(f"its run lengths add up to {sum(outline['counts'])} pixels")
            return dict(library.frPyObjects(outline, height, width))
        return outline
    return dict(library.merge(library.frPyObjects(outline, height, width)))


def _text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def _library() -> Any:
    try:
        from faster_coco_eval import mask
    except ModuleNotFoundError:
        raise UserError("masks need faster-coco-eval: pip install 'res2net[tasks]'") from None
    return mask
