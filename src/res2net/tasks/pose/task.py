"""Key-points as a row of the table of tasks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Scenes
from res2net.errors import UserError
from res2net.heads.pose import PoseNet
from res2net.metrics.detections import DetectionArrays
from res2net.models.factory import norm_by_name
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.task import Datasets, DenseTask
from res2net.tasks.pose.boxes import marked, places_from
from res2net.tasks.pose.crops import CropDataset, batched
from res2net.tasks.pose.deployed import DEPLOYMENT
from res2net.tasks.pose.evaluation import measure
from res2net.tasks.pose.inference import Poses, poses_of, skeleton_of
from res2net.tasks.pose.module import PoseModule

HEIGHT = 256  # pixels of what the network sees of an object; three quarters as wide
VAL_BATCH = 32


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:
    """The head's options and the height of its input.

    Raises:
        UserError: data without key-points, or a height that does not fit.
    """
    if images.skeleton is None:
        raise UserError(f"{config.data}: names no key-points")
    size = HEIGHT if config.input.size is None else config.input.size
    if size < 64 or size % 32:
        raise UserError(f"--input.size is {size}; the height must be a multiple of 32, 64 or more")
    head = {"keypoints": len(images.skeleton.names), "channels": config.head.channels or 256}
    return head, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def build(card: ModelCard, pretrained: str | None) -> PoseNet:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    return PoseNet(
        card.network,
        options.pop("keypoints"),
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """A crop for each object.

    Raises:
        UserError: no object has key-points.
    """
    assert images.skeleton is not None
    size, skip = card.preprocess.size, config.input.skip_bad
    hflip = config.augment.hflip if images.skeleton.swaps else 0.0  # left would be taught as right
    train = CropDataset(images.train, images.skeleton, size, hflip=hflip, skip_bad=skip)
    val = CropDataset(images.val, images.skeleton, size, skip_bad=skip)
    for name, crops in (("training", train), ("validation", val)):
        if not len(crops):
            raise UserError(f"{config.data}: no key-point is annotated in the {name} images")
    return Datasets(
        train=train, val=val, collate_train=batched, collate_val=batched, val_batch=VAL_BATCH
    )


def predict(
    model: PoseNet | Deployed,
    card: ModelCard,
    image: Tensor,
    precision: str,
    places: DetectionArrays | None = None,
) -> Poses:
    """The poses in the boxes of an image; without boxes, the one pose of the whole image."""
    if places is None:
        height, width = image.shape[-2:]
        places = marked([[0.0, 0.0, width, height]])
    skeleton = skeleton_of(card.marks)
    found = poses_of(model, image, places, card.preprocess, skeleton, precision=precision)
    return Poses(image=image, detections=found, names=skeleton.names, bones=skeleton.bones)


POSE = DenseTask(
    name="pose",
    title="key-points",
    head="SimpleBaseline",
    marks="keypoints",
    monitor="val/ap_error",
    curves=(
        ("Loss", (("train/loss", "training"), ("val/loss", "validation"))),
        ("Error, 100 % - AP", (("val/ap_error", "validation"),)),
    ),
    sizes="an object's size is the area that its annotation states, in the image's own pixels; "
    "COCO's AP leaves small ones out, mean OKS (how near the best pose comes) does not",
    describe=describe,
    build=build,
    body=lambda model: model.body,
    datasets=datasets,
    module=PoseModule,
    measure=measure,
    predict=predict,
    deployment=DEPLOYMENT,
    places=places_from,
)
