"""Images with maps beside them, matched by name: CamVid, any folder of pairs, salient objects."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import Listing, list_images, some, spread
from res2net.data.scene import IGNORED, Legend, Scene, Scenes
from res2net.data.scenes.checks import Tally, parted
from res2net.data.scenes.legend import find_classes
from res2net.data.scenes.mapfile import LOOKED, at_once, map_of
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.voc import palette, read_list, with_classes
from res2net.errors import UserError

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)
MSRA_TRAIN = 2500  # images of MSRA-B's training part
IMAGES = ("images", "image", "imgs", "img", "jpegimages", "dut-omron-image")  # in lower case
MAPS = (
    *("masks", "mask", "labels", "annotations", "annotation", "ground_truth_mask", "gt"),
    "pixelwisegt-new-png",
)
TRAIN = ("train", "training")
_PARTS = {"train": TRAIN, "val": ("val", "valid", "validation"), "test": ("test", "testing")}
_LOSSLESS = (".png", ".bmp")  # maps that lie among photos


def read_camvid(root: Path, options: SceneOptions) -> Scenes:
    """CamVid in its usual form: ``train``, ``trainannot``, ``val``, ``valannot``; class 11 is void.

    Other classes than CamVid's are those of a list beside the folders (``legend.FILES``).

    Raises:
        UserError: another layout.
    """
    if options.marks != "classes":
        raise UserError(f"{root}: CamVid has class maps only")
    tally = Tally()
    named = [part for part in _PARTS if (root / f"{part}annot").is_dir()] or ["train"]
    parts = {
        part: _pairs(root, root / part, root / f"{part}annot", tally, "classes")
        for part in named
        if part in options.needed(named)
    }
    tally.warn(root)
    found = parted(root, parts, options)
    own = find_classes(root)
    if own is not None:
        return with_classes(root, own, found)
    return Scenes(
        name=root.resolve().name,
        classes=CAMVID,
        palette=palette(len(CAMVID) + 1)[1:],
        legend=Legend(void=(11,)),
        **found,
    )


def read_pairs(root: Path, options: SceneOptions) -> Scenes:
    """Folders ``images`` and ``masks``, below ``train`` and ``val``, above them, or alone.

    A validation part that is not there is held out of training. Class maps need a list of classes
    (``legend.FILES``): a name a line, the first is value 0.

    Raises:
        UserError: another layout, or no list of classes.
    """
    if options.marks not in ("classes", "salient"):
        raise UserError(f"{root}: pairs of images and maps have no {options.marks}")
    listed = find_classes(root) if options.marks == "classes" else None
    if options.marks == "classes" and listed is None:
        raise UserError(
            f"{root / 'classes.txt'}: missing; write a class name a line, the first for value 0"
        )
    parts = parted(root, _in_parts(root, options), options)
    return _salient(root, parts) if listed is None else with_classes(root, listed, parts)


def read_salient(root: Path, options: SceneOptions) -> Scenes:
    """A set for evaluation (ECSSD, PASCAL-S, HKU-IS, DUT-OMRON): all of it, unless it has parts.

    Raises:
        UserError: no pairs of images and masks.
    """
    _only_salient(root, options)
    images, _ = _sides(root)
    if (root / "train.txt").is_file() or _first(root, TRAIN) or _first(images, TRAIN):
        return _by_protocol(root, options)
    tally = Tally()
    val = _home(root, tally)
    tally.warn(root)
    return _salient(root, {**parted(root, {"val": val}, options), "validation": "test"})


def read_msra(root: Path, options: SceneOptions) -> Scenes:
    """MSRA-B with its lists: 2,500 for training, 500 for validation, where they are named.

    Raises:
        UserError: a training list longer than 2,500: the one that was released with the paper's
            base also holds test images of ECSSD, HKU-IS and DUT-OMRON.
    """
    _only_salient(root, options)
    found = _by_protocol(root, options)
    count = len(found.train)
    if count > MSRA_TRAIN:
        raise UserError(
            f"{root}: {count} training images, MSRA-B has {MSRA_TRAIN}; a longer list "
            "holds images of the test sets (docs/errata.md)"
        )
    return found


def check_maps(where: str, images: Scenes, marks: Marks, *, skip_bad: bool = False) -> None:
    """Refuse a data set whose maps give nothing to learn, before the first step.

    Up to 128 maps of each part are read, and more only until a second class is found.

    Args:
        where: the data, for the message.
        marks: "classes" or "salient"; other marks are not looked at.
        skip_bad: maps that cannot be used are left to the loader, which leaves them out.

    Raises:
        UserError: a part in which all pixels are of one class, or do not count; or maps that
            cannot be used, with their number and the first.
    """
    if marks not in ("classes", "salient"):
        return
    names = images.classes if marks == "classes" else ("not salient", "salient")
    for part, scenes in (("training", images.train), ("validation", images.val)):
        pixels, count = _pixels(images, scenes, marks, skip_bad=skip_bad)
        there = [name for name, held in zip(names, pixels, strict=False) if held]
        if count and len(there) < 2:
            raise UserError(f"{where}: {_nothing(part, count, there, pixels, len(names))}")
        if 0 < count == len(scenes) and len(there) < len(names):
            absent = [name for name in names if name not in there]
            warnings.warn(
                f"{where}: {len(absent)} of {len(names)} classes occur in no {part} map: "
                f"{some(absent)}; {_share(pixels)}",
                stacklevel=2,
            )


def _by_protocol(root: Path, options: SceneOptions) -> Scenes:
    """Parts as published: without a validation part, the test part is what is measured."""
    parts = _in_parts(root, options)
    if "val" in parts or "test" not in parts:
        return _salient(root, parted(root, parts, options))
    parts["val"] = parts.pop("test")
    return _salient(root, {**parted(root, parts, options), "validation": "test"})


def _salient(root: Path, parts: dict[str, Any]) -> Scenes:
    classes = ("background", "salient")
    return Scenes(name=root.resolve().name, classes=classes, palette=palette(2), **parts)


def _only_salient(root: Path, options: SceneOptions) -> None:
    if options.marks != "salient":
        raise UserError(f"{root}: salient objects only, no {options.marks}")


def _in_parts(root: Path, options: SceneOptions) -> dict[str, tuple[Scene, ...]]:
    """Part → its pairs; all are "train" where nothing names a part."""
    tally = Tally()
    homes = {part: _first(root, names) for part, names in _PARTS.items()}
    images, maps = _sides(root)
    first = homes["train"] or homes.get(options.measured or "")
    if first and (homes["val"] or homes["test"]):  # train/images and train/masks
        sides = {part: _sides(home) for part, home in homes.items() if home}
    else:  # images/train and masks/train
        below = {part: _first(images, names) for part, names in _PARTS.items() if images != root}
        beside = {part: _first(maps, _PARTS[part]) or maps for part in below}
        sides = {part: (home, beside[part]) for part, home in below.items() if home}
    if {"train", options.measured} & sides.keys():
        parts = {
            part: _pairs(root, *sides[part], tally, options.marks) for part in options.needed(sides)
        }
        tally.warn(root)
        return parts
    everything = _home(root, tally, options.marks)
    tally.warn(root)
    lists = {
        part: next((f for name in names if (f := root / f"{name}.txt").is_file()), None)
        for part, names in _PARTS.items()
    }
    listed = {part: file for part, file in lists.items() if file is not None}
    if len(listed) > 1 and {"train", options.measured} & listed.keys():
        by_stem = {Path(scene.name).stem: scene for scene in everything}
        return {part: _listed(listed[part], by_stem) for part in options.needed(listed)}
    return {"train": everything}


def _listed(path: Path, by_stem: dict[str, Scene]) -> tuple[Scene, ...]:
    stems = [Path(name).stem for name in read_list(path)]
    absent = [stem for stem in stems if stem not in by_stem]
    if absent:
        raise UserError(f"{path}: lists {absent[0]}, which is not there ({len(absent)} in all)")
    return tuple(by_stem[stem] for stem in stems)


def _home(root: Path, tally: Tally, marks: str = "salient") -> tuple[Scene, ...]:
    """Pairs under one folder: two folders side by side, or photos and maps together."""
    return _pairs(root, *_sides(root), tally, marks)


def _sides(root: Path) -> tuple[Path, Path]:
    """The folders of images and of maps, which may be one."""
    images, maps = _first(root, IMAGES), _first(root, MAPS)
    if images is None or maps is None:
        images = maps = images or root
    return images, maps


def _first(root: Path, names: Iterable[str]) -> Path | None:
    """The first of some folders, however their letters are written; of PASCAL-S the one below."""
    here = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    found = next((here[name] for name in names if name in here), None)
    below = found and found / "pascal"
    return below if below is not None and below.is_dir() else found


def _pairs(root: Path, images: Path, maps: Path, tally: Tally, marks: str) -> tuple[Scene, ...]:
    names, map_names = _image_names(images), _image_names(maps)
    if images == maps:
        names = [name for name in names if not name.lower().endswith(_LOSSLESS)]
        map_names = [name for name in map_names if name.lower().endswith(_LOSSLESS)]
    partners = _Partners(names, map_names)
    scenes = []
    for name in names:
        partner = partners.of(name, tally)
        if partner is None:
            continue
        path, found = images / name, maps / partner
        shown = str(path.relative_to(root))
        if marks == "classes":
            scenes.append(Scene(name=shown, image=path, classes=found))
        else:
            scenes.append(Scene(name=shown, image=path, salient=found))
    if not scenes:
        seen = "; ".join(
            f"{folder} holds {some(inside[:2]) or 'none'}"
            for folder, inside in ((images, names), (maps, map_names))
        )
        raise UserError(f"{root}: no image has a map of its name ({seen})")
    return tuple(scenes)


def _image_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    listing = Listing()
    list_images(folder, "", listing, find_empty=False)
    return listing.names


class _Partners:
    """The map of each image: of its name in the same folder below, or of its name anywhere."""

    def __init__(self, names: Sequence[str], map_names: Sequence[str]) -> None:
        self.images = Counter(Path(name).stem for name in names)
        self.same = Counter(_bare(name) for name in names)
        self.by_place: dict[str, list[str]] = {}
        self.by_stem: dict[str, list[str]] = {}
        for name in sorted(map_names, key=lambda name: (_is_jpeg(name), name)):  # JPEG last
            self.by_place.setdefault(_bare(name), []).append(name)
            self.by_stem.setdefault(Path(name).stem, []).append(name)

    def of(self, name: str, tally: Tally) -> str | None:
        """The map's name; None, counted, where there is none or it is open which."""
        stem = Path(name).stem
        found = self.by_place.get(_bare(name), ())
        if not found:
            found = self.by_stem.get(stem, ())
            if found and (self.images[stem] > 1 or len({_bare(each) for each in found}) > 1):
                tally.add(
                    "images left out, several images or maps in other folders share their name",
                    name,
                )
                return None
        if not found:
            tally.add("images have no map", name)
            return None
        if self.same[_bare(name)] > 1:
            tally.add("images share their map with an image of the same name", name)
        if len(found) > 1 and _is_jpeg(found[0]) == _is_jpeg(found[1]):
            tally.add("images have two maps, of which the first by ending is used", name)
        return found[0]


