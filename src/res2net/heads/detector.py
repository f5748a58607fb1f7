"""Faster and Mask R-CNN by torchvision, on any backbone of the model table.

FPN is the form that people use; C4 is that of the paper's base (section 4.6): proposals on the map
of stride 16, the network's last stage on each region.
"""

from __future__ import annotations

from typing import Any, Literal

from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from res2net.heads.pyramid import PyramidBackbone, SingleLevelBackbone
from res2net.heads.tail import Tail
from res2net.models.backbone import Backbone, create_backbone, freeze_norms
from res2net.models.factory import create_model

Form = Literal["fpn", "c4"]
RATIOS = (0.5, 1.0, 2.0)  # of anchors
FPN_ANCHORS = (32, 64, 128, 256, 512)  # pixels, one size a level
C4_ANCHORS = (64, 128, 256, 512)  # pixels; the paper's base leaves out 64 on VOC
FPN_REGIONS, C4_REGIONS = 512, 128  # of an image, from which the heads learn in a step
C4_REGION = 14  # cells a side of a region's map; its first stage halves them


def make_detector(
    network: str,
    classes: int,
    *,
    masks: bool = False,
    form: Form = "fpn",
    channels: int = 256,
    anchors: tuple[int, ...] | None = None,
    regions: int | None = None,
    short_side: int = 800,
    long_side: int = 1333,
    frozen_norm: bool = False,
    **options: Any,
) -> FasterRCNN:
    """A detector with fresh heads; torchvision's own forward and losses.

    Args:
        network: a row of the model table.
        classes: without the background.
        masks: Mask R-CNN (FPN only).
        channels: of the pyramid.
        anchors: sides in pixels; FPN: one for each of its five maps.
        regions: of an image from which the heads learn in a step; FPN 512, C4 128 if not given.
        short_side, long_side: pixels to which images are resized.
        frozen_norm: batch norms keep their statistics and weights (for published weights).
        options: of ``create_backbone``.

    Raises:
        ValueError: masks with C4, or another number of anchors than maps.
        UserError, TypeError, ValueError: what ``create_backbone`` refuses.
    """
    common: dict[str, Any] = {
        "min_size": short_side,
        "max_size": long_side,
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
    }
    if form == "c4":
        if masks:
            raise ValueError("masks need the fpn form")
        common["box_batch_size_per_image"] = regions or C4_REGIONS
        detector = _c4(network, classes, anchors or C4_ANCHORS, common, options)
    else:
        sides = anchors or FPN_ANCHORS
        if len(sides) != len(FPN_ANCHORS):
            raise ValueError(f"anchors are {sides}; the pyramid has {len(FPN_ANCHORS)} maps")
        body = create_backbone(network, out_levels=("c2", "c3", "c4", "c5"), **options)
        common["box_batch_size_per_image"] = regions or FPN_REGIONS
        family = MaskRCNN if masks else FasterRCNN
        detector = family(
            PyramidBackbone(body, channels),
            num_classes=classes + 1,
            rpn_anchor_generator=AnchorGenerator(
                tuple((side,) for side in sides), (RATIOS,) * len(sides)
            ),
            **common,
        )
    if frozen_norm:
        freeze_norms(detector)
    return detector


def _c4(
    network: str,
    classes: int,
    anchors: tuple[int, ...],
    common: dict[str, Any],
    options: dict[str, Any],
) -> FasterRCNN:
    body = create_backbone(network, out_levels=("c4",), **options)
    tail = Tail(create_model(network, num_classes=0, **options))
    detector = FasterRCNN(
        SingleLevelBackbone(body),
        rpn_anchor_generator=AnchorGenerator((anchors,), (RATIOS,)),
        rpn_pre_nms_top_n_train=12000,
        rpn_post_nms_top_n_train=2000,
        rpn_pre_nms_top_n_test=6000,
        rpn_post_nms_top_n_test=300,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=C4_REGION, sampling_ratio=2),
        box_head=tail,
        box_predictor=FastRCNNPredictor(tail.num_features, classes + 1),
        box_nms_thresh=0.3,
        **common,
    )
    detector.rpn.min_size = 8  # pixels, as the paper's base has it
    return detector


def body_of(detector: FasterRCNN) -> Backbone:
    """The backbone inside a detector."""
    body = detector.backbone.body
    assert isinstance(body, Backbone)
    return body
