"""Sort the files of a folder into images and maps, and pair them.

Words in the names of folders and files give their role (``images``, ``masks``, ``x_mask``) and part
(``train``, ``val``); the rest of the names must be equal.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from res2net.data.files import PARTS, some
from res2net.data.photo import EXTENSIONS
from res2net.data.scenes.checks import Tally
from res2net.errors import UserError

Role = Literal["image", "map", "object", "none", ""]  # "none": not used; "": unknown

_DUTS = {"TR": "train", "TE": "test"}
_IMAGES = frozenset(
    {
        *("image", "images", "img", "imgs", "im", "jpegimages", "photo", "photos", "picture"),
        *("pictures", "rgb", "input", "inputs", "frame", "frames", "stills", "raw", "original"),
        *("originals",),
    }
)
_MAPS = frozenset(
    {
        *("mask", "masks", "label", "labels", "labeled", "labelled", "annotation"),
        *("annotations", "annot", "annots", "anno", "annos", "gt", "gts"),
        *("truth", "groundtruth", "seg", "segs", "segmentation", "segmentations", "segmap"),
        *("segmaps", "target", "targets", "trimap", "trimaps", "stuffthingmaps", "pixelmaps"),
        *("matte", "mattes"),
    }
)
_OBJECTS = frozenset({"object", "objects", "instance", "instances"})  # of maps of objects
_NEITHER = frozenset(
    {
        *("visualization", "visualisation", "visualizations"),
        *("vis", "viz", "overlay", "overlays", "preview", "previews"),
    }
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_GAP = r"[ _.\-]+"
_IMAGE_AFFIX = r"(?:leftimg8bit|images?|imgs?|im|photo|rgb|sat|input|frame|raw|original|orig)"
_MAP_AFFIX = (
    r"(?:gt(?:fine|coarse)?|labeltrainids|(?:label|instance)ids|labels?|masks?|segmentations?|seg|"
    r"annotations?|annot|ground_?truth|target|trimap|lab|colou?r|matte)"
)
OF_CITYSCAPES = re.compile(rf"{_GAP}instanceids$", re.IGNORECASE)  # maps of objects
_LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")  # suffixes of maps among photos


Key = Callable[[str], str]


class File(NamedTuple):
    """An image file."""

    name: str  # relative to the root
    part: str  # "train", "val", "test" or ""
    place: tuple[str, ...]  # folders without a role or part
    stem: str  # its name without folder and suffix


class Folder(NamedTuple):
    """Role and part from the path of a folder."""

    role: Role
    part: str
    place: tuple[str, ...]


@dataclass(kw_only=True)
class Found:
    """Images and their maps."""

    pairs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # part → (image, map)
    images: Sequence[File] = ()  # all candidates
    maps: Sequence[File] = ()


def find_pairs(names: Sequence[str], tally: Tally, *, of_objects: bool = False) -> Found:
    """Pair the image files of a data set as images and maps; part "" if unknown.

    Maps are in a separate folder, or beside their images with a word in their name (``x_mask.png``)
    or as the lossless one of two files with the same name.

    Args:
        names: relative to the root, sorted.
        tally: counts images without a map and maps without an image.
        of_objects: use maps of objects if there are any.
    """
    files = [(name, *name.rpartition("/")[::2]) for name in names]
    folders = {folder: of_folder(folder) for _, folder, _ in files}
    by_role: dict[Role, list[File]] = {"image": [], "map": [], "object": [], "none": [], "": []}
    for name, folder, own in files:
        role, part, place = folders[folder]
        stem = own[: -len(PurePosixPath(own).suffix)]
        role = "object" if OF_CITYSCAPES.search(stem) else role
        by_role[role].append(File(name, part, place, stem))
    images, maps = by_role["image"], by_role["map"]
    maps = (of_objects and by_role["object"]) or maps
    # next to train_masks, train holds images; next to masks, the root does
    places = {file.place for file in maps}
    images = images or [file for file in by_role[""] if file.place in places]
    images = images or [file for file in by_role[""] if file.place[-1:] == ("data",)]  # FiftyOne
    found = Found(images=images, maps=maps)
    if images and maps:
        found.pairs = _match(images, maps, tally)
        rest = [file.name for file in by_role[""] if file not in images]
        fault = "images in folders of neither images nor maps are not used"
        tally.add(fault, some(rest[:1]), len(rest))
    if not found.pairs:
        images, maps = _beside([*by_role["image"], *by_role[""], *by_role["map"]])
        if maps:
            found = Found(pairs=_match(images, maps, tally), images=images, maps=maps)
    return found


def pairs_of(images: Sequence[str], maps: Sequence[str], tally: Tally) -> list[tuple[str, str]]:
    """(image, map) pairs of names below a folder of images and a folder of maps."""

    def files(names: Sequence[str]) -> list[File]:
        paths = [(name, PurePosixPath(name)) for name in names]
        return [File(name, "", path.parent.parts, path.stem) for name, path in paths]

    return _match(files(images), files(maps), tally).get("", [])


def photos(root: Path, images: Sequence[Path], tally: Tally) -> list[Path]:
    """The images, without files in map folders that share the name of another image."""
    mapped = [of_folder(str(each.parent.relative_to(root))).role == "map" for each in images]
    stems = {each.stem for each, is_map in zip(images, mapped, strict=True) if not is_map}
    kept = []
    for each, is_map in zip(images, mapped, strict=True):
        if is_map and each.stem in stems:
            tally.add("maps of images are not images and are left out", str(each.relative_to(root)))
        else:
            kept.append(each)
    return kept


@functools.lru_cache(maxsize=4096)
def of_folder(folder: str) -> Folder:
    """Role and part from the words in a folder's path; the deepest role takes precedence."""
    role: Role = ""
    part, place = "", []
    for each in PurePosixPath(folder).parts:
        stem = each.removesuffix("annot")  # CVAT: default and defaultannot
        words = _WORD.findall(stem) + ["annot"] * (stem != each)
        low = {word.lower() for word in words}
        named = {PARTS[word] for word in low if word in PARTS}
        named |= {_DUTS[word] for word in words if word in _DUTS}
        own: Role = "map" if low & _MAPS else "image" if low & _IMAGES else ""
        if stem and not named and not {*map(str.lower, _WORD.findall(stem))} & (_MAPS | _IMAGES):
            place.append(stem)
        role = own or role
        if role == "map" and low & (_OBJECTS | _NEITHER):
            role = "none" if low & _NEITHER else "object"
        if len(named) == 1 or named == {"train", "val"}:  # of train_val a part is held out
            part = part or min(named)
    return Folder(role, part, tuple(place))


