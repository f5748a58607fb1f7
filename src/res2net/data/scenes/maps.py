"""Images with maps beside them, matched by name: CamVid, any folder of pairs, salient objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from res2net.data.files import Listing, list_images
from res2net.data.scene import Scene, Scenes
from res2net.data.scenes.checks import Tally, check_parts
from res2net.data.scenes.options import SceneOptions, split
from res2net.data.scenes.voc import palette, read_list
from res2net.errors import UserError

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)
MSRA_TRAIN = 2500  # images of MSRA-B's training part
_IMAGES = ("images", "image", "imgs", "img", "jpegimages", "dut-omron-image")  # in lower case
_MAPS = (
    *("masks", "mask", "labels", "annotations", "annotation", "ground_truth_mask", "gt"),
    "pixelwisegt-new-png",
)
_VAL = ("val", "valid", "validation", "test")


def read_camvid(root: Path, options: SceneOptions) -> Scenes:
    """CamVid in its usual form: ``train``, ``trainannot``, ``val``, ``valannot``; class 11 is void.

    Raises:
        UserError: another layout.
    """
    if options.marks != "classes":
        raise UserError(f"{root}: CamVid has class maps only")
    tally = Tally()
    train, val = (
        _pairs(root, root / part, root / f"{part}annot", tally, "classes")
        for part in ("train", "val")
    )
    tally.warn(root)
    check_parts(root, train, val)
    colours = palette(len(CAMVID) + 1)[1:]
    return Scenes(
        name=root.resolve().name, classes=CAMVID, train=train, val=val, palette=colours, void=(11,)
    )


def read_pairs(root: Path, options: SceneOptions) -> Scenes:
    """Folders ``images`` and ``masks``, below ``train`` and ``val`` or alone.

    Class maps need a ``classes.txt``: a name a line, the first is value 0. 255 does not count.

    Raises:
        UserError: another layout, or no list of classes.
    """
    if options.marks not in ("classes", "salient"):
        raise UserError(f"{root}: pairs of images and maps have no {options.marks}")
    classes = ("background", "salient")
    if options.marks == "classes":
        listed = root / "classes.txt"
        if not listed.is_file():
            raise UserError(f"{listed}: missing; write a class name a line, the first for value 0")
        lines = listed.read_text(encoding="utf-8").splitlines()
        classes = tuple(line.strip() for line in lines if line.strip())  # type: ignore[assignment]
    train, val = _in_parts(root, options)
    check_parts(root, train, val)
    return Scenes(
        name=root.resolve().name,
        classes=classes,
        train=train,
        val=val,
        palette=palette(len(classes)),
    )


def read_salient(root: Path, options: SceneOptions) -> Scenes:
    """A set for evaluation (ECSSD, PASCAL-S, HKU-IS, DUT-OMRON): all of it, unless it has parts.

    Raises:
        UserError: no pairs of images and masks.
    """
    _only_salient(root, options)
    if (root / "train").is_dir() or (root / "train.txt").is_file():
        return read_pairs(root, options)
    tally = Tally()
    val = _home(root, tally)
    tally.warn(root)
    check_parts(root, (), val)
    return Scenes(name=root.resolve().name, classes=("background", "salient"), train=(), val=val)


def read_msra(root: Path, options: SceneOptions) -> Scenes:
    """MSRA-B with its lists: 2,500 for training, 500 for validation.

    Raises:
        UserError: a training list longer than 2,500: the one that was released with the paper's
            base also holds test images of ECSSD, HKU-IS and DUT-OMRON.
    """
    _only_salient(root, options)
    found = read_pairs(root, options)
    if len(found.train) > MSRA_TRAIN:
        raise UserError(
            f"{root}: {len(found.train)} training images, MSRA-B has {MSRA_TRAIN}; a longer list "
            "holds images of the test sets (docs/errata.md)"
        )
    return found


def recognise(path: Path) -> str | None:
    """``pairs`` or, where all is for evaluation or for salient objects, ``ecssd``."""
    home = path / "train" if (path / "train").is_dir() else path
    if _first(home, _IMAGES) is None or _first(home, _MAPS) is None:
        return None
    return "pairs" if (path / "classes.txt").is_file() else "ecssd"


def _only_salient(root: Path, options: SceneOptions) -> None:
    if options.marks != "salient":
        raise UserError(f"{root}: salient objects only, no {options.marks}")


def _in_parts(root: Path, options: SceneOptions) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    tally = Tally()
    held_out = next((root / name for name in _VAL if (root / name).is_dir()), None)
    if (root / "train").is_dir() and held_out is not None:
        parts = tuple(_home(part, tally, options.marks) for part in (root / "train", held_out))
        tally.warn(root)
        return parts[0], parts[1]
    everything = _home(root, tally, options.marks)
    tally.warn(root)
    lists = {name: root / f"{name}.txt" for name in ("train", *_VAL)}
    val_list = next((lists[name] for name in _VAL if lists[name].is_file()), None)
    if lists["train"].is_file() and val_list is not None:
        by_stem = {Path(scene.name).stem: scene for scene in everything}
        return _listed(lists["train"], by_stem), _listed(val_list, by_stem)
    return split(everything, options)


def _listed(path: Path, by_stem: dict[str, Scene]) -> tuple[Scene, ...]:
    stems = [Path(name).stem for name in read_list(path)]
    absent = [stem for stem in stems if stem not in by_stem]
    if absent:
        raise UserError(f"{path}: lists {absent[0]}, which is not there ({len(absent)} in all)")
    return tuple(by_stem[stem] for stem in stems)


def _home(root: Path, tally: Tally, marks: str = "salient") -> tuple[Scene, ...]:
    """Pairs under one folder: two folders side by side, or photos and maps together."""
    images = _first(root, _IMAGES)
    maps = _first(root, _MAPS)
    if images is None or maps is None:
        images = maps = images or root
    return _pairs(root, images, maps, tally, marks)


def _first(root: Path, names: Iterable[str]) -> Path | None:
    """The first of some folders, however their letters are written; of PASCAL-S the one below."""
    here = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    found = next((here[name] for name in names if name in here), None)
    below = found and found / "pascal"
    return below if below is not None and below.is_dir() else found


def _pairs(root: Path, images: Path, maps: Path, tally: Tally, marks: str) -> tuple[Scene, ...]:
    for folder in (images, maps):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    by_stem = {p.stem: p for p in maps.iterdir() if p.suffix.lower() in (".png", ".bmp")}
    listing = Listing()
    list_images(images, "", listing, find_empty=False)
    scenes = []
    for name in listing.names:
        path = images / name
        if images == maps and path.suffix.lower() in (".png", ".bmp"):
            continue
        found = by_stem.get(path.stem)
        if found is None:
            tally.add("images have no map", name)
            continue
        shown = str(path.relative_to(root))
        if marks == "classes":
            scenes.append(Scene(name=shown, image=path, classes=found))
        else:
            scenes.append(Scene(name=shown, image=path, salient=found))
    if not scenes:
        raise UserError(f"{root}: no image has a map of its name")
    return tuple(scenes)
