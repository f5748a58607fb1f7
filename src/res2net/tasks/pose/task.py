"""The key-point task: options, data, prediction.

Legend: B, N objects · K key-points · S_h, S_w the network's input · h, w its heat maps
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scene import Objects, Scenes, Skeleton
from res2net.data.scenes.skeletons import sides_of
from res2net.drawing.marks import Side, colour_of, draw_boxes, draw_skeleton
from res2net.errors import UserError
from res2net.heads.pose import PoseNet
from res2net.heads.precision import at_least_float32
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.keypoints import oks_nms
from res2net.models.factory import norm_by_name
from res2net.tasks.data import Annotated
from res2net.tasks.deployed import (
    Compared,
    Comparison,
    Deployment,
    Outputs,
    Pixels,
    of_size,
    shown,
)
from res2net.tasks.finding import Finding
from res2net.tasks.network import Deployed, FoundObjects, Size, in_colours, in_use
from res2net.tasks.pose.crops import (
    STRIDE,
    CropDataset,
    around,
    batched,
    certain_boxes,
    input_size,
    places_from,
)
from res2net.tasks.task import Curve, Datasets, Task, later

HEIGHT = 256  # pixels height of the network's input; its width is three quarters of it
VAL_BATCH = 32


def describe(config: RunConfig, images: Scenes) -> tuple[dict[str, Any], Preprocess]:
    """The head's options and the height of its input.

    Raises:
        UserError: data without key-points, or a height that does not fit.
    """
    if images.skeleton is None:
        raise UserError(f"{config.data}: has no names of key-points")
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
    """One crop per object.

    Raises:
        UserError: no object has key-points.
    """
    assert images.skeleton is not None
    size, skip = card.preprocess.size, config.input.skip_bad
    hflip = config.augment.hflip if images.skeleton.swaps else 0.0  # left would become right
    common: dict[str, Any] = {"skip_bad": skip, "reading": card.preprocess.reading}
    train = CropDataset(images.train, images.skeleton, size, hflip=hflip, **common)
    val = CropDataset(images.val, images.skeleton, size, **common)
    for name, crops in (("training", train), ("validation", val)):
        if not len(crops):
            raise UserError(f"{config.data}: no key-point is annotated in the {name} images")
    return Datasets(
        train=train, val=val, collate_train=batched, collate_val=batched, val_batch=VAL_BATCH
    )


def seen(
    batch: tuple[Tensor, Tensor, Tensor, list[int]], images: Scenes, config: RunConfig
) -> Iterator[tuple[Pixels, str]]:
    """The crops of a training batch with the key-points of their heat maps that count."""
    del config
    crops, maps, counts, _ = batch
    assert images.skeleton is not None
    for image, heat, counting in zip(crops, maps, counts, strict=True):
        points = peaks(heat[None])[0].numpy().astype(np.float64)
        points[:, :2] *= STRIDE
        points[:, 2] = counting.numpy()
        pixels = in_colours(image).permute(1, 2, 0).contiguous().numpy()
        bones, sides = images.skeleton.bones, sides_of(images.skeleton)
        shown = draw_skeleton(pixels, points, bones, sides, least=1)
        yield shown, f"{int(counting.sum())} of {len(points)} key-points count"


def predict(
    model: PoseNet | Deployed,
    card: ModelCard,
    image: Tensor,
    precision: str,
    places: DetectionArrays | None = None,
    finding: Finding | None = None,
) -> Poses:
    """The poses in the boxes of an image; without boxes, the one pose of the whole image."""
    if places is None:
        height, width = image.shape[-2:]
        places = certain_boxes([[0.0, 0.0, width, height]])
    skeleton = skeleton_of(card.marks)
    found = poses_of(model, image, places, card.preprocess, skeleton, precision=precision)
    if finding is not None:
        found = found.of(found.scores >= (finding.score or 0.0))
        found = found.of(np.argsort(-found.scores, kind="stable")[: finding.max_detections])
    return Poses(
        image=in_colours(image),
        detections=found,
        names=skeleton.names,
        bones=skeleton.bones,
        sides=sides_of(skeleton),
    )


SURE = 0.2  # score from which a key-point counts for its pose, and is drawn
AT_ONCE = 32  # objects


@torch.inference_mode()
def poses_of(
    model: PoseNet | Deployed,
    image: Tensor,
    places: DetectionArrays,
    preprocess: Preprocess,
    skeleton: Skeleton,
    *,
    precision: str = "auto",
    turned: bool = True,
) -> DetectionArrays:
    """The pose in each of N boxes of uint8 (3, H, W), in pixels of the image, highest score first.

    A pose's score is that of its box times the mean of its confident key-points (0.2 or more). Of
    similar poses (OKS above 0.9) only the one with the highest score is kept.

    Args:
        places: boxes with classes and scores; score 1 for annotated boxes.
        turned: also average over the mirror image (flip test, maps shifted by one cell), if
            the skeleton has mirror partners.
    """
    net = in_use(model, preprocess, precision)
    size = input_size(preprocess.size)
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    frames = [around(box) for box in places.boxes]
    found = np.zeros((len(frames), len(skeleton.names), 3))
    for start in range(0, len(frames), AT_ONCE):
        group = frames[start : start + AT_ONCE]
        seen = torch.from_numpy(np.stack([frame.cut(pixels, size) for frame in group]))
        seen = seen.permute(0, 3, 1, 2)
        heat = net(seen)
        if turned and skeleton.swaps:
            mirror = net(seen.flip(-1)).flip(-1)[:, skeleton.mirrored()]
            mirror[..., 1:] = mirror[..., :-1].clone()
            heat = (heat + mirror) / 2
        points = peaks(heat).cpu().numpy().astype(np.float64)
        for offset, frame in enumerate(group):
            own = points[offset]
            found[start + offset, :, :2] = frame.outward(own[:, :2] * STRIDE, size)
            found[start + offset, :, 2] = own[:, 2]
    sure = found[:, :, 2] > SURE
    means = (found[:, :, 2] * sure).sum(1) / sure.sum(1).clip(1)
    rated = places.scores * means
    aspect = size[1] / size[0]
    areas = np.array([frame.height**2 * aspect for frame in frames]).reshape(-1)
    kept = oks_nms(found, rated, areas, skeleton.sigmas) if len(found) else np.zeros(0, np.int64)
    return DetectionArrays(
        boxes=places.boxes[kept],
        scores=rated[kept],
        labels=places.labels[kept],
        keypoints=found[kept],
    )


def peaks(heat: Tensor) -> Tensor:
    """Heat maps (B, K, h, w) → x, y in cells and the height of the peak: (B, K, 3).

    A quarter of a cell towards the higher neighbour, as the paper's base does.
    """
    heat = at_least_float32(heat)
    h, w = heat.shape[2:]
    top, place = heat.flatten(2).max(2)  # (B, K)
    x, y = place % w, place // w
    flat = heat.flatten(2)

    def at(dx: int, dy: int) -> Tensor:
        index = (y + dy).clamp(0, h - 1) * w + (x + dx).clamp(0, w - 1)
        return flat.gather(2, index[..., None])[..., 0]

    inner = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1)
    right = torch.sign(at(1, 0) - at(-1, 0)) * 0.25 * inner
    below = torch.sign(at(0, 1) - at(0, -1)) * 0.25 * inner
    return torch.stack([x + right, y + below, top.clamp(min=0)], dim=2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Poses(FoundObjects):
    """The poses in an image, highest score first.

    Attributes:
        image: uint8 (3, H, W).
        detections: N boxes and scores with their key-points.
        names: names of the K key-points.
        bones: pairs of key-points that a line joins.
        sides: "left", "right" or "" of each key-point.
    """

    names: Sequence[str]
    bones: Sequence[tuple[int, int]]
    sides: Sequence[Side]

    @property
    def keypoints(self) -> npt.NDArray[np.float64]:
        """(N, K, 3): x and y in pixels of the image, and a score 0..1."""
        assert self.detections.keypoints is not None
        return self.detections.keypoints

    def to_coco(
        self, image_id: int | str, category_ids: Sequence[int] = ()
    ) -> list[dict[str, Any]]:
        """Rows of COCO's result format: x, y, score of all key-points in one list."""
        numbers = category_ids or range(1, int(self.detections.labels.max(initial=0)) + 2)
        return [
            {
                "image_id": image_id,
                "category_id": numbers[label],
                "keypoints": points.ravel().tolist(),
                "score": float(score),
            }
            for label, score, points in zip(
                self.detections.labels, self.scores, self.keypoints, strict=True
            )
        ]

    def as_dict(self) -> dict[str, Any]:
        """Each pose: score, box, and x, y, score of every key-point."""
        found = self.detections
        assert found.keypoints is not None
        rows = []
        for box, score, points in zip(found.boxes, found.scores, found.keypoints, strict=True):
            rows.append(
                {
                    "score": round(float(score), 4),
                    "box": [round(float(value), 2) for value in box],
                    "keypoints": {
                        name: [round(float(value), 3) for value in point]
                        for name, point in zip(self.names, points, strict=True)
                    },
                }
            )
        return {"objects": rows}

    def line(self) -> str:
        found = self.detections
        assert found.keypoints is not None
        sure = int((found.keypoints[:, :, 2] > SURE).sum())
        return f"poses: {len(found)}, confident key-points: {sure}"

    def pictures(self) -> Mapping[str, Any]:
        """The image with its skeletons."""
        pixels = self.image.permute(1, 2, 0).contiguous().numpy()
        return {"": draw_poses(pixels, self.detections, self.bones, self.sides, least=SURE)}


