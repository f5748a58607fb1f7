"""Faster and Mask R-CNN: equal to torchvision's with the same weights, and on other backbones."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

from res2net.heads.c4 import ProposalsInside, RegionsOfBase
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
        rpn_post_nms_top_n_test=50,
        box_detections_per_img=5,
    ).eval()
    ours = make_detector("resnet50", 3, masks=masks, **SMALL).eval()
    ours.rpn._post_nms_top_n["testing"] = 50
    ours.roi_heads.detections_per_img = 5
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
        ("res2net26_26w_4s", "fpn"),
        ("res2net26_26w_4s", "c4"),
        ("dla60_res2net", "c4"),
        ("res2net18", "fpn"),
    ],
)
def test_losses_are_finite_and_reach_the_backbone(network: str, form: Any) -> None:
    torch.manual_seed(0)
    detector = make_detector(
        network, 2, form=form, channels=32, regions=8, width=4, **SMALL
    ).train()
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


@pytest.mark.parametrize("classes", [1, 80])
def test_fresh_masks_are_undecided(classes: int) -> None:
    """With torchvision's start the first loss is up to 6, and training from scratch diverges."""
    torch.manual_seed(0)
    model = make_detector("resnet50", classes, masks=True, regions=16, **SMALL).train()
    target = {
        "boxes": torch.tensor([[10.0, 10, 60, 70]]),
        "labels": torch.tensor([1]),
        "masks": torch.zeros(1, 96, 128, dtype=torch.uint8),
    }
    target["masks"][0, 10:70, 10:60] = 1
    losses = model([torch.rand(3, 96, 128)] * 2, [target] * 2)
    assert losses["loss_mask"].item() == pytest.approx(math.log(2), abs=0.1)


def test_c4_settings_are_those_of_the_papers_base() -> None:
    detector = make_detector("resnet50", 2, form="c4", **SMALL)
    assert detector.rpn.min_size == 1e-3  # its filter of small proposals is commented out
    assert detector.rpn.head.conv[0][0].weight.shape == (512, 1024, 3, 3)
    assert detector.roi_heads.score_thresh == 0.0
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


def test_c4_of_runs_of_before_has_their_form() -> None:
    detector = make_detector("resnet50", 2, form="c4", as_base=False, **SMALL)
    assert detector.rpn.min_size == 8
    assert detector.rpn.head.conv[0][0].weight.shape == (1024, 1024, 3, 3)
    assert detector.roi_heads.score_thresh == 0.05
    assert not isinstance(detector.rpn, ProposalsInside)
    assert not isinstance(detector.roi_heads, RegionsOfBase)


def test_c4_starts_as_the_papers_base() -> None:
    torch.manual_seed(0)
    detector = make_detector("resnet50", 20, form="c4", **SMALL)
    predictor = detector.roi_heads.box_predictor
    for layer, spread in (
        (detector.rpn.head.conv[0][0], 0.01),
        (detector.rpn.head.bbox_pred, 0.01),
        (predictor.cls_score, 0.01),
        (predictor.bbox_pred, 0.001),
    ):
        assert float(layer.weight.detach().std()) == pytest.approx(spread, rel=0.05)
        assert not layer.bias.any()


def test_anchors_across_the_border_are_not_learnt_from() -> None:
    rpn = make_detector("res2net18", 2, form="c4", anchors=(16,), **SMALL).rpn.train()
    anchors = torch.tensor(
        [[-1.0, 0, 30, 30], [2, 2, 32, 32], [70, 60, 79.5, 64], [40, 40, 50, 50]]
    )
    rpn._sizes = [(64, 80), (8, 8), (64, 80)]
    truth = torch.tensor([[0.0, 0, 30, 30]])
    nothing = torch.zeros(0, 4)
    labels, wanted = rpn.assign_targets_to_anchors(
        [anchors] * 3, [{"boxes": boxes} for boxes in (truth, truth, nothing)]
    )
    # the best anchor is across the border, so the next best is the one to find the box
    assert labels[0].tolist() == [-1, 1, -1, 0]
    assert wanted[0][1].tolist() == truth[0].tolist()
    assert labels[1].tolist() == [1, 1, 0, 0]  # where none lies inside, all count
    assert labels[2].tolist() == [-1, 0, -1, 0]


def test_the_box_loss_of_c4_is_quadratic_up_to_one() -> None:
    heads = make_detector("res2net18", 2, form="c4", **SMALL).roi_heads.train()
    codes = torch.zeros(2, 12)
    codes[0, 4:8] = torch.tensor([0.5, 0.0, -3.0, 0.0])  # of class 1
    labels, wanted = [torch.tensor([1, 0])], [torch.zeros(2, 4)]
    for name, given in (
        ("select_training_samples", lambda *_: ([codes[:, :4]], None, labels, wanted)),
        ("box_roi_pool", lambda *_: codes),
        ("box_head", lambda x: x),
        ("box_predictor", lambda _: (torch.zeros(2, 3), codes)),
    ):
        heads._modules.pop(name, None)
        setattr(heads, name, given)
    _, losses = heads({}, [codes[:, :4]], [(64, 80)], [])
    assert float(losses["loss_box_reg"]) == pytest.approx((0.5 * 0.5**2 + (3 - 0.5)) / 2)
    assert float(losses["loss_classifier"]) == pytest.approx(float(torch.tensor(3.0).log()))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="masks need the fpn form"):
        make_detector("resnet50", 2, masks=True, form="c4")
    with pytest.raises(ValueError, match="5 maps"):
        make_detector("resnet50", 2, anchors=(8, 16))