def variant(stem: str) -> str:
    """The kind of a Cityscapes map: "labeltrainids", "labelids" or "color"; else ""."""
    found = re.search(r"_gt(?:fine|coarse)_(labeltrainids|labelids|color)$", stem, re.IGNORECASE)
    return found[1].lower() if found else ""


def is_jpeg(name: str) -> bool:
    """Whether the suffix is of a lossless format."""
    return name.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))


def _beside(files: Iterable[File]) -> tuple[list[File], list[File]]:
    """Images and maps in the same folder."""
    rooms: dict[str, list[File]] = {}
    for file in files:
        rooms.setdefault(file.name.rpartition("/")[0], []).append(file)
    images: list[File] = []
    maps: list[File] = []
    for room in rooms.values():
        stems = Counter(file.stem for file in room)
        by_image: tuple[Key, ...] = (str, _image_end, _image_key)
        keys = {key(file.stem) for file in room for key in by_image}
        for file in room:
            plain = _map_key(file.stem)
            named = plain != file.stem and plain in keys
            twin = stems[file.stem] > 1 and file.name.lower().endswith(_LOSSLESS)
            (maps if named or twin else images).append(file)
    return images, maps


def _stripped(stem: str, affix: str) -> str:
    """A name without role words at its ends: ``1`` for ``image_1`` and ``1_mask``."""
    before, plain = "", stem
    while before != plain:
        before = plain
        plain = re.sub(rf"(?:(?<=.){_GAP}|(?<=\d)){affix}$", "", plain, flags=re.IGNORECASE)
        plain = re.sub(rf"^{affix}(?:{_GAP}(?=.)|(?=\d))", "", plain, flags=re.IGNORECASE)
    return plain


@functools.lru_cache(maxsize=1 << 16)
def _map_key(stem: str) -> str:
    return _stripped(stem.removesuffix("_L") or stem, _MAP_AFFIX)  # x_L: CamVid


