"""Marks move with the pixels, chance follows from the key, faults name their file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from res2net.data.sampler import SampleKey
from res2net.data.scene import IGNORED, Legend, Scene
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.generated import CLASSES, KEYPOINTS, SceneRules, generate
from res2net.data.scenes.transforms import (
    as_it_is,
    chain,
    colours,
    copy_paste,
    flip,
    large_scale,
    mosaic,
    scale_and_crop,
    short_side,
    square,
)
from res2net.errors import UserError

SCENES = [generate(i, 0, SceneRules(side=64)) for i in range(12)]


def dataset(marks: Any, transform: Any = as_it_is, scenes: Any = SCENES) -> SceneDataset:
    return SceneDataset(scenes, marks, len(CLASSES) + 1, transform)


def test_boxes_and_masks_turn_together() -> None:
    plain, turned = dataset("masks"), dataset("masks", flip(1.0))
    for i in range(len(SCENES)):
        (image, target, _), (mirror, moved, index) = plain[i], turned[i]
        assert index == i
        assert torch.equal(image.flip(-1), mirror)
        assert torch.equal(target["masks"].flip(-1), moved["masks"])
        for mask, box in zip(moved["masks"], moved["boxes"], strict=True):
            rows, columns = mask.nonzero(as_tuple=True)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [int(value) for value in found]


def test_key_points_trade_places_in_a_mirror() -> None:
    turned = dataset("keypoints", flip(1.0, KEYPOINTS.mirrored()))
    for i in range(len(SCENES)):
        before, after = dataset("keypoints")[i][1]["keypoints"], turned[i][1]["keypoints"]
        for left, right in ((0, 0), (1, 3), (2, 2), (3, 1)):
            seen = before[:, left, 2] > 0
            x = 63 - before[seen, left, 0]
            assert torch.allclose(after[seen, right, 0], x)
            assert torch.equal(after[:, right, 2], before[:, left, 2])


@pytest.mark.parametrize("side", [32, 64, 200])
def test_crops_keep_image_and_map_together(side: int) -> None:
    crop = chain(scale_and_crop(side, 0.5, 2.0, (0, 0, 0)), flip(0.5))
    data = dataset("classes", crop)
    for i in range(len(SCENES)):
        image, target, _ = data[SampleKey(i, 7 + i)]
        assert image.shape == (3, side, side)
        assert target["map"].shape == (side, side)
        outside = target["map"] == IGNORED
        assert (image[:, outside] == 0).all()
        again, same, _ = data[SampleKey(i, 7 + i)]
        assert torch.equal(image, again)
        assert torch.equal(target["map"], same["map"])


def test_salient_maps_are_zero_and_one_in_a_square() -> None:
    image, target, _ = dataset("salient", square(48))[0]
    assert image.shape == (3, 48, 48)
    assert set(target["map"].unique().tolist()) <= {0, 1}


def files(tmp_path: Path, values: np.ndarray, size: tuple[int, int] = (8, 6)) -> Scene:
    Image.new("RGB", size).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "m.png")
    return Scene(name="a.png", image=tmp_path / "a.png", classes=tmp_path / "m.png")


def test_strange_values_of_a_map_are_named(tmp_path: Path) -> None:
    scene = files(tmp_path, np.full((6, 8), 9, np.uint8))
    with pytest.raises(UserError, match=r"m\.png: holds the value 9 \(48 pixels\); classes"):
        dataset("classes", scenes=[scene])[0]
    kept = SceneDataset([scene], "classes", 5, as_it_is, legend=Legend(void=(9,)))
    assert (kept[0][1]["map"] == IGNORED).all()


def test_a_map_of_another_size_is_named(tmp_path: Path) -> None:
    scene = files(tmp_path, np.zeros((5, 8), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: is \(6, 8\), its map \(5, 8\)"):
        dataset("classes", scenes=[scene])[0]


def test_faulty_files_stop_or_are_left_out(tmp_path: Path) -> None:
    bad = files(tmp_path, np.full((6, 8), 9, np.uint8))
    stopping = SceneDataset([bad, SCENES[0]], "classes", 5, as_it_is)
    assert isinstance(stopping.__getitems__([0, 1]), UserError)
    going_on = SceneDataset([bad, SCENES[0]], "classes", 5, as_it_is, skip_bad=True)
    with pytest.warns(UserWarning, match=r"skipped: .*m\.png"):
        batch = going_on.__getitems__([0, 1])
    assert not isinstance(batch, UserError)
    assert [index for _, _, index in batch] == [1]


def test_camvid_maps_know_their_void(tmp_path: Path) -> None:
    from res2net.data.scenes.maps import CAMVID, read_camvid
    from res2net.data.scenes.options import SceneOptions

    for part in ("train", "val"):
        for folder in (part, f"{part}annot"):
            (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 3)).save(tmp_path / part / "a.png")
        values = np.arange(12, dtype=np.uint8).reshape(3, 4)  # 11 is void
        Image.fromarray(values).save(tmp_path / f"{part}annot" / "a.png")
    data = read_camvid(tmp_path, SceneOptions(marks="classes"))
    shown = SceneDataset(data.val, "classes", len(CAMVID), as_it_is, legend=data.legend)
    assert shown[0][1]["map"].unique().tolist() == [*range(11), IGNORED]


def test_real_camvid_maps_know_their_void(shared_data: Path) -> None:
    from res2net.data.scenes.maps import CAMVID, read_camvid
    from res2net.data.scenes.options import SceneOptions

    data = read_camvid(shared_data / "camvid", SceneOptions(marks="classes"))
    shown = SceneDataset(data.val, "classes", len(CAMVID), as_it_is, legend=data.legend)
    values = {int(v) for i in range(3) for v in shown[i][1]["map"].unique()}
    assert IGNORED in values
    assert max(values - {IGNORED}) <= 10


def test_colours_change_the_image_alone():
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    values = torch.randint(0, 3, (20, 30), dtype=torch.uint8)
    values[:5] = 255
    target = {"map": tv_tensors.Mask(values.clone())}
    changed, kept = colours(0.4, 3)(tv_tensors.Image(image), target)
    assert (changed != image).any()
    assert torch.equal(kept["map"], values)
    assert colours(0.0, 4) is as_it_is
    with pytest.raises(UserError, match="need.* 1 or 3 channels, these have 4; set it to 0"):
        colours(0.4, 4)


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_maps_of_another_size_hold_their_classes_alone(factor):
    """Nearest neighbours: no class between two others, and what does not count stays."""
    values = torch.zeros(40, 40, dtype=torch.uint8)
    values[10:30, 10:30], values[:, 30:] = 7, 255
    image = tv_tensors.Image(torch.zeros(3, 40, 40, dtype=torch.uint8))
    target = {"map": tv_tensors.Mask(values)}
    _, found = scale_and_crop(100, factor, factor, (0, 0, 0))(image, target)
    counts = {int(k): int((found["map"] == k).sum()) for k in found["map"].unique()}
    side = round(40 * factor)
    assert set(counts) == {0, 7, 255}
    assert counts[7] == pytest.approx((side / 2) ** 2, rel=0.1)
    assert counts[255] == pytest.approx(side**2 / 4 + 100**2 - side**2, rel=0.02)


def marked(
    size: tuple[int, int], boxes: list[list[float]], value: int = 0, label: int = 0
) -> tuple[torch.Tensor, dict[str, Any]]:
    """An image of one value with boxes whose masks fill them."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[int(top) : int(bottom), int(left) : int(right)] = 1
    return tv_tensors.Image(torch.full((3, *size), value, dtype=torch.uint8)), {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes).reshape(-1, 4), format="XYXY", canvas_size=size
        ),
        "labels": torch.full((len(boxes),), label),
        "ignored": torch.zeros(len(boxes), dtype=torch.bool),
        "masks": tv_tensors.Mask(masks),
    }


