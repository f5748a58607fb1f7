"""A detector on images of any shape, with thresholds, and on large photos in tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from res2net.card import ModelCard
from res2net.data.outlines import pack, to_mask
from res2net.data.preprocess import Preprocess
from res2net.heads.detector import make_detector
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.detect import find as room
from res2net.tasks.detect.find import detect, find, padded, places, thresholds, with_tiles, within
from res2net.tasks.finding import Finding


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("size", [(8, 2000), (2000, 8), (1, 700), (1, 1), (40, 30)])
def test_a_strip_of_pixels_is_looked_at(size: tuple[int, int], masks: bool) -> None:
    torch.manual_seed(0)
    model = make_detector(
        "resnet18", 2, masks=masks, channels=8, short_side=64, long_side=107
    ).eval()
    model.roi_heads.score_thresh = 0.0
    model.roi_heads.detections_per_img = 5  # each mask is enlarged to the image
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = detect(model, image, precision="fp32")
    assert (found.boxes[:, 2:] <= [size[1], size[0]]).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert all(tuple(mask["size"]) == size for mask in found.masks or ())


def test_only_strips_are_padded_and_what_is_found_there_goes() -> None:
    model = make_detector("resnet18", 2, channels=8, short_side=64, long_side=107)
    image = torch.zeros(3, 40, 30)
    assert padded(image, model) is image
    assert padded(torch.zeros(2, 8, 2000), model).shape == (2, 19, 2000)
    found = {"boxes": torch.tensor([[0.0, 1, 9, 12], [0, 9, 5, 12]]), "scores": torch.ones(2)}
    kept = within(found, (8, 2000))
    assert kept["boxes"].tolist() == [[0, 1, 9, 8]]
    assert len(kept["scores"]) == 1


CARD = ModelCard(
    network="resnet18",
    task="detect",
    classes=("a", "b"),
    preprocess=Preprocess(size=100, resize=100, mean=(0, 0, 0), std=(1, 1, 1)),
)


def arrays(*rows: tuple[float, ...], masks: Any = None) -> DetectionArrays:
    """Left, top, right, bottom, score, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return DetectionArrays(
        boxes=table[:, :4], scores=table[:, 4], labels=table[:, 5].astype(np.int64), masks=masks
    )


class Heads:
    """What is read of a network; ``seen`` finds rectangles of one grey value each."""

    score_thresh, nms_thresh, detections_per_img = 0.05, 0.5, 100


class Net:
    roi_heads = Heads()


def seen(model: Net, image: torch.Tensor, *, precision: str) -> DetectionArrays:
    """Rectangles of values from 1; of a large image only those of 40 pixels or more, less sure."""
    del model, precision
    pixels = image[0].numpy()
    whole = max(pixels.shape) > 120
    rows, masks = [], []
    for value in range(1, int(pixels.max(initial=0)) + 1):
        y, x = np.nonzero(pixels == value)
        if len(y) and not (whole and x.max() - x.min() < 39):
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            rows.append((*box, 0.6 if whole else 0.9, 0))
            masks.append(pack(pixels == value))
    return arrays(*rows, masks=tuple(masks))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(room, "detect", seen)
    return Net()


