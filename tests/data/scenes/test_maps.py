"""Pairs of images and maps: which belong together, and whether there is anything to learn."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data.scene import Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.maps import check_maps
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.scenes.transforms import as_it_is
from res2net.data.source import Source, parse_source
from res2net.errors import UserError

MAP = np.zeros((6, 8), np.uint8)
MAP[2:4, 2:5] = 1
MAP[4:, 5:] = 2


def add(root: Path, image: str, found: str, values: Any = MAP) -> None:
    for path, pixels in ((root / image, np.zeros((6, 8, 3), np.uint8)), (root / found, values)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def read(form: str, root: Path, marks: Marks = "classes") -> Scenes:
    source = Source(format=form, path=root, guessed=False)
    return read_scenes(source, SceneOptions(marks=marks))


def counts(data: Scenes, marks: Marks = "classes", part: str = "train") -> list[int]:
    """Pixels of each value in the first map."""
    scenes = getattr(data, part)
    shown = SceneDataset(scenes, marks, len(data.classes), as_it_is, legend=data.legend)
    return np.bincount(shown[0][1]["map"].numpy().ravel()).tolist()


@pytest.mark.parametrize(
    "folders", [("training", "validation"), ("train", "val"), ("Train", "valid")]
)
@pytest.mark.parametrize("maps", ["annotations", "masks", "labels"])
def test_parts_below_images_and_maps(tmp_path: Path, folders: tuple[str, str], maps: str) -> None:
    for part, number in zip(folders, (3, 2), strict=True):
        for i in range(number):
            add(tmp_path, f"images/{part}/{i}.jpg", f"{maps}/{part}/{i}.png")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    assert parse_source(str(tmp_path)).format == "pairs"
    data = read("pairs", tmp_path)
    assert (len(data.train), len(data.val)) == (3, 2)
    assert counts(data) == [36, 6, 6]
    salient = read("ecssd", tmp_path, "salient")
    assert (len(salient.train), len(salient.val)) == (3, 2)


@pytest.mark.parametrize("layout", ["images/{}", "{}/images", "list"])
def test_a_test_part_is_not_validated_on(tmp_path: Path, layout: str) -> None:
    for part, number in (("train", 5), ("test", 2)):
        for i in range(number):
            images = "images" if layout == "list" else layout.format(part)
            name = f"{part}{i}"
            add(tmp_path, f"{images}/{name}.jpg", f"{images.replace('images', 'masks')}/{name}.png")
        if layout == "list":
            names = "".join(f"{part}{i}\n" for i in range(number))
            (tmp_path / f"{part}.txt").write_text(names)
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    marks: Marks
    for marks in ("classes", "salient"):
        data = read("pairs", tmp_path, marks)
        assert (len(data.train), len(data.val), len(data.test)) == (4, 1, 2)
        assert data.validation == "train"
    for form in ("ecssd", "msra-b"):  # published with training and test images
        data = read(form, tmp_path, "salient")
        assert (len(data.train), len(data.val), len(data.test)) == (5, 2, 0)
        assert data.validation == "test"


def test_a_set_for_evaluation_is_a_test_part(tmp_path: Path) -> None:
    for i in range(3):
        add(tmp_path, f"images/{i}.jpg", f"masks/{i}.png")
    data = read("ecssd", tmp_path, "salient")
    assert (len(data.train), len(data.val), data.validation) == (0, 3, "test")


def test_maps_are_found_in_the_folder_of_their_image(tmp_path: Path) -> None:
    for city, value in (("bonn", 0), ("ulm", 1)):
        add(tmp_path, f"images/{city}/a.jpg", f"masks/{city}/a.png", MAP * 0 + value)
    data = read("ecssd", tmp_path, "salient")
    assert [counts(data, "salient", "val"), len(data.val)] == [[48], 2]
    assert all(scene.image.parent.name == scene.salient.parent.name for scene in data.val)  # type: ignore[union-attr]


def test_images_of_one_name_with_one_flat_map_are_left_out_and_counted(tmp_path: Path) -> None:
    add(tmp_path, "images/a/x.jpg", "masks/x.png")
    add(tmp_path, "images/b/x.jpg", "masks/y.png")
    add(tmp_path, "images/b/y.jpg", "masks/y.png")
    with pytest.warns(UserWarning, match="2 images left out since several .* share their name"):
        data = read("ecssd", tmp_path, "salient")
    assert [scene.name for scene in data.val] == ["images/b/y.jpg"]


def test_the_map_without_loss_is_taken_and_two_are_told(tmp_path: Path) -> None:
    add(tmp_path, "images/a.jpg", "masks/a.png", MAP > 0)
    add(tmp_path, "images/a.jpg", "masks/a.jpg", MAP * 0)
    data = read("ecssd", tmp_path, "salient")
    assert counts(data, "salient", "val") == [36, 12]
    add(tmp_path, "images/a.jpg", "masks/a.bmp", MAP * 0)
    with pytest.warns(UserWarning, match=r"1 images have two maps.*/a\.jpg"):
        read("ecssd", tmp_path, "salient")


def test_maps_of_other_names_are_shown(tmp_path: Path) -> None:
    add(tmp_path, "images/a.jpg", "masks/b.png")
    with pytest.raises(UserError, match=r"no image has a map .*s/a\.jpg; maps: masks/b\.png"):
        read("ecssd", tmp_path, "salient")


def test_maps_of_voc_and_camvid_with_their_own_classes(tmp_path: Path) -> None:
    for i in range(4):
        add(tmp_path / "voc", f"JPEGImages/{i}.jpg", f"SegmentationClass/{i}.png")
    lists = tmp_path / "voc" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n")
    (lists / "val.txt").write_text("2\n3\n")
    assert len(read("voc", tmp_path / "voc").classes) == 21
    (tmp_path / "voc" / "class_names.txt").write_text("_background_\ncrack\nrust\n")
    assert read("voc", tmp_path / "voc").classes == ("_background_", "crack", "rust")
    for part in ("train", "val"):
        add(tmp_path / "camvid", f"{part}/0.png", f"{part}annot/0.png")
    assert len(read("camvid", tmp_path / "camvid").classes) == 11
    (tmp_path / "camvid" / "labelmap.txt").write_text("ground:0,0,0::\ncrack:1,2,3::\nrust:::\n")
    assert read("camvid", tmp_path / "camvid").classes == ("ground", "crack", "rust")


def pairs(root: Path, maps: list[Any], classes: str = "ground\ncat\ndog\n") -> Scenes:
    """The maps are those of both parts."""
    for part in ("train", "val"):
        for i, values in enumerate(maps):
            add(root, f"{part}/images/{i}.jpg", f"{part}/masks/{i}.png", values)
    (root / "classes.txt").write_text(classes)
    return read("pairs", root, "classes")


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        ([MAP * 0] * 2, "of the 2 training maps are ground; 0 % .*at least two classes"),
        ([MAP * 0 + 255], "all pixels of the 1 training maps hold 255, which is ignored"),
        ([np.where(MAP == 1, 255, 0)], r"12 % of the pixels .*a classes\.txt of two names"),
        ([MAP, MAP + 7, MAP + 8], r"2 of 3 maps cannot be used; the first: .*1\.png: holds the v"),
        ([MAP, MAP[:3]], r"1\.jpg: is \(6, 8\), its map \(3, 8\)"),
        ([MAP, np.zeros((8, 6))], r"is \(6, 8\) after its EXIF rotation, its map"),
    ],
)
def test_maps_without_anything_to_learn_are_refused(
    tmp_path: Path, maps: list[Any], reason: str
) -> None:
    data = pairs(tmp_path, maps)
    with pytest.raises(UserError, match=f"pets: .*{reason}|{reason}"):
        check_maps("pets", data, "classes")


def test_maps_that_cannot_be_used_may_be_left_out(tmp_path: Path) -> None:
    check_maps("pets", pairs(tmp_path, [MAP, MAP + 7]), "classes", skip_bad=True)


def test_a_class_that_never_occurs_is_noted(tmp_path: Path) -> None:
    data = pairs(tmp_path, [MAP], "ground\ncat\ndog\nemu\n")
    with (
        pytest.warns(UserWarning, match="pets: 1 of 4 classes occur in no training map: emu"),
        pytest.warns(UserWarning, match="pets: 1 of 4 classes occur in no validation map: emu"),
    ):
        check_maps("pets", data, "classes")


@pytest.mark.parametrize(
    ("value", "reason"), [(0, "nothing is salient in any of the 2"), (255, "are salient")]
)
def test_saliency_maps_all_empty_or_all_full_are_refused(
    tmp_path: Path, value: int, reason: str
) -> None:
    for i in range(2):
        add(tmp_path, f"images/{i}.jpg", f"masks/{i}.png", MAP * 0 + value)
    data = read("ecssd", tmp_path, "salient")
    with pytest.raises(UserError, match=reason):
        check_maps("x", replace(data, train=data.val), "salient")


def test_no_more_maps_are_read_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pairs(tmp_path, [MAP])
    many = replace(data, train=[*data.train] * 1000, val=())
    calls = []
    from res2net.data.scenes import maps

    right = maps.map_of
    monkeypatch.setattr(maps, "map_of", lambda *words: calls.append(0) or right(*words))
    check_maps("x", many, "classes")
    assert len(calls) == maps.LOOKED


def test_a_list_beside_the_maps_names_classes_and_values(tmp_path: Path) -> None:
    for part, number in (("train", 3), ("valid", 2)):
        for i in range(number):
            add(tmp_path, f"{part}/{i}.jpg", f"{part}/{i}_mask.png", MAP * 10)
        (tmp_path / part / "_classes.csv").write_text(
            "Pixel Value, Class\n0, ground\n10, cat\n20, dog\n"
        )
    assert parse_source(str(tmp_path), "classes").format == "pairs"
    data = read("pairs", tmp_path)
    assert data.classes == ("ground", "cat", "dog")
    assert (len(data.train), len(data.val)) == (3, 2)
    assert counts(data) == [36, 6, 6]


def test_values_that_the_list_does_not_name_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "images/0.jpg", "masks/0.png", MAP)
    (tmp_path / "classes.txt").write_text("1 cat\n2 dog\n")
    data = read("pairs", tmp_path)
    with pytest.raises(UserError, match=r"value 0 \(36 pixels\), which the list of classes"):
        counts(data)


WHITE = np.zeros((40, 48), np.uint8)
WHITE[11:30, 9:31] = 255


@pytest.mark.parametrize(
    ("ending", "values"),
    [
        ("png", WHITE),
        ("png", WHITE // 255),
        ("png", np.stack([WHITE] * 3, 2)),
        ("png", WHITE[..., None] // 255 * np.uint8([200, 30, 10])),
        ("jpg", WHITE),
        ("jpg", np.stack([WHITE] * 3, 2)),
    ],
    ids=["255", "1", "RGB", "red", "JPEG", "RGB JPEG"],
)
def test_maps_of_two_values_need_no_list(tmp_path: Path, ending: str, values: Any) -> None:
    for i in range(4):
        add(tmp_path, f"images/{i}.jpg", f"masks/{i}.{ending}", values if i else 0 * values)
        Image.new("RGB", (48, 40)).save(tmp_path / f"images/{i}.jpg")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        data = read("pairs", tmp_path)
    told = " ".join(str(note.message) for note in notes)
    assert "background and foreground" in told
    assert ("JPEG" in told) == (ending == "jpg")
    assert data.classes == ("background", "foreground")
    first = next(scene for scene in data.train if "0" not in scene.name)
    shown = SceneDataset((first,), "classes", 2, as_it_is, legend=data.legend)[0][1]["map"].numpy()
    wrong = (shown != (WHITE > 0)).sum()
    assert wrong == 0 if ending == "png" else wrong < 15  # of 1,920 pixels, all at the border


@pytest.mark.parametrize(
    "values", [WHITE // 2, WHITE // 255 * 2, MAP, WHITE + MAP[:1, :1] + np.uint8(3)]
)
def test_maps_of_other_values_need_a_list(tmp_path: Path, values: Any) -> None:
    for i in range(3):
        add(tmp_path, f"images/{i}.jpg", f"masks/{i}.png", values)
    with pytest.raises(UserError, match=r"classes.txt: missing"):
        read("pairs", tmp_path)


def test_a_damaged_map_of_two_values_is_named(tmp_path: Path) -> None:
    for i in range(4):
        add(tmp_path, f"images/{i}.jpg", f"masks/{i}.png", WHITE)
        Image.new("RGB", (48, 40)).save(tmp_path / f"images/{i}.jpg")
    (tmp_path / "masks/2.png").write_bytes(b"\x89PNG")
    with pytest.warns(UserWarning, match="background and foreground"):
        data = read("pairs", tmp_path)
    with pytest.raises(UserError, match=r"masks/2\.png"):
        check_maps("x", data, "classes")


@pytest.mark.parametrize("values", [np.where(WHITE, 255, 96), WHITE // 255, WHITE // 2])
def test_a_jpeg_that_is_not_black_and_white_is_refused(tmp_path: Path, values: Any) -> None:
    add(tmp_path, "images/0.jpg", "masks/0.jpg", values)
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    with pytest.raises(UserError, match="JPEG changes values"):
        read("pairs", tmp_path)


def test_255_of_two_meanings_is_refused(tmp_path: Path) -> None:
    for i in range(4):
        add(tmp_path, f"images/{i}.jpg", f"masks/{i}.png", (MAP > 0) * (255 if i % 2 else 1))
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    with pytest.raises(UserError, match="2 of 4 class maps hold 255 and no 1.*255 is ambiguous"):
        read("pairs", tmp_path)


@pytest.mark.parametrize("lists", [("default",), ("Train", "Validation"), ("trainval",)])
@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp"])
def test_lists_of_cvat_and_images_of_any_ending(
    tmp_path: Path, lists: tuple[str, ...], ending: str
) -> None:
    folder = tmp_path / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for part in lists:
        for i in range(4):
            add(tmp_path, f"JPEGImages/{part} {i}{ending}", f"SegmentationClass/{part} {i}.png")
        (folder / f"{part}.txt").write_text("".join(f"{part} {i}\n" for i in range(4)))
    (tmp_path / "labelmap.txt").write_text("ground:::\ncrack:::\nrust:::\n")
    data = read("voc", tmp_path)
    assert len(data.everything) == 4 * len(lists)
    assert len(data.val) == (4 if len(lists) > 1 else 1)


@pytest.mark.parametrize(
    ("subsets", "parts"),
    [
        (("default",), (3, 1, 0)),
        (("my trip",), (3, 1, 0)),
        (("Train", "Validation"), (4, 4, 0)),
        (("train", "validation", "test"), (4, 4, 4)),
    ],
)
def test_subsets_of_cvats_camvid(
    tmp_path: Path, subsets: tuple[str, ...], parts: tuple[int, ...]
) -> None:
    colours = np.array([(0, 0, 0), (250, 50, 83), (10, 20, 200)], np.uint8)
    names = ("background", "traffic light", "car")
    for subset in subsets:
        for i in range(4):
            add(tmp_path, f"{subset}/{i}.png", f"{subset}annot/{i}.png", colours[MAP])
        lines = (f"/{subset}/{i}.png /{subset}annot/{i}.png\n" for i in range(4))
        (tmp_path / f"{subset}.txt").write_text("".join(lines))
    rows = "0 0 0 background\n250 50 83 traffic light\n10 20 200 car\n"
    (tmp_path / "label_colors.txt").write_text(rows)
    found = read(parse_source(str(tmp_path), "classes").format, tmp_path)
    assert (found.classes, counts(found)) == (names, [36, 6, 6])
    assert (len(found.train), len(found.val), len(found.test)) == parts


def test_lists_name_files_with_endings_and_folders(tmp_path: Path) -> None:
    for i in range(4):
        add(tmp_path, f"images/a b {i}.jpg", f"masks/a b {i}.png")
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
    (tmp_path / "train.txt").write_text("a b 0\na b 1.jpg\n")
    (tmp_path / "val.txt").write_text("images/a b 3.jpg\n")
    data = read("pairs", tmp_path)
    assert (len(data.train), [scene.name for scene in data.val]) == (2, ["images/a b 3.jpg"])
