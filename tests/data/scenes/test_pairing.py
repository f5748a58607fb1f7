"""Which files are images, which their maps, and which belong together, by their names."""

from __future__ import annotations

import pytest

from res2net.data.scenes.checks import Tally
from res2net.data.scenes.pairing import find_pairs, of_folder, pairs_of, variant
from res2net.errors import UserError


def found(*names: str) -> dict[str, list[tuple[str, str]]]:
    return find_pairs(sorted(names), Tally()).pairs


@pytest.mark.parametrize("images", ["images", "imgs", "JPEGImages", "Image", "photos", "input"])
@pytest.mark.parametrize(
    "maps", ["masks", "Labels", "GT", "ground_truth", "SegmentationClass", "annotations/trimaps"]
)
def test_two_folders_side_by_side_or_wrapped(images: str, maps: str) -> None:
    pair = (f"{images}/a.jpg", f"{maps}/a.png")
    assert found(*pair) == {"": [pair]}
    wrapped = tuple(f"my data/{name}" for name in pair)
    assert found(*wrapped) == {"": [wrapped]}


@pytest.mark.parametrize(
    ("image", "mapped", "part"),
    [
        ("images/train/a.jpg", "masks/train/a.png", "train"),
        ("Train/Images/a.jpg", "Train/Masks/a.png", "train"),
        ("train/a.jpg", "train_masks/a_mask.gif", "train"),
        ("train_val/images/a.jpg", "train_val/masks/a.bmp", "train"),
        ("trip/a.jpg", "tripannot/a.png", ""),
        ("set/data/a.jpg", "set/labels/a.png", ""),
        ("train_images/a.jpg", "train_labels/a.png", "train"),
        ("valid/a_jpg.rf.1.jpg", "valid/a_jpg.rf.1_mask.png", "val"),
        ("DUTS-TR/DUTS-TR-Image/a.jpg", "DUTS-TR/DUTS-TR-Mask/a.png", "train"),
        ("DUTS-TE/DUTS-TE-Image/a.jpg", "DUTS-TE/DUTS-TE-Mask/a.png", "test"),
        ("testing/images/a.jpg", "testing/gt/a.png", "test"),
        ("trainannot/a.png", "train/a.png", "train"),
        ("train2017/1.jpg", "stuffthingmaps/train2017/1.png", "train"),
        ("images/train/a.jpg", "masks/a.png", "train"),
    ],
)
def test_parts_are_told_by_folders(image: str, mapped: str, part: str) -> None:
    if "annot" in image:
        image, mapped = mapped, image
    assert found(image, mapped) == {part: [(image, mapped)]}


@pytest.mark.parametrize(
    ("image", "mapped"),
    [
        ("a.jpg", "a.png"),
        ("a.png", "a_mask.png"),
        ("a.png", "a-mask.png"),
        ("a.png", "mask_a.png"),
        ("a b.png", "a b_label.png"),
        ("a.png", "a_L.png"),
        ("a.jpg", "a_gtFine_labelIds.png"),
        ("a_sat.jpg", "a_mask.png"),
        ("scan.v1.2.jpg", "scan.v1.2_seg.png"),
    ],
)
@pytest.mark.parametrize("folder", ["", "images/"])
def test_files_of_one_folder(image: str, mapped: str, folder: str) -> None:
    assert found(folder + image, folder + mapped) == {"": [(folder + image, folder + mapped)]}


@pytest.mark.parametrize(
    ("image", "mapped"),
    [
        ("IM1.JPG", "im1.png"),
        ("a.jpg", "a.jpg.png"),
        ("image_001.jpg", "mask_001.png"),
        ("img1.jpg", "label1.png"),
        ("im0_image.jpg", "im0_mask.png"),
        ("face_mask.jpg", "face_mask.png"),
        ("名 前.jpg", "名 前_mask.png"),
    ],
)
def test_names_that_differ_in_words_of_their_role(image: str, mapped: str) -> None:
    assert found(f"images/{image}", f"masks/{mapped}") == {
        "": [(f"images/{image}", f"masks/{mapped}")]
    }


def test_the_stricter_name_is_preferred() -> None:
    names = ("images/a.jpg", "masks/a.png", "masks/a_mask.png")
    assert found(*names) == {"": [("images/a.jpg", "masks/a.png")]}


def test_of_cityscapes_numbers_are_taken_and_colours_and_objects_are_not() -> None:
    image = "leftImg8bit/train/ulm/ulm_1_leftImg8bit.png"
    kinds = ("color", "labelIds", "instanceIds", "labelTrainIds")
    maps = [f"gtFine/train/ulm/ulm_1_gtFine_{kind}.png" for kind in kinds]
    assert found(image, *maps) == {"train": [(image, maps[3])]}
    assert found(image, *maps[:3]) == {"train": [(image, maps[1])]}
    assert found(image, maps[2]) == {}
    assert [variant(name[:-4]) for name in maps] == ["color", "labelids", "", "labeltrainids"]


def test_pictures_of_objects_and_for_people_are_no_maps() -> None:
    pair = ("JPEGImages/a.jpg", "SegmentationClass/a.png")
    others = ("SegmentationObject/a.png", "SegmentationClassVisualization/a.png")
    assert found(*pair, *others) == {"": [pair]}
    assert of_folder("masks/vis").role == "none"


def test_two_folders_of_maps_are_refused() -> None:
    with pytest.raises(UserError, match=r"images/a\.jpg has a map in gt/ and one in masks/"):
        found("images/a.jpg", "gt/a.png", "masks/a.png")


def test_class_folders_are_no_maps() -> None:
    assert found("cat/0.jpg", "dog/0.jpg") == {}
    assert found("with_mask/0.jpg", "without_mask/0.jpg") == {}
    assert found("mask/0.jpg", "nomask/0.jpg") == {}


def test_what_has_no_partner_is_counted() -> None:
    tally = Tally()
    find_pairs(["images/a.jpg", "images/b.jpg", "masks/a.png", "masks/c.png"], tally)
    assert tally.faults == {
        "images have no map": (1, "images/b.jpg"),
        "maps have no image": (1, "masks/c.png"),
    }


def test_folders_of_no_role_are_counted() -> None:
    tally = Tally()
    names = ["images/a.jpg", "1st_manual/a_manual1.gif", "mask/a_mask.gif", "overview.png"]
    assert find_pairs(sorted(names), tally).pairs == {"": [("images/a.jpg", "mask/a_mask.gif")]}
    fault = "images in folders of neither images nor maps are not used"
    assert tally.faults == {fault: (2, "1st_manual/a_manual1.gif")}


def test_a_map_of_another_part_is_not_taken() -> None:
    names = ("images/train/a.jpg", "images/val/b.jpg", "masks/train/b.png", "masks/val/b.png")
    assert found(*names) == {"val": [("images/val/b.jpg", "masks/val/b.png")]}


def test_pairs_below_two_given_folders() -> None:
    assert pairs_of(["ulm/a.jpg", "b.jpg"], ["ulm/a.png"], Tally()) == [("ulm/a.jpg", "ulm/a.png")]
