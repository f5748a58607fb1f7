"""torchvision's detectors on our backbones, on a drawn scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from res2net import create_model
from res2net.data.outlines import to_mask
from res2net.data.scenes.generated import SceneRules, generate
from res2net.integrations.torchvision import fpn_backbone
from res2net.models.backbone import create_backbone
from res2net.nn.layers import group_norm

LAYERS = {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}


@pytest.fixture(scope="module")
def photo() -> tuple[Tensor, dict[str, Tensor]]:
    """A scene with few large objects, with boxes and masks."""
    made = (generate(number, 0, SceneRules(side=128, most=3, smallest=30)) for number in range(20))
    scene = next(s for s in made if s.objects is not None and len(s.objects) == 2)
    objects, image = scene.objects, np.array(scene.image)
    assert objects is not None
    assert objects.segments is not None
    masks = [to_mask(segment, *image.shape[:2]) for segment in objects.segments]
    target = {
        "boxes": torch.from_numpy(objects.boxes).float(),
        "labels": torch.from_numpy(objects.labels) + 1,
        "masks": torch.from_numpy(np.stack(masks)).to(torch.uint8),
    }
    return torch.from_numpy(image).permute(2, 0, 1) / 255, target


def test_equals_torchvisions_own_pyramid() -> None:
    theirs = BackboneWithFPN(torchvision.models.resnet18(), LAYERS, [64, 128, 256, 512], 32).eval()
    ours = fpn_backbone(create_backbone("resnet18"), 32).eval()
    names = {key for key in theirs.state_dict() if not key.startswith("body.fc.")}
    assert ours.state_dict().keys() == names
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 97, 130)
    with torch.no_grad():
        expected, maps = theirs(image), ours(image)
    assert list(maps) == list(expected) == ["0", "1", "2", "3", "pool"]
    for key, value in expected.items():
        torch.testing.assert_close(maps[key], value)


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("dla60_res2net", ("c5", "c3", "c4")),
        ("blres2net50", ("c2", "c3", "c4", "c5")),
        ("res2net29_small", ("c1", "c2", "c3")),
    ],
)
def test_levels_of_any_family_finest_first(name: str, levels: tuple[str, ...]) -> None:
    pyramid = fpn_backbone(create_backbone(name, out_levels=levels), 16).eval()
    with torch.no_grad():
        maps = pyramid(torch.randn(1, 3, 64, 96))
    strides = sorted(level.stride for level in pyramid.body.levels)
    assert list(maps) == [*map(str, range(len(levels))), "pool"]
    for i, stride in enumerate(strides):
        assert maps[str(i)].shape == (1, 16, 64 // stride, 96 // stride)


def test_only_backbones_are_taken() -> None:
    with pytest.raises(TypeError, match="takes what create_backbone returns, not ResNet"):
        fpn_backbone(create_model("res2net18"))  # type: ignore[arg-type]


def _detector(kind: str) -> torch.nn.Module:
    backbone = create_backbone("res2net18", norm_layer=group_norm, frozen_stages=1)
    sizes = {"min_size": 96, "max_size": 128}
    if kind == "retinanet":
        extra = LastLevelP6P7(64, 64)
        anchors = AnchorGenerator(tuple((2**k, 2**k + 8) for k in range(4, 10)), ((1.0,),) * 6)
        pyramid = fpn_backbone(backbone, 64, extra_blocks=extra)
        return RetinaNet(pyramid, 91, anchor_generator=anchors, **sizes, score_thresh=0.0)
    pyramid = fpn_backbone(backbone, 64)
    detector = {"faster": FasterRCNN, "mask": MaskRCNN}[kind]
    few = {
        "rpn_post_nms_top_n_train": 100,
        "rpn_post_nms_top_n_test": 50,
        "box_batch_size_per_image": 64,
        "box_detections_per_img": 5,
    }
    return detector(pyramid, 91, **sizes, **few, box_score_thresh=0.0)


@pytest.mark.parametrize("kind", ["faster", "mask", "retinanet"])
def test_a_detector_trains_and_infers(kind: str, photo: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.manual_seed(0)
    image, target = photo
    detector = _detector(kind)
    learning = [p for p in detector.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=2e-4)
    losses = []
    for _ in range(6):
        parts = detector.train()([image], [target])
        loss = sum(parts.values())
        optimiser.zero_grad()
        loss.backward()
        missing = [k for k, p in detector.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []
        torch.nn.utils.clip_grad_norm_(learning, 5.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.98 * losses[0], losses
    with torch.no_grad():
        found = detector.eval()([image])[0]
    height, width = image.shape[-2:]
    assert len(found["boxes"]) == len(found["scores"]) == len(found["labels"]) > 0
    assert found["boxes"].min() >= 0
    assert float(found["boxes"][:, 0::2].max()) <= width
    assert float(found["boxes"][:, 1::2].max()) <= height
    if kind == "mask":
        assert found["masks"].shape[1:] == (1, height, width)


def test_dilated_maps_feed_faster_rcnn(photo: tuple[Tensor, dict[str, Tensor]]) -> None:
    """Two levels of the pyramid have the same stride; torchvision's pooling copes with that."""
    pyramid = fpn_backbone(create_backbone("res2net18", output_stride=16), 32)
    detector = FasterRCNN(pyramid, 91, min_size=96, max_size=160)
    image, target = photo
    losses = detector.train()([image], [target])
    assert all(torch.isfinite(loss) for loss in losses.values())