@functools.lru_cache(maxsize=1 << 16)
def _image_key(stem: str) -> str:
    return _stripped(stem, _IMAGE_AFFIX)


def _image_end(stem: str) -> str:
    return re.sub(rf"(?<=.){_GAP}{_IMAGE_AFFIX}$", "", stem, flags=re.IGNORECASE)


def _endless(stem: str) -> str:
    """``a`` for the map ``a.jpg.png``."""
    path = PurePosixPath(stem)
    return path.stem if path.suffix.lower() in EXTENSIONS else stem


# Rules that make the names of an image and its map equal, the strictest first.
_LEVELS: tuple[tuple[Key, Key], ...] = (
    (str, str),
    (str, _endless),
    (str, _map_key),
    (_image_end, _map_key),
    (_image_key, _map_key),
    (str.casefold, str.casefold),
    (lambda stem: _image_key(stem).casefold(), lambda stem: _map_key(stem).casefold()),
)


def _match(
    images: Sequence[File], maps: Sequence[File], tally: Tally
) -> dict[str, list[tuple[str, str]]]:
    """The map of each image: with its name in the same subfolder, else anywhere."""
    order = sorted(maps, key=lambda file: (_rank(file), file.name))
    finder = _Finder(images, order)
    pairs: dict[str, list[tuple[str, str]]] = {}
    used: Counter[str] = Counter()
    for image in images:
        found, clear = finder.of(image)
        if not clear:
            used.update(each.name for each in found)
            tally.add(
                "images left out since several images or maps in other folders share their name",
                image.name,
            )
        elif not found:
            tally.add("images have no map", image.name)
        else:
            first = found[0]
            rivals = [each for each in found[1:] if _rank(each) == _rank(first)]
            if any(_folder(each) != _folder(first) for each in rivals):
                others = next(_folder(each) for each in rivals if _folder(each) != _folder(first))
                raise UserError(
                    f"{image.name} has a map in {_folder(first)}/ and one in {others}/; move the "
                    "unwanted folder away"
                )
            if rivals:
                tally.add("images have two maps; the first by suffix is used", image.name)
            if used[first.name]:
                tally.add("images share their map with an image of the same name", image.name)
            used[first.name] += 1
            used.update(each.name for each in found[1:])
            pairs.setdefault(image.part or first.part, []).append((image.name, first.name))
    for each in maps if pairs else ():
        if not used[each.name]:
            tally.add("maps have no image", each.name)
    return pairs


def _folder(file: File) -> str:
    return file.name.rpartition("/")[0]


def _rank(file: File) -> tuple[int, bool]:
    """Sort key for several maps of an image; the smallest is used: numbers before colours."""
    usual = 3 if re.search("colou?r", file.name, re.IGNORECASE) else 2
    kinds = {"labeltrainids": 0, "labelids": 1}
    return kinds.get(variant(file.stem), usual), is_jpeg(file.name)


class _Finder:
    """Maps by key, in scopes from the same part and folder up to anywhere."""

    def __init__(self, images: Sequence[File], maps: Sequence[File]) -> None:
        self.maps: list[dict[tuple[object, ...], list[File]]] = []
        self.images: list[Counter[str]] = []
        for image_key, map_key in _LEVELS:
            index: dict[tuple[object, ...], list[File]] = {}
            for each in maps:
                key = map_key(each.stem)
                for scope in ((each.part, each.place, key), (each.part, key), (key,)):
                    index.setdefault(scope, []).append(each)
            self.maps.append(index)
            self.images.append(Counter(image_key(each.stem) for each in images))

    def of(self, image: File) -> tuple[list[File], bool]:
        """The maps of an image, the best first, and whether the match is unambiguous."""
        for scope in range(3):
            for (image_key, _), index, count in zip(_LEVELS, self.maps, self.images, strict=True):
                key = image_key(image.stem)
                wanted = ((image.part, image.place, key), (image.part, key), (key,))[scope]
                found = index.get(wanted, [])
                if scope == 2:  # without a part, or the image has none
                    found = [each for each in found if not (image.part and each.part)]
                if not found:
                    continue
                places = {(each.part, each.place) for each in found}
                return found, not scope or (count[key] == 1 and len(places) == 1)
        return [], True
