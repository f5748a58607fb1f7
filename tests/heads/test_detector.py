"""Faster and Mask R-CNN: equal to torchvision's with the same weights, and on other backbones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

from res2net.heads.detector import make_detector

SMALL: dict[str, Any] = {"short_side": 96, "long_side": 128}


def renamed(state: dict[str, torch.Tensor], names: list[str]) -> dict[str, torch.Tensor]:
    """Torchvision's weights under our names, which differ in the backbone only."""
    found = {}
    for name, value in state.items():
        if name not in names:
            name = name.replace("downsample.0", "downsample.conv").replace(
                "downsample.1", "downsample.bn"
            )
        found[name] = value
    return found


@pytest.mark.parametrize("masks", [False, True], ids=["faster", "mask"])
def test_equal_to_torchvision_with_the_same_weights(masks: bool) -> None:
    torch.manual_seed(0)
    make = maskrcnn_resnet50_fpn if masks else fasterrcnn_resnet50_fpn
    theirs = make(
        weights=None,
        weights_backbone=None,
        num_classes=4,
        min_size=96,
        max_size=128,
    ).eval()
    ours = make_detector("resnet50", 3, masks=masks, **SMALL).eval()
    own = ours.state_dict()
    state = {k: v for k, v in theirs.state_dict().items() if "num_batches_tracked" not in k}
    ours.load_state_dict(renamed(state, list(own)), strict=False)
    missing = set(own) - set(renamed(state, list(own)))
    assert all("num_batches_tracked" in name for name in missing), sorted(missing)[:5]
    images = [torch.rand(3, 90, 120), torch.rand(3, 128, 64)]
    with torch.inference_mode():
        for mine, other in zip(ours(images), theirs(images), strict=True):
            assert mine.keys() == other.keys()
            assert len(mine["boxes"]) == len(other["boxes"])
            for name in mine:
                torch.testing.assert_close(mine[name], other[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "form"),
    [
        ("res2net50_26w_4s", "fpn"),
        ("res2net50_26w_4s", "c4"),
        ("dla60_res2net", "c4"),
        ("res2net18", "fpn"),
    ],
)
def test_losses_are_finite_and_reach_the_backbone(network: str, form: Any) -> None:
    torch.manual_seed(0)
    detector = make_detector(network, 2, form=form, channels=32, **SMALL).train()
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    boxes = torch.tensor([[8.0, 8, 60, 70]])
    targets = [{"boxes": boxes, "labels": torch.tensor([1])}] * 2
    losses = detector(images, targets)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    first = next(p for p in detector.backbone.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_c4_settings_are_those_of_the_papers_base() -> None:
    detector = make_detector("resnet50", 2, form="c4", **SMALL)
    assert detector.rpn.min_size == 8
    assert detector.rpn.anchor_generator.sizes == ((64, 128, 256, 512),)
    assert detector.roi_heads.nms_thresh == 0.3
    rpn, heads = detector.rpn, detector.roi_heads
    assert (rpn._pre_nms_top_n, rpn._post_nms_top_n) == (
        {"training": 12000, "testing": 6000},
        {"training": 2000, "testing": 300},
    )
    assert rpn.nms_thresh == 0.7
    assert (rpn.proposal_matcher.high_threshold, rpn.proposal_matcher.low_threshold) == (0.7, 0.3)
    samplers = (rpn.fg_bg_sampler, heads.fg_bg_sampler)
    assert [(s.batch_size_per_image, s.positive_fraction) for s in samplers] == [
        (256, 0.5),
        (128, 0.25),
    ]
    assert heads.box_coder.weights == (10, 10, 5, 5)  # deviations of 0.1 and 0.2
    matcher = heads.proposal_matcher
    assert (matcher.high_threshold, matcher.low_threshold) == (0.5, 0.5)
    assert rpn.anchor_generator.aspect_ratios == ((0.5, 1, 2),)
    names = [name for name, _ in detector.roi_heads.box_head.named_parameters()]
    assert all("layer4" in name for name in names)
    assert not any("layer4" in name for name, _ in detector.backbone.named_parameters())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="masks need the fpn form"):
        make_detector("resnet50", 2, masks=True, form="c4")
    with pytest.raises(ValueError, match="5 maps"):
        make_detector("resnet50", 2, anchors=(8, 16))