def _bare(name: str) -> str:
    """A path without its ending."""
    return name[: -len(Path(name).suffix)]


def _is_jpeg(name: str) -> bool:
    return name.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))


def _pixels(
    images: Scenes, scenes: Sequence[Scene], marks: Marks, *, skip_bad: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """Pixels of each value (256,) in the maps of a part, and how many maps were read.

    Raises:
        UserError: maps that cannot be used, unless they are left out.
    """

    def count(scene: Scene) -> npt.NDArray[np.int64] | UserError:
        try:
            image = scene.image
            size = photo.image_size(image) if isinstance(image, Path) else image.shape[:2]
            values = map_of(scene, marks, size, len(images.classes), images.legend)
            return np.bincount(values.ravel(), minlength=256)
        except UserError as error:
            return error

    pixels, done = np.zeros(256, np.int64), 0
    first = spread(scenes, LOOKED)
    looked = {id(scene) for scene in first}
    rest = [scene for scene in scenes if id(scene) not in looked]
    for group in (first, *(rest[i : i + LOOKED] for i in range(0, len(rest), LOOKED))):
        if done and (pixels[:IGNORED] > 0).sum() > 1:
            break
        found = at_once(count, group)
        faults = [each for each in found if isinstance(each, UserError)]
        if faults and not skip_bad:
            several = f"{len(faults)} of {len(group)} maps cannot be used; the first: "
            raise UserError(f"{several if len(faults) > 1 else ''}{faults[0]}")
        good = [each for each in found if not isinstance(each, UserError)]
        pixels += np.sum(good, axis=0, dtype=np.int64) if good else 0
        done += len(good)
    return pixels, done


def _nothing(
    part: str, count: int, there: Sequence[str], pixels: npt.NDArray[np.int64], classes: int
) -> str:
    """Why a part gives nothing to learn or to measure."""
    if not there:
        return f"all pixels of the {count} {part} maps hold {IGNORED}, which does not count"
    if there == ["not salient"]:
        return f"nothing is salient in any of the {count} {part} maps"
    text = f"all pixels that count in the {count} {part} maps are {there[0]}; {_share(pixels)}"
    if pixels[IGNORED] and classes > 2:
        text += "; masks of 0 and 255 need a classes.txt of two names"
    return f"{text}; two classes at least are needed in each part"


def _share(pixels: npt.NDArray[np.int64]) -> str:
    share = 100 * float(pixels[IGNORED]) / max(float(pixels.sum()), 1)
    return f"{share:.0f} % of the pixels hold {IGNORED} and do not count"
