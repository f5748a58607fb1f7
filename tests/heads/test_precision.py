"""Boxes, masks and maps of a network in 16 bits are those of given codes in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from res2net.data.scene import Objects, Scene
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.heads.detector import make_detector
from res2net.heads.dss import SaliencyNet
from res2net.heads.pose import PoseNet
from res2net.metrics.coco import coco_scores
from res2net.metrics.detections import DetectionArrays

HEIGHT, WIDTH = 800, 1333
SHORT = (torch.bfloat16, torch.float16)


class Given(nn.Module):
    """A layer whose outputs are given: of each map, in its dtype."""

    def __init__(self, channels: int, spread: float) -> None:
        super().__init__()
        self.channels, self.spread = channels, spread

    def forward(self, x: Tensor) -> Tensor:
        chance = torch.Generator().manual_seed(x.shape[2])
        found = torch.randn(len(x), self.channels, *x.shape[2:], generator=chance) * self.spread
        return found.bfloat16().to(x.dtype)  # exact in bfloat16, and so in all


def detector(form: Any, **options: Any) -> FasterRCNN:
    torch.manual_seed(0)
    made = make_detector("res2net18", 2, form=form, channels=8, **options)
    head = made.rpn.head
    anchors = head.cls_logits.out_channels
    head.conv, head.cls_logits = nn.Identity(), Given(anchors, 1.0)
    head.bbox_pred = Given(4 * anchors, 0.2)
    return made


def maps(form: str, dtype: torch.dtype) -> dict[str, Tensor]:
    strides = {"fpn": (4, 8, 16, 32, 64), "c4": (16,)}[form]
    return {
        str(i): torch.zeros(1, 8, -(-HEIGHT // stride), -(-WIDTH // stride), dtype=dtype)
        for i, stride in enumerate(strides)
    }


def frame() -> ImageList:
    return ImageList(torch.zeros(1, 3, 800, 1344), [(HEIGHT, WIDTH)])


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("form", ["fpn", "c4"])
def test_proposals_are_those_of_float32(form: str, dtype: torch.dtype) -> None:
    rpn = detector(form).rpn.eval()
    with torch.inference_mode():
        (wanted,), _ = rpn(frame(), maps(form, torch.float32))
        (found,), _ = rpn(frame(), maps(form, dtype))
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) < 0.1
    assert float(wanted.max()) > 1300


@pytest.mark.parametrize("dtype", SHORT)
def test_what_is_learnt_from_is_the_truth_to_the_pixel(dtype: torch.dtype) -> None:
    model = detector("fpn").train()
    truth = torch.tensor([[1290.37, 611.81, 1331.53, 777.77]])
    targets = [{"boxes": truth, "labels": torch.tensor([1])}]
    (proposals,), _ = model.rpn(frame(), maps("fpn", dtype), targets)
    (boxes,), _, (labels,), (codes,) = model.roi_heads.select_training_samples([proposals], targets)
    own = (boxes == truth).all(1)
    assert int(own.sum()) == 1
    assert labels[own].tolist() == [1]
    assert codes[own].tolist() == [[0, 0, 0, 0]]


def cells(count: int = 8) -> Tensor:
    """A box of any size in each cell of a grid over the image: (64, 4)."""
    chance = torch.Generator().manual_seed(1)
    sides = torch.tensor([WIDTH / count, HEIGHT / count])
    places = torch.cartesian_prod(torch.arange(count), torch.arange(count)) * sides
    ends = torch.rand(count**2, 2, 2, generator=chance).sort(1).values
    ends[:, 1] = torch.maximum(ends[:, 1], ends[:, 0] + 0.05).clamp(max=1)
    ends[:, 0] = torch.minimum(ends[:, 0], ends[:, 1] - 0.05)
    return (places[:, None] + ends * sides).flatten(1)


@pytest.mark.parametrize("dtype", SHORT)
def test_the_truth_as_codes_scores_100(dtype: torch.dtype) -> None:
    heads = detector("fpn").roi_heads.eval()
    truth = cells()
    sides = (truth[:, 2:] - truth[:, :2]).repeat(1, 2)
    near = truth + 0.1 * sides * torch.randn(
        truth.shape, generator=torch.Generator().manual_seed(2)
    )
    (codes,) = heads.box_coder.encode([truth], [near])
    logits = torch.tensor([[0.0, 9.0, 0.0]]).repeat(len(truth), 1)
    (boxes,), (scores,), (labels,) = heads.postprocess_detections(
        logits.to(dtype), codes.repeat(1, 3).to(dtype), [near], [(HEIGHT, WIDTH)]
    )
    sure = scores > 0.5
    assert boxes.dtype == torch.float32
    places = truth.double().numpy()
    areas = np.prod(places[:, 2:] - places[:, :2], axis=1)
    assert min(areas) < 32**2
    assert max(areas) > 32**2
    blank = np.zeros(len(places), np.int64)
    scene = Scene(
        name="a",
        image=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        objects=Objects(boxes=places, labels=blank, ignored=blank > 0, areas=areas),
        size=(HEIGHT, WIDTH),
    )
    found = DetectionArrays(
        boxes=boxes[sure].double().numpy(),
        scores=scores[sure].double().numpy(),
        labels=labels[sure].numpy() - 1,
    )
    stats = coco_scores([scene], [found], ("a",), kind="bbox").stats
    assert stats["ap"] == pytest.approx(100)
    assert stats["ap_small"] == pytest.approx(100)


@pytest.mark.parametrize("form", ["fpn", "c4"])
def test_a_detector_under_bfloat16_gives_float32(form: Any) -> None:
    masks = form == "fpn"
    torch.manual_seed(0)
    sides: dict[str, Any] = {"short_side": 64, "long_side": 96, "channels": 8, "regions": 8}
    model = make_detector("res2net18", 2, form=form, masks=masks, width=2, scale=2, **sides)
    model.rpn._post_nms_top_n = {"training": 16, "testing": 8}  # bfloat16 is slow where emulated
    model.roi_heads.detections_per_img = 4
    image, box = torch.rand(3, 64, 96), torch.tensor([[5.3, 6.2, 50.1, 40.7]])
    target = {"boxes": box, "labels": torch.tensor([1]), "masks": torch.ones(1, 64, 96).byte()}
    with torch.autocast("cpu", torch.bfloat16):
        losses = model([image], [target])
        with torch.inference_mode():
            (found,) = model.eval()([image])
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert sum(losses.values()).isfinite()
    for name in ("boxes", "scores", *(("masks",) if masks else ())):
        assert found[name].dtype == torch.float32, name


@pytest.mark.parametrize(
    "model",
    [
        lambda: PoseNet("res2net18", 3, channels=8),
        lambda: DeepLabV3Plus("res2net18", 3, channels=8),
        lambda: SaliencyNet("res2net18", channels=26),
    ],
    ids=["pose", "segment", "saliency"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_maps_are_at_least_float32(model: Any, dtype: torch.dtype) -> None:
    net = model().to(dtype).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype.itemsize < 8):
        found = net(torch.rand(1, 3, 64, 64, dtype=dtype))
    assert (found[0] if isinstance(found, list) else found).dtype == dtype
