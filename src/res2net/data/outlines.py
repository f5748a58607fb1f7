"""Convert outlines of objects (polygons, COCO run lengths) to masks and back."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data.scene import RLE, Segment
from res2net.errors import UserError

Mask = npt.NDArray[np.uint8]  # (H, W) of 0 and 1
_LISTS = (list, array)


def to_mask(outline: Segment, height: int, width: int) -> Mask:
    """The filled outline: uint8 (H, W) of 0 and 1, by COCO's rule for polygons.

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
    """A mask (H, W) as compressed run lengths, in plain types for JSON."""
    rle = _library().encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": _text(rle["counts"])}


def placed(mask: RLE, corner: tuple[int, int], size: tuple[int, int]) -> RLE:
    """Paste the mask of an image region with upper left corner (left, top) into the whole image."""
    (left, top), (height, width) = corner, size
    filled = np.pad(to_mask(mask, *mask["size"]).T.astype(np.int8), ((0, 0), (1, 1)))
    column, row = np.nonzero(np.diff(filled, axis=1))  # alternating starts and ends of runs
    ends = (left + column) * height + top + row
    counts = np.diff(ends, prepend=0, append=height * width).tolist()
    rle = _rle({"size": size, "counts": counts}, height, width)
    return {"size": list(size), "counts": _text(rle["counts"])}


def area(rle: RLE) -> float:
    """Pixels of a compressed mask."""
    return float(_library().area(rle))


def overlaps(
    found: Sequence[Any], objects: Sequence[Any], crowds: Sequence[int], size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Intersection over union (N, M) of boxes (left, top, width, height) or outlines.

    For a crowd the denominator is the area of ``found`` alone, as in COCO.
    """
    if not found or not objects:
        return np.zeros((len(found), len(objects)))
    if isinstance(found[0], dict):
        found, objects = ([_rle(each, *size) for each in both] for both in (found, objects))
    values = _library().iou(found, objects, crowds)
    return np.asarray(values, np.float64).reshape(len(found), len(objects))


def parts_of(outline: object, *, deepest: int = 3) -> list[Any]:
    """The parts of an outline, each x1, y1, x2, y2, ...

    A polygon without a list around it is one part; points may be pairs, and lists nested.
    """
    if not isinstance(outline, list) or not outline or not deepest:
        return []
    if not any(isinstance(each, _LISTS) for each in outline):
        return [outline]
    if len(outline) > 2 and all(map(_is_pair, outline)):
        return [[number for pair in outline for number in pair]]
    parts: list[Any] = []
    for each in outline:
        nested = isinstance(each, list) and bool(each) and isinstance(each[0], list)
        parts += parts_of(each, deepest=deepest - 1) if nested else [each]
    return parts


def with_packed_outline(row: dict[str, Any]) -> dict[str, Any]:
    """A JSON object whose outline is packed: 8 bytes for a number, not 32; see ``json.loads``."""
    outline = row.get("segmentation")
    if isinstance(outline, list):
        row["segmentation"] = [_packed(part) for part in outline]
    return row


def _packed(part: object) -> object:
    """Numbers as an array; anything else, which a check refuses later, as it is."""
    if not isinstance(part, list) or not {*map(type, part)} <= {int, float}:
        return part
    try:
        return array("d", part)
    except OverflowError:
        return part


def _is_pair(point: object) -> bool:
    two = isinstance(point, _LISTS) and len(point) == 2
    return two and not any(isinstance(each, list) for each in point)  # type: ignore[attr-defined]


def corners(part: object) -> npt.NDArray[np.float64] | None:
    """A part of an outline as (n, 2); None unless it is a polygon of at least three corners."""
    if not isinstance(part, _LISTS) or len(part) < 6 or len(part) % 2:
        return None
    try:
        values = np.asarray(part)
    except ValueError:  # lists of several lengths
        return None
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return None
    return values.astype(np.float64).reshape(-1, 2)


def fits(outline: RLE, size: tuple[int, int]) -> bool:
    """Whether run lengths fit an image of (height, width)."""
    stated, counts = outline.get("size"), outline.get("counts")
    if not isinstance(stated, list | tuple) or tuple(stated) != size:
        return False
    if not isinstance(counts, list):
        pixels = size[0] * size[1]
        return isinstance(counts, str | bytes) and _is_rle(outline) and _total(counts) == pixels
    whole = all(isinstance(each, int) and each >= 0 for each in counts)
    return whole and sum(counts) == size[0] * size[1]


def _is_rle(outline: RLE) -> bool:
    """Whether compressed run lengths can be read and stay within their size."""
    try:
        area(outline)
    except (RuntimeError, TypeError, ValueError):
        return False
    return True


def _total(counts: str | bytes) -> int:
    """The sum of readable compressed run lengths; -1 if one is negative.

    Numbers are digits of 5 bits, the lowest first, plus 48, and plus 32 except for the last digit.
    From the fourth on, a number is the difference to the one two places before.
    """
    digits = np.frombuffer(counts.encode() if isinstance(counts, str) else counts, np.uint8) - 48
    last = digits < 32
    starts = np.flatnonzero(np.append(True, last[:-1]))  # of the numbers
    lengths = np.diff(starts, append=len(digits))
    if not len(digits) or not last[-1] or lengths.max() > 7:
        return -1
    place = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    stated = np.add.reduceat((digits & 31).astype(np.int64) << place, starts)
    stated -= (digits[last] >> 4).astype(np.int64) << 5 * lengths  # the top bit is the sign
    runs = (stated[:1], np.cumsum(stated[1::2]), np.cumsum(stated[2::2]))
    return int(sum(each.sum() for each in runs)) if all((each >= 0).all() for each in runs) else -1


def around_rle(outline: RLE) -> list[float]:
    """Left, top, right, bottom of run lengths that fit their size."""
    rle = _rle(outline, *outline["size"])
    left, top, width, height = map(float, _library().toBbox(rle))
    return [left, top, left + width, top + height]


def bounds(outline: object, size: tuple[int, int]) -> list[float] | None:
    """Left, top, right, bottom of an outline in an image of (height, width); None if invalid."""
    if isinstance(outline, dict) and fits(outline, size):
        return around_rle(outline)
    parts = [each for each in map(corners, parts_of(outline)) if each is not None]
    if not parts:
        return None
    points = np.concatenate(parts)
    return [*points.min(0).tolist(), *points.max(0).tolist()]


def _rle(outline: Any, height: int, width: int) -> RLE:
    library = _library()
    if isinstance(outline, dict):
        size = tuple(outline.get("size", ()))
        if size != (height, width):
            raise ValueError(f"its run lengths are for {size}, the image is {(height, width)}")
        if isinstance(outline["counts"], list):
            if sum(outline["counts"]) != height * width:
                raise ValueError(f"its run lengths add up to {sum(outline['counts'])} pixels")
            return dict(library.frPyObjects(outline, height, width))
        return outline
    parts = [[*part] for part in outline]
    return dict(library.merge(library.frPyObjects(parts, height, width)))


def _text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def _library() -> Any:
    try:
        from faster_coco_eval import mask
    except ModuleNotFoundError:
        raise UserError("masks need faster-coco-eval: pip install 'res2net[tasks]'") from None
    return mask
