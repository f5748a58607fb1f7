"""Faster and Mask R-CNN by torchvision, on any backbone of the model table.

FPN is the form that people use; C4 (``heads.c4``) is that of the paper's base.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN

from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from res2net.heads.c4 import RATIOS, make_c4
from res2net.heads.precision import Anchors, place_in_float32
from res2net.heads.pyramid import PyramidBackbone
from res2net.models.backbone import Backbone, create_backbone, freeze_norms

Form = Literal["fpn", "c4"]
FPN_ANCHORS = (32, 64, 128, 256, 512)  # pixels, one size a level
LOGITS = 0.001  # deviation of the weights of fresh mask logits, as in Detectron2
FPN_REGIONS = 512  # of an image, from which the heads learn in a step


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
    as_base: bool = True,
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
        as_base: C4 in every detail of the paper's base; without, as runs of before have it.
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
        detector = make_c4(
            network,
            classes,
            anchors=anchors,
            regions=regions,
            as_base=as_base,
            common=common,
            options=options,
        )
    else:
        sides = anchors or FPN_ANCHORS
        if len(sides) != len(FPN_ANCHORS):
            raise ValueError(f"anchors are {sides}; the pyramid has {len(FPN_ANCHORS)} maps")
        body = create_backbone(network, out_levels=("c2", "c3", "c4", "c5"), **options)
        family = MaskRCNN if masks else FasterRCNN
        detector = family(
            PyramidBackbone(body, channels),
            num_classes=classes + 1,
            box_batch_size_per_image=regions or FPN_REGIONS,
            rpn_anchor_generator=Anchors(tuple((side,) for side in sides), (RATIOS,) * len(sides)),
            **common,
        )
        if masks:
            nn.init.normal_(detector.roi_heads.mask_predictor.mask_fcn_logits.weight, std=LOGITS)
    place_in_float32(detector)
    if frozen_norm:
        freeze_norms(detector)
    return detector


def body_of(detector: FasterRCNN) -> Backbone:
    """The backbone inside a detector."""
    body = detector.backbone.body
    assert isinstance(body, Backbone)
    return body