@pytest.mark.parametrize("shift", [0.5, 0.0])
def test_a_mosaic_puts_each_box_where_it_belongs(shift, monkeypatch):
    """Four images of 20 x 40 in a square of 2 x 40, around (40, 40) or around (20, 20)."""
    others = iter([marked((20, 40), [[4.0, 4, 12, 12]], 10 * k, k) for k in (2, 3, 4)])
    first = marked((20, 40), [[30.0, 10, 40, 20], [0.0, 0, 21, 4]], 10, 1)
    join = mosaic(1.0, lambda: next(others), 40, (7.0, 7.0, 7.0))
    drawn = iter([torch.tensor(0.0), torch.tensor([shift, shift])])
    monkeypatch.setattr(torch, "rand", lambda *_: next(drawn))
    image, target = join(*first)
    middle = 20 + int(40 * shift)
    # of the first image, the second box is cut to one of 21 pixels where the point is (20, 20)
    moved = {1: (middle - 40, middle - 20), 2: (middle, middle - 20), 3: (middle - 40, middle),
             4: (middle, middle)}  # fmt: skip
    boxes = {1: [[30, 10, 40, 20], [0, 0, 21, 4]], 2: [[4, 4, 12, 12]], 3: [[4, 4, 12, 12]],
             4: [[4, 4, 12, 12]]}  # fmt: skip
    wanted = [
        (k, [box[0] + x, box[1] + y, box[2] + x, box[3] + y])
        for k, (x, y) in moved.items()
        for box in boxes[k]
        if box[2] + x > 1
    ]
    assert target["labels"].tolist() == [k for k, _ in wanted]
    assert target["boxes"].tolist() == [box for _, box in wanted]
    assert image.shape == (3, 80, 80)
    for (k, box), mask in zip(wanted, target["masks"], strict=True):
        left, top, right, bottom = box
        assert mask[top:bottom, left:right].all()
        assert mask.sum() == (right - left) * (bottom - top)
        assert (image[:, top:bottom, left:right] == 10 * k).all()
    assert (image[:, 0, 79] == 7).all()
    assert len(target["ignored"]) == len(wanted)


