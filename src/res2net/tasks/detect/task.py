"""The detection and instance segmentation tasks: options, data, prediction.

Legend: N detections · H, W of an image
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.outlines import to_mask
from res2net.data.photo import image_size
from res2net.data.pictures import draw_objects
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import RLE, Objects, Pixels, Scene, Scenes
from res2net.data.scenes.dataset import Sample, SceneDataset, Target, listed
from res2net.data.scenes.options import Marks
from res2net.data.scenes.transforms import (
    as_it_is,
    chain,
    colours,
    copy_paste,
    crop_with_boxes,
    flip,
    large_scale,
    mosaic,
    short_side,
    without_masks,
)
from res2net.drawing.marks import colour_of, draw_boxes, draw_masks
from res2net.errors import UserError
from res2net.heads.c4 import ANCHORS as C4_ANCHORS
from res2net.heads.detector import FPN_ANCHORS, body_of, make_detector
from res2net.metrics.detections import DetectionArrays
from res2net.models.factory import norm_by_name
from res2net.tasks.data import Annotated, repeat_factors
from res2net.tasks.deployed import Comparison, Deployment
from res2net.tasks.detect.find import find
from res2net.tasks.detect.graph import (
    LEAST,
    TOLERANCE,
    Detector,
    compare,
    inputs,
    marks_of,
    outputs,
    resized,
)
from res2net.tasks.finding import Finding
from res2net.tasks.network import Deployed, FoundObjects, in_colours
from res2net.tasks.task import Curve, Datasets, Task, later

SHORT_SIDE = {"fpn": 800, "c4": 600}  # pixels
LONGEST = 5 / 3  # long side over short side, at most


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:
    """The head's options and the short side of images.

    Raises:
        UserError: images that are too small.
    """
    head = config.head
    size = SHORT_SIDE[head.form] if config.input.size is None else config.input.size
    if size < 32:
        raise UserError(f"--input.size is {size}; the short side needs at least 32 pixels")
    anchors = head.anchors
    if anchors == "auto":
        count = len(FPN_ANCHORS) if head.form == "fpn" else len(C4_ANCHORS)
        anchors = anchors_of(images.train, size, count)
    options = {
        "form": head.form,
        "channels": (head.channels or 256) if head.form == "fpn" else None,
        "anchors": list(anchors) or None,
        "regions": head.regions,
        "long_side": round(size * LONGEST),
        "as_base": head.as_base if head.form == "c4" else None,
    }
    return options, Preprocess(size=size, resize=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def anchors_of(scenes: Sequence[Scene], size: int, count: int) -> tuple[int, ...]:
    """Anchor sides for the training part's boxes, smallest first, in the network's pixels.

    The square roots of the boxes' areas are split into ``count`` equal parts; the sides are the
    medians of the parts.

    Args:
        size: short side to which images are resized.
    """
    sides = []
    for scene in scenes:
        if scene.objects is None or not (learnt := scene.objects.learnable()).any():
            continue
        pixels = scene.image
        height, width = scene.size or (
            image_size(pixels) if isinstance(pixels, Path) else pixels.shape[:2]
        )
        factor = min(size / min(height, width), round(size * LONGEST) / max(height, width))
        spans = scene.objects.boxes[learnt, 2:] - scene.objects.boxes[learnt, :2]
        sides.append(factor * np.sqrt(spans.prod(axis=1)))
    middles = (np.arange(count) + 0.5) / count
    return tuple(max(1, round(side)) for side in np.quantile(np.concatenate(sides), middles))


def build(card: ModelCard, pretrained: str | None) -> FasterRCNN:
    """The network that a card describes."""
    options = dict(card.options)
    norm = options.pop("norm", None)
    anchors = options.pop("anchors", None)
    detector = make_detector(
        card.network,
        len(card.classes),
        masks=marks_of(card) == "masks",
        short_side=card.preprocess.size,
        anchors=anchors and tuple(anchors),
        as_base=options.pop("as_base", False),  # absent in older runs
        pretrained=pretrained,
        norm_layer=norm and norm_by_name(norm),
        **options,
    )
    detector.transform.image_mean = list(card.preprocess.mean)
    detector.transform.image_std = list(card.preprocess.std)
    return detector


def datasets(config: RunConfig, card: ModelCard, images: Scenes) -> Datasets:
    """Images of their own sizes: the network resizes them."""
    marks, augment, size = marks_of(card), config.augment, card.preprocess.size
    fill = [255 * value for value in card.preprocess.mean]
    common: dict[str, Any] = {
        "skip_bad": config.input.skip_bad,
        "reading": card.preprocess.reading,
    }
    classes = len(images.classes)
    learnt: Marks = "masks" if augment.copy_paste else marks
    plain = SceneDataset(images.train, learnt, classes, as_it_is, **common)

    def draw() -> tuple[Tensor, Target]:
        return plain.load(int(torch.randint(len(plain), ())))

    steps = [flip(augment.hflip)]
    if augment.scale:
        low, high = augment.scale
        steps.insert(0, large_scale(size, low, high, fill))
    if augment.sides:
        steps.insert(0, short_side(augment.sides, round(max(augment.sides) * LONGEST)))
    if augment.crop == "random_resized":
        steps.insert(0, crop_with_boxes(augment.crop_scale))
    vary = chain(*steps)
    if augment.mosaic:
        steps.insert(0, mosaic(augment.mosaic, draw, size, fill))
    if augment.copy_paste:
        steps.append(copy_paste(augment.copy_paste, lambda: vary(*draw())))
    steps.append(colours(augment.color_jitter, card.preprocess.channels))
    if learnt != marks:
        steps.append(without_masks)
    return Datasets(
        factors=repeat_factors(images.train, len(images.classes), config.input.balance),
        train=SceneDataset(images.train, learnt, classes, chain(*steps), **common),
        val=SceneDataset(images.val, marks, classes, as_it_is, **common),
        collate_train=listed,
        collate_val=listed,
    )


def seen(batch: list[Sample], images: Scenes, config: RunConfig) -> Iterator[tuple[Pixels, str]]:
    """The images of a training batch with their objects; the network resizes them itself."""
    del config
    for image, marks, index in batch:
        labels = marks["labels"].numpy()
        objects = Objects(
            boxes=marks["boxes"].as_subclass(Tensor).numpy().astype(np.float64),
            labels=labels,
            ignored=marks["ignored"].numpy(),
            areas=np.zeros(len(labels)),
            segments=tuple(mask > 0 for mask in marks["masks"].as_subclass(Tensor).numpy())
            if "masks" in marks
            else None,
        )
        pixels = in_colours(image.as_subclass(Tensor)).permute(1, 2, 0).contiguous().numpy()
        yield draw_objects(pixels, objects, images.classes), Path(images.train[index].name).name


def predict(
    model: FasterRCNN | Deployed,
    card: ModelCard,
    image: Tensor,
    precision: str,
    finding: Finding | None = None,
) -> Detections:
    """The objects of an image."""
    found = find(model, card, image, finding or Finding(), precision)
    least = SURE if finding is None or finding.score is None else finding.score
    return Detections(image=in_colours(image), detections=found, names=card.classes, least=least)


SURE = 0.5  # default score threshold for drawing


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections(FoundObjects):
    """The objects in an image, highest score first.

    Attributes:
        image: uint8 (3, H, W).
        detections: N boxes, scores, classes and, for Mask R-CNN, masks.
        names: names of the classes.
        least: score threshold of ``line`` and ``plot``.

    Example:
        >>> (found,) = res2net.load("runs/cells").predict("slide.png")
        >>> found.boxes[found.scores > 0.5]
    """

    names: tuple[str, ...]
    least: float = SURE

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,): indices of ``names``."""
        return self.detections.labels

    @property
    def masks(self) -> npt.NDArray[np.bool_] | None:
        """(N, H, W) of Mask R-CNN; None for other detectors."""
        packed = self.detections.masks
        if packed is None:
            return None
        height, width = self.image.shape[-2:]
        found = [to_mask(each, height, width) for each in packed]
        return np.array(found, dtype=bool).reshape(len(packed), height, width)

    def to_coco(
        self, image_id: int | str, category_ids: Sequence[int] = ()
    ) -> list[dict[str, Any]]:
        """Rows of COCO's result format: box as left, top, width, height; masks as RLE.

        Args:
            category_ids: one per class; 1, 2, ... in order if empty.
        """
        numbers = category_ids or range(1, len(self.names) + 1)
        rows = []
        for i, (left, top, right, bottom) in enumerate(self.boxes.tolist()):
            row: dict[str, Any] = {
                "image_id": image_id,
                "category_id": numbers[self.labels[i]],
                "bbox": [left, top, right - left, bottom - top],
                "score": float(self.scores[i]),
            }
            if self.detections.masks is not None:
                row["segmentation"] = _as_text(self.detections.masks[i])
            rows.append(row)
        return rows

    def to_supervision(self) -> Any:
        """Convert to ``supervision.Detections``.

        Raises:
            UserError: the package supervision is missing.
        """
        try:
            import supervision
        except ModuleNotFoundError:
            raise UserError("to_supervision needs supervision: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32),
            mask=self.masks,
            confidence=self.scores.astype(np.float32),
            class_id=self.labels,
            data={"class_name": np.array([self.names[label] for label in self.labels], dtype=str)},
        )

    def as_dict(self) -> dict[str, Any]:
        """All detections: box as left, top, right, bottom in pixels; masks as COCO's RLE."""
        each = self.detections
        rows = []
        for i in range(len(each)):
            row: dict[str, Any] = {
                "class": self.names[each.labels[i]],
                "score": round(float(each.scores[i]), 4),
                "box": [round(float(value), 2) for value in each.boxes[i]],
            }
            if each.masks is not None:
                row["mask"] = _as_text(each.masks[i])
            rows.append(row)
        return {"objects": rows}

    def line(self) -> str:
        sure = self.detections.scores >= self.least
        counts = Counter(self.names[label] for label in self.detections.labels[sure])
        return "  ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"

    def pictures(self) -> Mapping[str, Any]:
        """The image with its detections of at least ``least``."""
        pixels = np.ascontiguousarray(self.image.permute(1, 2, 0).numpy())
        return {"": draw_detections(pixels, self.detections, self.names, least=self.least)}


