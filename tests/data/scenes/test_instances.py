"""Maps of objects: numbered pixels, or a mask for each object."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data.outlines import to_mask
from res2net.data.scene import Scenes
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import Source, parse_source
from res2net.errors import UserError

SIZE = (30, 40)
NOTE = "maps of objects without a list of classes"


def numbered(objects: int, kind: Any = np.uint8) -> Any:
    """A map with objects of 4x6 pixels, each in its own column."""
    values = np.zeros(SIZE, kind)
    for k in range(1, objects + 1):
        values[3 * k : 3 * k + 4, 7 * (k - 1) : 7 * (k - 1) + 6] = k
    return values


def save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def photo(path: Path) -> None:
    save(path, np.full((*SIZE, 3), 90, np.uint8))


COUNTS = (1, 3, 2, 4, 0, 2)
PAIRS = {
    "PennFudan": ("PNGImages/P{}.png", "PedMasks/P{}_mask.png", np.uint8),
    "Cellpose": ("{}_img.png", "{}_masks.png", np.uint16),
    "StarDist": ("images/{}.tif", "masks/{}.tif", np.uint16),
    "CVPPP": ("A1/plant{}_rgb.png", "A1/plant{}_label.png", np.uint8),
    "folder of instances": ("images/{}.jpg", "instance_masks/{}.png", np.uint8),
}


def write(root: Path, layout: str) -> None:
    for i, count in enumerate(COUNTS):
        if layout == "DSB":
            home = root / f"stage1_train/a{i}"
            photo(home / f"images/a{i}.png")
            for k in range(1, count + 1):
                save(home / f"masks/b{i}{k}.png", np.uint8(255) * (numbered(count) == k))
            continue
        image, values, kind = PAIRS[layout]
        photo(root / image.format(i))
        save(root / values.format(i), numbered(count, kind))


def read(root: Path, marks: Marks = "masks", **options: Any) -> Scenes:
    source = Source(format="instance-maps", path=root, guessed=False)
    return read_scenes(source, SceneOptions(marks=marks, **options))


@pytest.mark.parametrize("layout", [*PAIRS, "DSB"])
def test_each_number_is_an_object(tmp_path: Path, layout: str) -> None:
    write(tmp_path, layout)
    for marks in ("boxes", "masks"):
        assert parse_source(str(tmp_path), marks).format == "instance-maps"
    with contextlib.ExitStack() as notes:
        for note in (NOTE, *["1 images without masks are left out"] * (layout == "DSB")):
            notes.enter_context(pytest.warns(UserWarning, match=note))
        found = read(tmp_path)
    assert found.classes == ("object",)
    scenes = {"".join(filter(str.isdigit, Path(each.name).stem)): each for each in found.everything}
    assert len(scenes) == len(COUNTS) - (layout == "DSB")  # an image without a mask is left out
    for name, scene in scenes.items():
        values = numbered(COUNTS[int(name)])
        assert scene.objects is not None
        assert len(scene.objects) == values.max()
        outlines = scene.objects.segments or ()
        for k, (box, outline) in enumerate(zip(scene.objects.boxes, outlines, strict=True), 1):
            mask = to_mask(outline, *SIZE)
            assert (mask == (values == k)).all()
            y, x = np.nonzero(mask)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert scene.objects.areas[k - 1] == mask.sum()


def test_dense_maps_are_numbered_though_their_counts_are_equal(tmp_path: Path) -> None:
    for i in range(3):
        photo(tmp_path / f"images/{i}.png")
        save(
            tmp_path / f"masks/{i}.png",
            np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16),
        )
    assert parse_source(str(tmp_path), "masks").format == "instance-maps"


def test_parts_come_from_folders_and_the_class_from_a_list(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for i, count in enumerate(COUNTS):
            photo(tmp_path / f"{part}/images/{part}{i}.png")
            save(tmp_path / f"{part}/masks/{part}{i}.png", numbered(count))
    (tmp_path / "classes.txt").write_text("cell\n")
    found = read(tmp_path, val_fraction=0.34, seed=0)
    assert found.classes == ("cell",)
    assert (len(found.train), len(found.val), len(found.test)) == (4, 2, 6)
    (tmp_path / "classes.txt").write_text("background\ncell\n")
    assert read(tmp_path).classes == ("cell",)
    (tmp_path / "classes.txt").write_text("background\ncell\ndirt\n")
    with pytest.raises(UserError, match="lists 3 classes, but maps of objects have one"):
        read(tmp_path)


def test_255_after_counted_numbers_is_a_border(tmp_path: Path) -> None:
    write(tmp_path, "StarDist")
    values = numbered(2)
    values[0] = 255
    save(tmp_path / "masks/5.tif", values)
    (tmp_path / "classes.txt").write_text("cell\n")
    found = read(tmp_path)
    scene = next(each for each in found.everything if each.name.endswith("5.tif"))
    assert scene.objects is not None
    assert len(scene.objects) == 2
    save(tmp_path / "masks/5.tif", values * 7)  # numbers with gaps: 255 * 7 is 249 in uint8
    values[0], values[1] = 200, 255
    save(tmp_path / "masks/5.tif", values)
    scene = next(each for each in read(tmp_path).everything if each.name.endswith("5.tif"))
    assert scene.objects is not None
    assert len(scene.objects) == 4


def test_a_single_object_of_255_is_no_border(tmp_path: Path) -> None:
    write(tmp_path, "StarDist")
    save(tmp_path / "masks/0.tif", (numbered(1) * 255).astype(np.uint16))
    (tmp_path / "classes.txt").write_text("cell\n")
    found = {Path(each.name).stem: each.objects for each in read(tmp_path).everything}
    assert {name: len(each or ()) for name, each in found.items()} == {
        str(i): count for i, count in enumerate(COUNTS)
    }


@pytest.mark.parametrize("white", [1, 255])
def test_maps_of_pixels_are_refused(tmp_path: Path, white: int) -> None:
    for i in range(4):
        photo(tmp_path / f"images/{i}.png")
        save(tmp_path / f"masks/{i}.png", (numbered(3) > 0).astype(np.uint8) * np.uint8(white))
    with pytest.raises(UserError, match=r"number objects, use instance-maps:"):
        read_scenes(parse_source(str(tmp_path), "masks"), SceneOptions(marks="masks"))
    with pytest.raises(UserError, match="none of 4 maps has two values besides 0"):
        read(tmp_path)


def test_class_maps_are_not_taken_for_numbers(tmp_path: Path) -> None:
    for i in range(6):
        values = numbered(3)
        values[values == i % 3 + 1] = 0  # a class is absent
        photo(tmp_path / f"images/{i}.png")
        save(tmp_path / f"masks/{i}.png", values)
    assert parse_source(str(tmp_path), "masks").format == "pairs"
    assert parse_source(str(tmp_path), "classes").format == "pairs"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (lambda: np.zeros((*SIZE, 3), np.uint8) + np.arange(3, dtype=np.uint8), "grey or palette"),
        (lambda: np.full(SIZE, 0.5, np.float32), "whole numbers"),
        (lambda: numbered(2)[:-1], "its image"),
    ],
)
def test_faulty_maps_are_counted_and_named(tmp_path: Path, fault: Any, text: str) -> None:
    write(tmp_path, "StarDist")
    for name in ("1", "3"):
        save(tmp_path / f"masks/{name}.tif", fault())
    with pytest.raises(UserError, match=f"2 of 6 maps cannot be used.*{text}.*--skip-bad"):
        read(tmp_path)
    (tmp_path / "classes.txt").write_text("cell\n")
    kinds: tuple[Marks, ...] = ("boxes", "masks")
    for marks in kinds:
        with pytest.warns(UserWarning, match=f"2 of 6 maps cannot be used.*{text}.*are left out"):
            left = read(tmp_path, marks, skip_bad=True)
        names = {Path(scene.name).stem for scene in (*left.train, *left.val)}
        assert names == {"0", "2", "4", "5"}
    for name in ("0", "2", "4", "5"):
        save(tmp_path / f"masks/{name}.tif", fault())
    with pytest.raises(UserError, match="6 of 6 maps cannot be used"):
        read(tmp_path, skip_bad=True)


def test_damaged_maps_do_not_hide_that_the_others_number_objects(tmp_path: Path) -> None:
    write(tmp_path, "StarDist")
    for name in ("0", "3"):
        (tmp_path / f"masks/{name}.tif").write_bytes(b"no image")
    assert parse_source(str(tmp_path), "masks").format == "instance-maps"
    with pytest.raises(UserError, match="2 of 6 maps cannot be used"):
        read(tmp_path)


def write_cityscapes(root: Path) -> Any:
    """A road with a car, two persons, a group of persons and a caravan, which is not a class."""
    values = np.full(SIZE, 7, np.uint16)
    for value, rows in ((26000, 0), (24000, 5), (24001, 10), (24, 15), (29000, 20)):
        values[rows : rows + 4, 3:9] = value
    for part in ("train", "val"):
        for i in range(2):
            home = f"{part}/ulm/ulm_{i}"
            photo(root / f"leftImg8bit/{home}_leftImg8bit.png")
            save(root / f"gtFine/{home}_gtFine_instanceIds.png", values)
            save(root / f"gtFine/{home}_gtFine_labelIds.png", np.uint8(values % 999))
    return values


def test_numbers_of_cityscapes_hold_the_class_and_groups_are_crowds(tmp_path: Path) -> None:
    values = write_cityscapes(tmp_path)
    for marks in ("boxes", "masks"):
        assert parse_source(str(tmp_path), marks).format == "instance-maps"
    assert parse_source(str(tmp_path), "classes").format == "pairs"
    found = read(tmp_path)
    assert (len(found.train), len(found.val)) == (2, 2)
    own = found.train[0].objects
    assert own is not None
    assert own.crowds is not None
    names = [found.classes[label] for label in own.labels]
    assert names == ["person", "person", "person", "car"]
    assert own.ignored.tolist() == own.crowds.tolist() == [True, False, False, False]
    assert own.boxes[:, 1].tolist() == [15, 5, 10, 0]
    for value, outline in zip((24, 24000, 24001, 26000), own.segments or (), strict=True):
        assert (to_mask(outline, *SIZE) == (values == value)).all()


def test_some_maps_of_cityscapes_are_refused(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    photo(tmp_path / "leftImg8bit/train/ulm/x.png")
    save(tmp_path / "gtFine/instances/train/ulm/x.png", numbered(3))
    with pytest.raises(UserError, match="only some maps are Cityscapes' instanceIds"):
        read(tmp_path)