def test_pasted_objects_cover_what_lies_below(monkeypatch):
    """Of three objects of a 10 x 20 image, shown twice as large, the first is pasted at (0, 16).

    The second is not drawn and the third is a crowd. Below it, one object is cut, one has a sliver
    left, one is apart.
    """
    image, target = marked(
        (40, 40), [[4.0, 18, 24, 22], [8.0, 20, 19, 24], [30.2, 0, 40, 9.5]], 1, 1
    )
    other = marked((10, 20), [[4.0, 1, 9, 4], [14.0, 1, 18, 4], [0.0, 6, 20, 9]], 200, 5)
    other[1]["ignored"][2] = True
    drawn = iter([torch.tensor(0.0), torch.tensor([0.1, 0.9, 0.1])])
    monkeypatch.setattr(torch, "rand", lambda *_: next(drawn))
    monkeypatch.setattr(torch, "randint", lambda room, _: torch.tensor(min(room - 1, 16)))
    mixed, found = copy_paste(1.0, lambda: other)(image, target)
    expected = torch.full((40, 40), 1)
    expected[18:24, 8:18] = 200  # the box 4, 1, 9, 4 twice as large, 16 rows further down
    assert (mixed == expected).all()
    assert found["labels"].tolist() == [1, 1, 5]
    assert found["ignored"].tolist() == [False] * 3
    assert torch.allclose(
        found["boxes"].as_subclass(torch.Tensor),
        torch.tensor([[4.0, 18, 24, 22], [30.2, 0, 40, 9.5], [8, 18, 18, 24]]),
    )
    assert found["masks"].flatten(1).sum(1, dtype=torch.int64).tolist() == [40, 90, 60]
    assert not (found["masks"][0].bool() & found["masks"][2].bool()).any()
    assert torch.equal(target["boxes"][0], torch.tensor([4.0, 18, 24, 22]))  # of the source


def test_a_covered_end_moves_the_box(monkeypatch):
    """Columns 0..5 of an object of ten columns are covered: its box begins at column 6."""
    below, above = marked((20, 20), [[0.0, 2, 10, 8]]), marked((20, 20), [[0.0, 0, 6, 20]], 9, 3)
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(0.0).reshape(()))
    _, found = copy_paste(1.0, lambda: above)(*below)
    assert found["boxes"].tolist() == [[6, 2, 10, 8], [0, 0, 6, 20]]
    assert found["labels"].tolist() == [0, 3]
    _, found = copy_paste(1.0, lambda: marked((20, 20), [[0.0, 0, 10, 9]], 9, 3))(*below)
    assert found["labels"].tolist() == [3]  # the object below is covered


def test_a_square_of_large_scale_keeps_what_is_large_enough(monkeypatch):
    """20 x 40 pixels at twice what fits 40: boxes of 2 x, of which the left upper square stays."""
    boxes = [[4.0, 4, 12, 12], [19.0, 0, 40, 4], [0.0, 0, 0.8, 5], [30.0, 0, 40, 5]]
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor(0))
    image, target = large_scale(40, 2.0, 2.0, (7.0, 7.0, 7.0))(*marked((20, 40), boxes, 9))
    assert image.shape == (3, 40, 40)
    assert target["boxes"].tolist() == [[8, 8, 24, 24]]
    assert target["masks"].sum(dtype=torch.int64) == 16 * 16
    small, halved = large_scale(40, 0.5, 0.5, (7.0, 7.0, 7.0))(*marked((20, 40), boxes, 9))
    assert (small[:, :10, :20] == 9).all()
    assert (small[:, 10:] == 7).all()
    assert halved["boxes"].tolist() == [[2, 2, 6, 6], [9.5, 0, 20, 2], [15, 0, 20, 2.5]]


def test_short_sides_come_from_the_list_and_the_long_side_is_bounded():
    torch.manual_seed(0)
    vary, heights = short_side([30, 60], 100), set()
    for _ in range(20):
        image, target = vary(*marked((20, 40), [[4.0, 4, 12, 12]]))
        heights.add(tuple(image.shape[1:]))
        factor = image.shape[1] / 20
        assert target["boxes"].tolist() == [[4 * factor, 4 * factor, 12 * factor, 12 * factor]]
        assert target["masks"].shape[1:] == image.shape[1:]
    assert heights == {(30, 60), (50, 100)}


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_images_without_objects_are_varied_too(kind):
    image, target = marked((20, 40), [])
    if kind == "boxes":
        del target["masks"]
    steps = chain(
        mosaic(1.0, lambda: (image, target), 40, (0.0, 0.0, 0.0)),
        *([copy_paste(1.0, lambda: (image, target))] if kind == "masks" else []),
        large_scale(32, 0.1, 2.0, (0.0, 0.0, 0.0)),
        short_side([40], 80),
    )
    found, kept = steps(image, target)
    assert found.shape == (3, 40, 40)
    assert len(kept["boxes"]) == len(kept["labels"]) == 0
