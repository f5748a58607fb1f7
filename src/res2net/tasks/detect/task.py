"""Detection and instance segmentation as rows of the table of tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor
from torchvision.models.detection import FasterRCNN

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.loader import listed
from res2net.data.scenes.options import Marks
from res2net.data.scenes.transforms import as_it_is, chain, crop_with_boxes, flip
from res2net.errors import UserError
from res2net.heads.detector import body_of, make_detector
from res2net.models.factory import norm_by_name
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.task import Datasets, DenseTask
from res2net.tasks.detect.deployed import DEPLOYMENT
from res2net.tasks.detect.evaluation import measure
from res2net.tasks.detect.inference import Detections, detect
from res2net.tasks.detect.module import DetectorModule

SHORT_SIDE = {"fpn": 800, "c4": 600}  # pixels
LONGEST = 5 / 3  # long side over short side, at most


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:  # noqa: ARG001
    """The head's options and the short side of images.

    Raises:
        UserError: images that are too small.
    """
    head = config.head
    size = SHORT_SIDE[head.form] if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; the short side needs at least 32 pixels")
    options = {
        "form": head.form,
        "channels": (head.channels or 256) if head.form == "fpn" else None,
        "anchors": list(head.anchors) or None,
        "regions": head.regions,
        "long_side": round(size * LONGEST),
        "as_base": head.as_base if head.form == "c4" else None,
    }
    return options, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build(card: ModelCard, pretrained: str | None) -> FasterRCNN:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    anchors = options.pop("anchors", None)
    return make_detector(
        card.network,
        len(card.classes),
        masks=card.task == "instances",
        short_side=card.preprocess.size,
        anchors=anchors and tuple(anchors),
        as_base=options.pop("as_base", False),  # runs of before do not name it
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """Images of their own sizes: the network resizes them."""
    marks: Marks = "masks" if card.task == "instances" else "boxes"
    vary = flip(config.augment.hflip)
    if config.augment.crop == "random_resized":
        vary = chain(crop_with_boxes(config.augment.crop_scale), vary)
    common: dict[str, Any] = {"skip_bad": config.input.skip_bad}
    classes = len(images.classes)
    return Datasets(
        train=SceneDataset(images.train, marks, classes, vary, **common),
        val=SceneDataset(images.val, marks, classes, as_it_is, **common),
        collate_train=listed,
        collate_val=listed,
    )


def predict(
    model: FasterRCNN | Deployed, card: ModelCard, image: Tensor, precision: str
) -> Detections:
    """The objects of an image."""
    found = detect(model, image, precision=precision)
    return Detections(image=image, detections=found, names=card.classes)


DETECT = DenseTask(
    name="detect",
    title="detection",
    head="Faster R-CNN",
    marks="boxes",
    monitor="val/ap_error",
    curves=(
        ("Loss", (("train/loss", "training"),)),
        ("Error, 100 % - AP", (("val/ap_error", "AP"), ("val/ap50_error", "AP50"))),
    ),
    sizes="an object's size is its area in the image's own pixels: of its mask where the "
    "annotation has one, else of its box",
    describe=describe,
    build=build,
    body=body_of,
    datasets=datasets,
    module=DetectorModule,
    measure=measure,
    predict=predict,
    deployment=DEPLOYMENT,
)
INSTANCES = replace(
    DETECT, name="instances", title="instance segmentation", head="Mask R-CNN", marks="masks"
)
