"""A detector's graph: its pooling, its frame, and when two say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.heads.detector import make_detector
from res2net.tasks.detect.graph import Detector, Pooling, compare, framed, resized

CARD = ModelCard(
    network="res2net18",
    task="detect",
    classes=("a", "b"),
    options={"long_side": 160},
    preprocess=default_preprocess(96, native_size=64),
)


@pytest.mark.parametrize("names", [("0", "1", "2", "3"), ("2",)])
def test_pooling_is_torchvisions(names: tuple[str, ...]) -> None:
    chance = torch.Generator().manual_seed(0)
    maps = {
        str(i): torch.randn(1, 4, 128 >> (i + 2), 160 >> (i + 2), generator=chance)
        for i in range(4)
    }
    boxes = torch.rand(60, 4, generator=chance) * 60
    boxes[:, 2:] += boxes[:, :2]  # small: no region falls on the coarse levels
    pool = MultiScaleRoIAlign(list(names), 7, 2)
    wanted = pool(maps, [boxes], [(128, 160)])
    torch.testing.assert_close(Pooling(pool)(maps, [boxes], [(128, 160)]), wanted)


@pytest.mark.parametrize("masks", [False, True], ids=["faster", "mask"])
def test_the_graph_finds_what_torchvision_finds(masks: bool) -> None:
    torch.manual_seed(0)
    common = {"channels": 8, "short_side": 96, "long_side": 128}
    model = make_detector("res2net18", 2, masks=masks, **common).eval()  # type: ignore[arg-type]
    image = torch.rand(3, 96, 128)
    with torch.inference_mode():
        (wanted,) = model([image])
        batch, _ = model.transform([image])
        boxes, scores, labels, *own = Detector(model).eval()(batch.tensors)
    torch.testing.assert_close(boxes, wanted["boxes"])
    torch.testing.assert_close(scores, wanted["scores"])
    assert (labels + 1).tolist() == wanted["labels"].tolist()
    assert len(own) == masks
    if masks:
        assert own[0].shape == (len(boxes), 1, 28, 28)


def test_the_frame_holds_every_image_as_the_run_sees_it() -> None:
    card, size = resized(CARD, None)
    assert (card.preprocess.size, size) == (96, (160, 160))
    for height, width, inner in ((96, 96, (96, 96)), (200, 100, (160, 80)), (48, 80, (96, 160))):
        seen, found = framed(
            torch.zeros(3, height, width, dtype=torch.uint8), card.preprocess, size
        )
        assert seen.shape == (3, 160, 160)
        assert found == inner
    assert resized(CARD, 192)[1] == (320, 320)
    assert resized(CARD, (96, 128))[0].preprocess.size == 96
    with pytest.raises(UserError, match="--size is 16"):
        resized(CARD, 16)


def test_detections_are_matched_by_place_and_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 1], np.float32)
    order = [1, 0]  # the other way round, one is missing, and one more is somewhere else
    moved = np.concatenate([boxes[order] + 0.01, [[60, 0, 70, 10]]]).astype(np.float32)
    found = [moved, np.array([0.8, 0.9, 0.3], np.float32), np.array([1, 0, 1], np.float32)]
    result = compare([boxes, scores, labels], found)
    assert result.shares.tolist() == [2 * 2 / 6]
    np.testing.assert_allclose(result.found[1], result.wanted[1])
    np.testing.assert_allclose(result.found[0] - result.wanted[0], 0.01, atol=1e-5)
    nothing = [each[:0] for each in found]
    assert compare(nothing, nothing).things.tolist() == [0]
    one_sided = compare([boxes, scores, labels], nothing)
    assert (one_sided.shares.tolist(), one_sided.things.tolist()) == ([0.0], [3])
