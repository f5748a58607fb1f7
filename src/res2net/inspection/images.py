"""The image files of a data set: sizes, modes, values, faults and duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import spread
from res2net.data.labelled import LabelledImages, Split
from res2net.data.packed import File, Packed
from res2net.data.preprocess import Reading
from res2net.data.scene import Pixels, Scene, Scenes
from res2net.errors import UserError

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (things, count, label)
RANGED = 32  # images whose values are read


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What an image file shows."""

    name: str
    part: str
    size: tuple[int, int] | None = None  # H, W, upright
    mode: str = ""
    digest: bytes = b""  # of its bytes, where another file has as many
    fault: str | None = None
    path: File | None = None


def images_of(found: LabelledImages | Scenes) -> list[tuple[str, str, File | Pixels]]:
    """(part, name, image) of all images."""
    out: list[tuple[str, str, File | Pixels]] = []
    for part, images in parts_of(found):
        if isinstance(images, Split):
            out += [(part, images.names(i), images.images[i]) for i in range(len(images))]
        else:
            out += [(part, scene.name, scene.image) for scene in images]
    return out


def parts_of(found: LabelledImages | Scenes) -> list[tuple[str, Split | Sequence[Scene]]]:
    named = {"training": found.train, "validation": found.val, "test": found.test}
    return [(name, part) for name, part in named.items() if part is not None and len(part)]


def look_at_all(images: Sequence[tuple[str, str, File | Pixels]], track: Track) -> list[Look]:
    lengths = Counter(_bytes(image) for _, _, image in images)

    def look(each: tuple[str, str, File | Pixels]) -> Look:
        part, name, image = each
        digest = _digest(image) if lengths[_bytes(image)] > 1 else b""
        if not isinstance(image, File):
            size = image.shape[0], image.shape[1]
            return Look(name=name, part=part, size=size, mode="RGB", digest=digest)
        try:
            stored = photo.probe(image)
        except UserError as error:
            return Look(name=name, part=part, digest=digest, fault=str(error), path=image)
        mode = _mode(stored)
        return Look(name=name, part=part, size=stored.size, mode=mode, digest=digest, path=image)

    with ThreadPoolExecutor() as pool:
        return list(track(pool.map(look, images), len(images), "images"))


def _bytes(image: File | Pixels) -> int:
    if not isinstance(image, File):
        return image.nbytes
    if isinstance(image, Packed):
        return image.size
    try:
        return image.stat().st_size
    except OSError:
        return -1


def _digest(image: File | Pixels) -> bytes:
    if not isinstance(image, File):
        return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    try:
        with image.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return b""


def _mode(stored: photo.Stored) -> str:
    """How pixels are stored, in words."""
    if stored.mode.endswith("bands"):
        return f"{stored.mode}, {stored.raw}"
    mode = _MODES.get(stored.mode, stored.mode)
    deep = ";16" in stored.raw and stored.mode in ("RGB", "RGBA", "LA")
    return f"{mode}, 16 bits" if deep else mode


_MODES = {
    "1": "1 bit",
    "L": "grey",
    "P": "palette",
    "LA": "grey with alpha",
    "RGBA": "RGB with alpha",
    "I;16": "grey, 16 bits",
    "I;16B": "grey, 16 bits",
    "I": "grey, 32 bits",
    "F": "float",
}


def facts(looks: Sequence[Look]) -> dict[str, Any]:
    """Sizes, modes, values, faults and duplicates."""
    good = [look for look in looks if look.size is not None]
    sizes = np.array([look.size for look in good] or np.zeros((0, 2)), np.int64)
    groups: dict[bytes, list[Look]] = {}
    for look in looks:
        if look.digest:
            groups.setdefault(look.digest, []).append(look)
    same = [group for group in groups.values() if len(group) > 1]
    return {
        "widths": _span(sizes[:, 1]),
        "heights": _span(sizes[:, 0]),
        "modes": dict(Counter(look.mode for look in good).most_common()),
        "values": _values(good),
        "duplicates": tuple(tuple(look.name for look in group) for group in same),
        "leaks": tuple(
            tuple(f"{name} ({part})" for part, name in one.items())
            for group in same
            if len(one := {look.part: look.name for look in reversed(group)}) > 1
        ),
    }


def _span(numbers: npt.NDArray[np.int64]) -> tuple[int, int, int] | None:
    if not numbers.size:
        return None
    return int(numbers.min()), int(np.median(numbers)), int(numbers.max())


def _values(looks: Sequence[Look]) -> dict[str, tuple[float, float]]:
    """Least and greatest stored value in up to 32 images of each mode."""
    out = {}
    for mode in dict.fromkeys(look.mode for look in looks):
        spans = [
            _stored_span(look.path)
            for look in spread([look for look in looks if look.mode == mode], RANGED)
            if look.path is not None
        ]
        if spans:
            out[mode] = min(low for low, _ in spans), max(high for _, high in spans)
    return out


def _stored_span(path: File) -> tuple[float, float]:
    stack, values = photo.stored(path)
    if values is None and stack is not None and not stack.by_pillow:
        values = photo.read_pixels(path, reading=Reading(stack.bands))
    elif values is None:
        with photo.faults_named(path), path.open("rb") as file:
            values = np.asarray(photo.open_image(file))
    return float(values.min()), float(values.max())
