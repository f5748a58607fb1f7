"""What a head places, it places in float32, whatever its network computes in.

bfloat16 holds multiples of 4 from pixel 512 on, and float16 nothing above 65,504; torchvision
takes anchors in the dtype of the maps and decodes boxes in the dtype of the codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

Size = tuple[int, int]  # H, W


def at_least_float32(x: Tensor) -> Tensor:
    """Values of 16 bits as float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class LastConv2d(nn.Conv2d):
    """A last convolution: outside of autocast, in the dtype of its weights."""

    keeps_type = True  # ``res2net.rewrite`` leaves its weights as they are

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(x.device.type):
            return at_least_float32(super().forward(x.to(self.weight.dtype)))
        with torch.autocast(x.device.type, enabled=False):
            return at_least_float32(super().forward(x.to(self.weight.dtype)))


class Anchors(AnchorGenerator):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's anchors, in float32 beside maps of 16 bits."""

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        shapes = [at_least_float32(each[:1, :1]) for each in feature_maps]
        anchors: list[Tensor] = super().forward(image_list, shapes)
        return anchors


class Coder(BoxCoder):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's codes of boxes, decoded in float32."""

    def decode(self, rel_codes: Tensor, boxes: list[Tensor]) -> Tensor:
        decoded: Tensor = super().decode(at_least_float32(rel_codes), boxes)
        return decoded


class Proposals(RegionProposalNetwork):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's proposals, ranked and suppressed in float32."""

    def filter_proposals(
        self, proposals: Tensor, objectness: Tensor, image_shapes: list[Size], counts: list[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        ranks = at_least_float32(objectness)
        found: tuple[list[Tensor], list[Tensor]] = super().filter_proposals(
            proposals, ranks, image_shapes, counts
        )
        return found


class Regions(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's box and mask heads, whose detections are scored and suppressed in float32.

    Attributes:
        loss: (logits (R, N), classes (R,)) → (), in place of the cross entropy.
    """

    loss: Callable[[Tensor, Tensor], Tensor] | None = None

    def forward(self, *given: Any) -> Any:
        if self.loss is None or not self.training:
            return super().forward(*given)
        logits: list[Tensor] = []
        hook = self.box_predictor.register_forward_hook(lambda _, __, out: logits.append(out[0]))
        with hook:
            found, losses = super().forward(*given)
        return found, {**losses, "loss_classifier": self.loss(logits[0], self._labels)}

    def select_training_samples(self, proposals: list[Tensor], targets: Any) -> Any:
        """As torchvision's; the classes of the regions are kept for ``loss``."""
        found = super().select_training_samples(proposals, targets)
        self._labels = torch.cat(found[2])
        return found

    def postprocess_detections(
        self, class_logits: Tensor, codes: Tensor, proposals: list[Tensor], image_shapes: list[Size]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        logits = at_least_float32(class_logits)
        found: tuple[list[Tensor], list[Tensor], list[Tensor]] = super().postprocess_detections(
            logits, codes, proposals, image_shapes
        )
        return found


def place_in_float32(detector: FasterRCNN) -> None:
    """Let a detector rank, place and draw in float32; made with ``Anchors``, it does all there.

    Scores, codes and mask logits are widened as their layers give them, so that what follows
    (decoding, suppression, targets, losses, pasting) is in float32; and once more where they are
    used, for a layer that a user puts in the place of ours.
    """
    rpn, heads = detector.rpn, detector.roi_heads
    if type(rpn) is RegionProposalNetwork:
        rpn.__class__ = Proposals  # the same state, made by torchvision
    if type(heads) is RoIHeads:
        heads.__class__ = Regions
    for part in (rpn, heads):
        part.box_coder = Coder(part.box_coder.weights, part.box_coder.bbox_xform_clip)
    for layer in (rpn.head, heads.box_predictor, heads.mask_predictor):
        if layer is not None:
            layer.register_forward_hook(_widen)


def _widen(layer: nn.Module, inputs: Any, found: Any) -> Any:
    if isinstance(found, Tensor):
        return at_least_float32(found)
    return type(found)(_widen(layer, inputs, each) for each in found)