def photo(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    image = torch.zeros(3, 300, 400, dtype=torch.uint8)
    for value, (left, top, right, bottom) in enumerate(boxes, 1):
        image[:, top:bottom, left:right] = value
    return image


SMALL = [(5, 5, 15, 15), (92, 40, 112, 60), (380, 280, 400, 300), (195, 140, 215, 160)]
LARGE = (60, 100, 320, 220)  # larger than a tile


def test_tiles_find_small_objects_and_keep_large_ones(stub: Any) -> None:
    image = photo(*SMALL[:3], LARGE)
    assert find(stub, CARD, image, Finding(), "fp32").boxes.tolist() == [list(LARGE)]
    found = find(stub, CARD, image, Finding(tiles=100), "fp32")
    assert sorted(found.boxes.tolist()) == sorted(map(list, map(tuple, [*SMALL[:3], LARGE])))
    for box, mask in zip(found.boxes.astype(int), found.masks or (), strict=True):
        filled = to_mask(mask, 300, 400)
        left, top, right, bottom = box
        assert filled[top:bottom, left:right].all()
        assert filled.sum() == (right - left) * (bottom - top)


@pytest.mark.parametrize("side", [64, 100, 150, 299, "auto", 5000])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
def test_no_tile_loses_a_box_of_the_whole_image(stub: Any, side: Any, overlap: float) -> None:
    image = photo(*SMALL, LARGE, (330, 20, 375, 90))
    whole = find(stub, CARD, image, Finding(), "fp32").boxes.tolist()
    assert len(whole) == 2 - 1 + 1
    found = find(stub, CARD, image, Finding(tiles=side, overlap=overlap), "fp32").boxes.tolist()
    assert all(box in found for box in whole)
    assert len(found) == len(set(map(tuple, found)))


def test_a_tile_replaces_one_box_at_most() -> None:
    whole = arrays((0, 0, 10, 10, 0.5, 0), (0, 2, 10, 12, 0.4, 0), (50, 50, 60, 60, 0.9, 0))
    inner = arrays(
        (0, 1, 10, 11, 0.9, 0),  # on two of the whole image: takes the place of one
        (50, 50, 60, 61, 0.7, 0),  # less sure than what it overlaps: goes
        (50, 50, 60, 60, 0.3, 1),  # another class: added
    )
    found = with_tiles(whole, inner, 0.5)
    rows = np.column_stack([found.boxes, found.scores, found.labels])
    assert sorted(map(tuple, rows.tolist())) == [
        *((0, 1, 10, 11, 0.9, 0), (0, 2, 10, 12, 0.4, 0)),
        *((50, 50, 60, 60, 0.3, 1), (50, 50, 60, 60, 0.9, 0)),
    ]
    assert len(with_tiles(arrays(), inner, 0.5)) == 3
    assert with_tiles(whole, arrays(), 0.5).boxes.tolist() == whole.boxes.tolist()


@pytest.mark.parametrize("length", [1, 99, 100, 101, 175, 176, 1000])
def test_tiles_cover_an_image_and_share_the_overlap(length: int) -> None:
    tiles = places(length, 100, 0.25)
    assert (tiles[0][0], tiles[-1][1]) == (0, length)
    assert all(end - start == min(length, 100) for start, end in tiles)
    ends, starts = [end for _, end in tiles[:-1]], [start for start, _ in tiles[1:]]
    assert all(end - start >= 25 for end, start in zip(ends, starts, strict=True))


def test_thresholds_are_the_networks_own_again() -> None:
    torch.manual_seed(0)
    model = make_detector("resnet18", 2, channels=8, short_side=64, long_side=107).eval()
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    plain = detect(model, image, precision="fp32")
    own = find(model, CARD, image, Finding(), "fp32")
    assert (own.boxes == plain.boxes).all()
    score = float(np.median(plain.scores))
    sure = find(model, CARD, image, Finding(score=score), "fp32")
    assert len(sure) == (plain.scores >= score).sum()
    assert len(find(model, CARD, image, Finding(max_detections=3), "fp32")) == 3
    few = find(model, CARD, image, Finding(iou=0.0, class_agnostic=True), "fp32")
    overlap = room.box_iou(few.boxes, few.boxes)
    assert (overlap[~np.eye(len(few), dtype=bool)] == 0).all()
    assert len(find(model, CARD, image, Finding(iou=1.0, max_detections=500), "fp32")) > 100
    with pytest.raises(ZeroDivisionError), thresholds(model, Finding(iou=0.1)):
        _ = 1 / 0
    assert model.roi_heads.nms_thresh == 0.5
    assert detect(model, image, precision="fp32").scores.tolist() == plain.scores.tolist()