def draw_poses(
    image: Any,
    found: DetectionArrays,
    bones: Sequence[tuple[int, int]],
    sides: Sequence[Side],
    *,
    least: float,
) -> Any:
    """Boxes, one colour each, and skeletons on (H, W, 3), one colour for left and for right."""
    assert found.keypoints is not None
    colours = [colour_of(i) for i in range(len(found))]
    image = draw_boxes(image, found.boxes, [""] * len(found), colours)
    for points in found.keypoints:
        image = draw_skeleton(image, points, bones, sides, least=least)
    return image


def skeleton_of(marks: Mapping[str, Any]) -> Skeleton:
    """The skeleton in a model's card."""
    values = marks["skeleton"]
    return Skeleton(
        names=tuple(values["names"]),
        swaps=tuple((int(a), int(b)) for a, b in values["swaps"]),
        bones=tuple((int(a), int(b)) for a, b in values["bones"]),
        sigmas=tuple(map(float, values["sigmas"])),
    )


LEAST = 0.97  # share of confident key-points whose peak int8 keeps; our own rule
NEAR = 1.0  # cells


def outputs(card: ModelCard) -> tuple[dict[str, Any], ...]:
    """Heat maps (B, K, h, w)."""
    count = len(card.marks["skeleton"]["names"])
    return ({"name": "heatmaps", "channels": count, "stride": STRIDE},)


