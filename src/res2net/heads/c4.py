"""The C4 form of Faster R-CNN, that of the paper's base (section 4.6).

Proposals come from the map of stride 16; the network's last stage runs on each region.
Legend: N anchors · R regions · C channels · H, W an image
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import Conv2dNormActivation, MultiScaleRoIAlign

from res2net.heads.precision import Anchors, Proposals, Regions, Size
from res2net.heads.pyramid import SingleLevelBackbone
from res2net.models.backbone import create_backbone, keep_only
from res2net.models.factory import create_model
from res2net.models.network import Network

Targets = list[dict[str, Tensor]]
ANCHORS = (64, 128, 256, 512)  # pixels; the paper's base leaves out 64 on VOC
RATIOS = (0.5, 1.0, 2.0)
REGIONS = 128  # of an image, from which the head learns in a step
CELLS = 14  # a side of a region's map; its first stage halves them
PROPOSAL_CHANNELS = 512  # of the convolution before the proposals
SUPPRESSION = 0.3  # overlap from which the less sure of two detections goes


class Tail(nn.Module):
    """What a network does behind a level, then the mean: (R, C, S, S) → (R, num_features).

    Args:
        network: taken over; what lies before the level is dropped from it.
        after: name of the level whose map comes in.

    Raises:
        ValueError: a level that the network does not have, or its last.
    """

    def __init__(self, network: Network, after: str = "c4") -> None:
        super().__init__()
        names = [level.name for level in network.levels]
        if after not in names[:-1]:
            raise ValueError(f"no level {after!r} before the last; there are {', '.join(names)}")
        steps = network.steps()
        self._first = next(i for i, step in enumerate(steps) if step.level == after) + 1
        keep_only(network, {m for step in steps[self._first :] for m in step.modules})
        self.network = network
        self.num_features = network.levels[-1].channels

    def forward(self, x: Tensor) -> Tensor:
        for step in self.network.steps()[self._first :]:
            x = step.run(x)
        return x.mean(dim=(2, 3))


class ProposalsInside(Proposals):
    """Proposals that learn from anchors within the image only."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: Targets | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        if self.training:
            self._sizes = images.image_sizes
        found: tuple[list[Tensor], dict[str, Tensor]] = super().forward(images, features, targets)
        return found

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: Targets
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels (N,), -1 beyond the border, and the box that each anchor (N, 4) is to find."""
        labels, wanted = [], []
        for own, target, size in zip(anchors, targets, self._sizes, strict=True):
            inside = within(own, size)
            (some,), (boxes,) = super().assign_targets_to_anchors([own[inside]], [target])
            labels.append(own.new_full((len(own),), -1).masked_scatter(inside, some.to(own)))
            wanted.append(own.masked_scatter(inside[:, None], boxes.to(own)))
        return labels, wanted


class RegionsOfBase(Regions):
    """A box head whose smooth L1 loss is quadratic up to an error of 1, not of 1/9."""

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[Size],
        targets: Targets | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if not self.training:
            found: tuple[list[dict[str, Tensor]], dict[str, Tensor]] = super().forward(
                features, proposals, image_shapes
            )
            return found
        proposals, _, each_labels, each_codes = self.select_training_samples(proposals, targets)
        labels, wanted = torch.cat(each_labels), torch.cat(each_codes)  # (R,), (R, 4)
        pooled = self.box_roi_pool(features, proposals, image_shapes)
        logits, codes = self.box_predictor(self.box_head(pooled))
        objects = torch.where(labels > 0)[0]
        own = codes.unflatten(1, (-1, 4))[objects, labels[objects]]
        error = F.smooth_l1_loss(own, wanted[objects], beta=1.0, reduction="sum")
        return [], {
            "loss_classifier": (self.loss or F.cross_entropy)(logits, labels),
            "loss_box_reg": error / len(labels),
        }


def make_c4(
    network: str,
    classes: int,
    *,
    anchors: tuple[int, ...] | None,
    regions: int | None,
    as_base: bool,
    common: dict[str, Any],
    options: dict[str, Any],
) -> FasterRCNN:
    """A C4 detector with fresh heads; see ``make_detector``.

    Args:
        as_base: every detail is the base's (docs/errata.md); else proposals have as many channels
            as their map and 8 pixels or more, learn from all anchors, detections have a score of
            0.05 or more, and both losses are quadratic up to 1/9: runs of before have that form.
        common: what both forms give ``FasterRCNN``.
        options: of ``create_backbone``.
    """
    sides = anchors or ANCHORS
    body = create_backbone(network, out_levels=("c4",), **options)
    tail = Tail(create_model(network, num_classes=0, **options))
    detector = FasterRCNN(
        SingleLevelBackbone(body),
        rpn_anchor_generator=Anchors((sides,), (RATIOS,)),
        rpn_pre_nms_top_n_train=12000,
        rpn_post_nms_top_n_train=2000,
        rpn_pre_nms_top_n_test=6000,
        rpn_post_nms_top_n_test=300,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=CELLS, sampling_ratio=2),
        box_head=tail,
        box_predictor=FastRCNNPredictor(tail.num_features, classes + 1),
        box_nms_thresh=SUPPRESSION,
        box_batch_size_per_image=regions or REGIONS,
        **common,
    )
    if as_base:
        _follow_base(detector, body.levels[0].channels, len(sides) * len(RATIOS))
    else:
        detector.rpn.min_size = 8
    return detector


def within(boxes: Tensor, size: Size) -> Tensor:
    """Which boxes (N, 4) lie in an image of H, W; all where none does: (N,)."""
    height, width = size
    inside = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2] < width) & (boxes[:, 3] < height)
    return inside if bool(inside.any()) else torch.ones_like(inside)


def _follow_base(detector: FasterRCNN, channels: int, anchors: int) -> None:
    """The details in which the paper's base differs from torchvision."""
    before, heads = detector.rpn, detector.roi_heads
    head = RPNHead(PROPOSAL_CHANNELS, anchors)
    head.conv[0] = Conv2dNormActivation(channels, PROPOSAL_CHANNELS, 3, norm_layer=None)
    detector.rpn = ProposalsInside(
        before.anchor_generator,
        head,
        *(before.proposal_matcher.high_threshold, before.proposal_matcher.low_threshold),
        *(before.fg_bg_sampler.batch_size_per_image, before.fg_bg_sampler.positive_fraction),
        *(before._pre_nms_top_n, before._post_nms_top_n, before.nms_thresh),
    )
    detector.roi_heads = RegionsOfBase(
        *(heads.box_roi_pool, heads.box_head, heads.box_predictor),
        *(heads.proposal_matcher.high_threshold, heads.proposal_matcher.low_threshold),
        *(heads.fg_bg_sampler.batch_size_per_image, heads.fg_bg_sampler.positive_fraction),
        heads.box_coder.weights,
        score_thresh=0.0,
        nms_thresh=heads.nms_thresh,
        detections_per_img=heads.detections_per_img,
    )
    _start(head.conv[0][0], 0.01)
    _start(heads.box_predictor.cls_score, 0.01)
    _start(heads.box_predictor.bbox_pred, 0.001)


def _start(layer: nn.Conv2d | nn.Linear, spread: float) -> None:
    nn.init.normal_(layer.weight, std=spread)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