def _as_text(rle: RLE) -> dict[str, Any]:
    """A mask in run lengths, for JSON."""
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": list(rle["size"]), "counts": text}


def draw_detections(
    image: Any, found: DetectionArrays, names: Sequence[str], *, least: float
) -> Any:
    """The image (H, W, 3) with detections of at least ``least``.

    Boxes have the colour of their class, masks and their boxes one for each object.
    """
    shown = found.of(found.scores >= least)
    numbers = shown.labels.tolist() if shown.masks is None else range(len(shown))
    colours = [colour_of(number) for number in numbers]
    if shown.masks is not None:
        masks = [to_mask(each, *image.shape[:2]).astype(bool) for each in shown.masks]
        image = draw_masks(image, masks, colours)
    words = [
        f"{names[label]} {100 * score:.0f} %"
        for label, score in zip(shown.labels, shown.scores, strict=True)
    ]
    return draw_boxes(image, shown.boxes, words, colours)


DETECT = Task(
    name="detect",
    title="detection",
    head="Faster R-CNN",
    data=Annotated("boxes"),
    monitor="val/ap_error",
    curves=(
        Curve("Loss", (("train/loss", "training"),)),
        Curve(
            "Error, 100 % - AP", (("val/ap_error", "AP"), ("val/ap50_error", "AP50")), percent=True
        ),
    ),
    sizes="an object's size is its area in the image's own pixels: of its mask where the "
    "annotation has one, else of its box",
    describe=describe,
    build=build,
    body=body_of,
    datasets=datasets,
    seen=seen,
    module=later("res2net.tasks.detect.module", "DetectorModule"),
    measure=later("res2net.tasks.detect.scores", "measure"),
    predict=predict,
    deployment=Deployment(
        graph=Detector,
        outputs=outputs,
        resized=resized,
        inputs=inputs,
        comparison=Comparison(
            what="detections found again", least=LEAST, of=compare, tolerance=TOLERANCE
        ),
        targets=(("openvino", "fp32"), ("openvino", "int8"), ("onnx", "fp32")),
        folded="backbone",
        rows_vary=True,
    ),
)
INSTANCES = replace(
    DETECT,
    name="instances",
    title="instance segmentation",
    head="Mask R-CNN",
    data=Annotated("masks"),
)
