"""Images with maps, matched by name: CamVid, any folder of pairs, salient objects."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from res2net.data import photo
from res2net.data.files import PARTS, image_names, some, spread
from res2net.data.scene import IGNORED, Legend, Scene, Scenes
from res2net.data.scenes.checks import Tally, parted
from res2net.data.scenes.legend import Classes, cityscapes, find_classes
from res2net.data.scenes.lookup import read_list
from res2net.data.scenes.mapfile import LOOKED, at_once, map_of, two_classes
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.pairing import find_pairs, of_folder, pairs_of, variant
from res2net.data.scenes.voc import with_classes
from res2net.drawing.marks import OBJECT, class_colours
from res2net.errors import UserError

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)
MSRA_TRAIN = 2500  # images of MSRA-B's training part


def read_camvid(root: Path, options: SceneOptions) -> Scenes:
    """CamVid in its usual layout: ``train``, ``trainannot``, ``val``, ``valannot``; 11 is void.

    A list beside the folders (``legend.FILES``) replaces CamVid's classes.

    Raises:
        UserError: another layout.
    """
    tally = Tally()
    named = {part: word for word, part in PARTS.items() if (root / f"{word}annot").is_dir()}
    named = named or {"train": "train"}
    parts = {
        part: _in_folders(root, named[part], f"{named[part]}annot", tally)
        for part in options.needed(named)
    }
    tally.warn(root)
    found = parted(root, parts, options)
    own = find_classes(root)
    if own is not None:
        return with_classes(root, own, found)
    return Scenes(
        name=root.resolve().name,
        classes=CAMVID,
        palette=class_colours(CAMVID),
        legend=Legend(void=(11,)),
        **found,
    )


def read_pairs(root: Path, options: SceneOptions) -> Scenes:
    """Folders ``images`` and ``masks``, inside ``train`` and ``val``, around them, or alone.

    Without a validation part, one is held out of training. Class maps need a list of classes
    (``legend.FILES``): one name per line, the first for value 0. Without a list, maps of two values
    have the classes background and foreground.

    Raises:
        UserError: another layout, or no list of classes for maps of more values.
    """
    found = in_parts(root, options)
    found = {part or "train": scenes for part, scenes in found.items()}
    if options.marks == "salient":
        return _salient(root, parted(root, found, options))
    files = [scene.classes for scenes in found.values() for scene in scenes]
    maps = [file for file in files if isinstance(file, Path)]
    listed = _classes_of(root, maps)
    if listed is None:
        listed = two_classes(maps)
        if listed is None:
            raise UserError(
                f"{root / 'classes.txt'}: missing; write one class name per line, the first for "
                "value 0, or '1 NAME', '2 NAME' ... if the maps have no 0"
            )
        text = "maps of two values without a list of classes: background and foreground"
        warnings.warn(f"{root}: {text}", stacklevel=2)
    return with_classes(root, listed, parted(root, found, options))


def read_salient(root: Path, options: SceneOptions) -> Scenes:
    """A set for evaluation (ECSSD, PASCAL-S, HKU-IS, DUT-OMRON), used whole unless it has parts.

    Raises:
        UserError: no pairs of images and masks.
    """
    parts = in_parts(root, options)
    if "" in parts:
        parts = {"val": parts[""]}
        return _salient(root, {**parted(root, parts, options), "validation": "test"})
    return _by_protocol(root, parts, options)


def read_msra(root: Path, options: SceneOptions) -> Scenes:
    """MSRA-B with its lists: 2,500 images for training, 500 for validation if listed.

    Raises:
        UserError: a training list longer than 2,500: the one released with the paper's baseline
            also has test images of ECSSD, HKU-IS and DUT-OMRON.
    """
    found = _by_protocol(root, in_parts(root, options), options)
    count = len(found.train)
    if count > MSRA_TRAIN:
        raise UserError(
            f"{root}: {count} training images, but MSRA-B has {MSRA_TRAIN}; longer lists "
            "contain images of the test sets (docs/errata.md)"
        )
    return found


def check_maps(where: str, images: Scenes, marks: Marks, *, skip_bad: bool = False) -> None:
    """Before the first step, refuse a data set whose maps cannot be learnt from.

    Reads up to 128 maps of each part, and more only until a second class is found.

    Args:
        where: the data, for the message.
        marks: "classes" or "salient"; others are not checked.
        skip_bad: unusable maps are ignored here, since the loader leaves them out.

    Raises:
        UserError: a part in which all pixels have one class or are ignored; or unusable maps, with
            their number and the first.
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


def _by_protocol(root: Path, parts: dict[str, tuple[Scene, ...]], options: SceneOptions) -> Scenes:
    """Parts as published: without a validation part, the test part is used for validation."""
    if "val" in parts or "test" not in parts:
        return _salient(root, parted(root, parts, options))
    parts["val"] = parts.pop("test")
    return _salient(root, {**parted(root, parts, options), "validation": "test"})


def _salient(root: Path, parts: dict[str, Any]) -> Scenes:
    classes, palette = ("background", "salient"), ((0, 0, 0), OBJECT)
    return Scenes(name=root.resolve().name, classes=classes, palette=palette, **parts)