def resized(card: ModelCard, size: Size | int | None) -> tuple[ModelCard, Size]:
    """The height of training, or another, and three quarters of it.

    Raises:
        UserError: another shape, or a height that does not fit.
    """
    given = card.preprocess.size if size is None else size
    height = given[0] if isinstance(given, tuple) else given
    if height < 64 or height % 32:
        raise UserError(f"--size is {height}; the height must be a multiple of 32, 64 or more")
    found = input_size(height)
    if isinstance(given, tuple) and given != found:
        raise UserError(f"--size {shown(given)}: inputs are 4:3, {shown(found)}")
    return replace(card, preprocess=of_size(card.preprocess, height)), found


def inputs(image: Tensor, objects: Objects | None, card: ModelCard, size: Size) -> Pixels:  # noqa: ARG001
    """The annotated objects or, without annotations, the whole image as one."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    whole = np.array([[0.0, 0.0, pixels.shape[1], pixels.shape[0]]])
    boxes = whole if objects is None else objects.boxes[~objects.ignored]
    seen = [around(box).cut(pixels, size) for box in boxes]
    return np.stack(seen) if seen else np.zeros((0, *size, 3), np.uint8)


def compare(wanted: Outputs, found: Outputs) -> Compared:
    """The share of eager's confident key-points that are found within a cell."""
    a, b = (peaks(torch.from_numpy(each[0])).numpy() for each in (wanted, found))  # (B, K, 3)
    sure = a[:, :, 2] > SURE
    near = np.linalg.norm(a[:, :, :2] - b[:, :, :2], axis=2) <= NEAR
    counts = sure.sum(1)
    return Compared(wanted, found, (sure & near).sum(1) / counts.clip(1), counts)


POSE = Task(
    name="pose",
    title="key-points",
    head="SimpleBaseline",
    data=Annotated("keypoints"),
    monitor="val/ap_error",
    one_size=True,
    curves=(
        Curve("Loss", (("train/loss", "training"), ("val/loss", "validation"))),
        Curve("Error, 100 % - AP", (("val/ap_error", "validation"),), percent=True),
    ),
    sizes="an object's size is the area that its annotation states, in the image's own pixels; "
    "COCO's AP skips small ones, mean OKS (closeness of the best pose) does not",
    describe=describe,
    build=build,
    body=lambda model: model.body,
    datasets=datasets,
    seen=seen,
    module=later("res2net.tasks.pose.module", "PoseModule"),
    measure=later("res2net.tasks.pose.scores", "measure"),
    predict=predict,
    deployment=Deployment(
        graph=lambda model: model,
        outputs=outputs,
        resized=resized,
        inputs=inputs,
        comparison=Comparison(what="place of a confident key-point", least=LEAST, of=compare),
    ),
    places=places_from,
)