def in_parts(
    root: Path, options: SceneOptions, *, of_objects: bool = False
) -> dict[str, tuple[Scene, ...]]:
    """Part → its images with their maps; only "" if neither folders nor lists name parts.

    Args:
        of_objects: maps in folders of instances are preferred, else unused.

    Raises:
        UserError: no image has a map, or some have two.
    """
    tally = Tally()
    told = {name: of_folder(name.rpartition("/")[0]).part for name in _image_names(root)}
    needed = options.needed(sorted(set(told.values()) - {""}))
    names = [name for name, part in told.items() if part in ("", *needed)]
    try:
        found = find_pairs(names, tally, of_objects=of_objects)
    except UserError as error:
        raise UserError(f"{root}: {error}") from None
    if not found.pairs:
        images, maps = (
            some([file.name for file in each[:2]]) for each in (found.images, found.maps)
        )
        raise UserError(
            f"{root}: no image has a map of the same name (images: {images or 'none'}; maps: "
            f"{maps or 'none'}); put maps into a folder masks beside images, or name them like the "
            "image with the suffix _mask"
        )
    unparted = found.pairs.pop("", [])
    if found.pairs and unparted:
        tally.add("images outside the parts left out", unparted[0][0], len(unparted))
    if len(names) == len(told) or all(told[name] for name in names):
        tally.warn(root)  # else maps of other parts in the same folder would seem to lack an image
    marks = options.marks
    if found.pairs:
        return {
            part: _scenes(root, found.pairs[part], marks) for part in options.needed(found.pairs)
        }
    everything = _scenes(root, unparted, marks)
    lists = {file.stem.lower(): file for file in sorted(root.glob("*.txt"))}
    named = {PARTS[name]: file for name, file in lists.items() if name in PARTS}
    if len(named) > 1 and {"train", options.measured} & named.keys():
        by_name = {Path(scene.name).stem: scene for scene in everything}
        return {part: _listed(named[part], by_name) for part in options.needed(named)}
    return {"": everything}


def _classes_of(root: Path, maps: Sequence[Path]) -> Classes | None:
    """The classes of a list beside the images or maps, or those of Cityscapes."""
    folders = dict.fromkeys(above for file in maps for above in file.parents)
    homes = [folder for folder in folders if folder.is_relative_to(root) and folder != root]
    listed = find_classes(root, *homes)
    if listed is not None:
        return listed
    kinds = {variant(file.stem) for file in maps}
    if len(kinds) == 1 and (kind := kinds.pop()):
        return cityscapes(kind)
    return None


def _scenes(root: Path, pairs: Sequence[tuple[str, str]], marks: Marks) -> tuple[Scene, ...]:
    if marks == "classes":
        return tuple(Scene(name=a, image=root / a, classes=root / b) for a, b in pairs)
    return tuple(Scene(name=a, image=root / a, salient=root / b) for a, b in pairs)


def _listed(path: Path, by_name: Mapping[str, Scene]) -> tuple[Scene, ...]:
    scenes, absent = [], []
    for line in read_list(path):
        words = (line, line.split()[0])
        stems = [each for word in words for each in (Path(word).stem, Path(word).name)]
        name = next((stem for stem in stems if stem in by_name), None)
        if name is None:
            absent.append(line)
        else:
            scenes.append(by_name[name])
    if absent:
        raise UserError(f"{path}: lists {absent[0]}, which does not exist ({len(absent)} in all)")
    return tuple(scenes)


def _in_folders(root: Path, images: str, maps: str, tally: Tally) -> tuple[Scene, ...]:
    names = _image_names(root / images), _image_names(root / maps)
    pairs = pairs_of(*names, tally)
    if not pairs:
        raise UserError(
            f"{root}: no image in {images}/ has a map of the same name in {maps}/ "
            f"({some(names[0][:2]) or 'none'}; {some(names[1][:2]) or 'none'})"
        )
    named = [(f"{images}/{image}", f"{maps}/{found}") for image, found in pairs]
    return _scenes(root, named, "classes")


def _image_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    return image_names(folder)


def _pixels(
    images: Scenes, scenes: Sequence[Scene], marks: Marks, *, skip_bad: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """Pixels of each value (256,) in the maps of a part, and how many maps were read.

    Raises:
        UserError: unusable maps, unless they are left out.
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
    first = spread(range(len(scenes)), LOOKED)
    looked = set(first)
    rest = [i for i in range(len(scenes)) if i not in looked]
    for group in (first, *(rest[i : i + LOOKED] for i in range(0, len(rest), LOOKED))):
        if done and (pixels[:IGNORED] > 0).sum() > 1:
            break
        found = at_once(count, [scenes[i] for i in group])
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
    """Why a part cannot be used for training or evaluation."""
    if not there:
        return f"all pixels of the {count} {part} maps hold {IGNORED}, which is ignored"
    if there == ["not salient"]:
        return f"nothing is salient in any of the {count} {part} maps"
    text = f"all valid pixels of the {count} {part} maps are {there[0]}; {_share(pixels)}"
    if pixels[IGNORED] and classes > 2:
        text += "; masks of 0 and 255 need a classes.txt of two names"
    return f"{text}; each part needs at least two classes"


def _share(pixels: npt.NDArray[np.int64]) -> str:
    share = 100 * float(pixels[IGNORED]) / max(float(pixels.sum()), 1)
    return f"{share:.0f} % of the pixels hold {IGNORED} and are ignored"
