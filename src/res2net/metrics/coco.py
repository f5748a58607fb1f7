"""COCO's average precision and recall of boxes, masks and key-points, with faster-coco-eval.

Crowds, sizes and limits are COCO's; tests/metrics compares all values with pycocotools.
An ignored object that is not a crowd (VOC's difficult ones) matches one detection by plain IoU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from res2net.data.scene import Objects, Scene
from res2net.errors import UserError
from res2net.metrics.detections import DetectionArrays
from res2net.metrics.sizes import SIZES, size_index

Kind = Literal["bbox", "segm", "keypoints"]
_BOX_STATS = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
_KEYPOINT_STATS = (
    *("ap", "ap50", "ap75", "ap_medium", "ap_large"),
    *("ar", "ar50", "ar75", "ar_medium", "ar_large"),
)


@dataclass(frozen=True, kw_only=True)
class CocoScores:
    """Averages in percent; None if no such object is annotated."""

    kind: Kind
    stats: dict[str, float | None]  # ap, ap50, ap75, ap_small, ..., ar1, ar10, ar100, ...
    per_class: tuple[float | None, ...]  # average precision of each class
    objects: tuple[int, ...]  # annotated, of each class
    sizes: dict[str, int]  # small, medium, large → annotated


def coco_scores(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    *,
    kind: Kind = "bbox",
    sigmas: Sequence[float] | None = None,
) -> CocoScores:
    """The twelve COCO metrics (ten for key-points), and the average precision by class.

    Args:
        scenes: images with objects, with masks or key-points if ``kind`` needs them.
        found: detections in each.
        sigmas: (K,) of key-points; None: those of COCO's persons.

    Raises:
        UserError: faster-coco-eval is not installed.
        ValueError: not one list of detections for each scene.
    """
    job = _matched(scenes, found, classes, kind, sigmas)
    stats, per_class = _figures(job, len(classes))
    objects = [_objects(scene) for scene in scenes]
    counted = [~each.ignored for each in objects]
    labels = [each.labels[keep] for each, keep in zip(objects, counted, strict=True)]
    areas = [each.areas[keep] for each, keep in zip(objects, counted, strict=True)]
    annotated = np.bincount(np.concatenate([[], *labels]).astype(np.int64), minlength=len(classes))
    sizes = np.bincount(size_index(np.concatenate([[], *areas])), minlength=len(SIZES))
    return CocoScores(
        kind=kind,
        stats=stats,
        per_class=per_class,
        objects=tuple(annotated.tolist()),
        sizes=dict(zip(SIZES, sizes.tolist(), strict=True)),
    )


Figures = tuple[dict[str, float | None], tuple[float | None, ...]]  # averages, AP of each class


def resampled(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    *,
    kind: Kind = "bbox",
    sigmas: Sequence[float] | None = None,
) -> Callable[[npt.NDArray[np.int64]], Figures]:
    """As ``coco_scores``, but of any images, also repeated: their indices (n,) → the figures.

    Detections are matched with objects once, an image at a time, as COCO does.
    """
    job = _matched(scenes, found, classes, kind, sigmas, keep=True)
    flat = np.empty(len(job._evalImgs_cpp), object)
    flat[:] = job._evalImgs_cpp
    matches = flat.reshape(-1, len(scenes))  # (classes x areas, images)

    def over(chosen: npt.NDArray[np.int64]) -> Figures:
        job._paramsEval.imgIds = list(range(len(chosen)))  # they are only counted
        job._evalImgs_cpp = matches[:, chosen].ravel().tolist()
        return _figures(job, len(classes))

    return over


def _matched(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    kind: Kind,
    sigmas: Sequence[float] | None,
    *,
    keep: bool = False,
) -> Any:
    """The library's evaluation with detections matched; ``keep`` has the matches of each image."""
    if len(scenes) != len(found):
        raise ValueError(f"{len(found)} lists of detections for {len(scenes)} images")
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError:
        raise UserError(
            "COCO's measures need faster-coco-eval: pip install 'res2net[tasks]'"
        ) from None
    truth = COCO(ground_truth(scenes, classes, kind))
    rows = results(found, kind)
    if kind == "bbox":  # else the library draws a polygon around each, and never looks at it
        for row in rows:
            row["segmentation"] = ()
    guesses = truth.loadRes(rows)
    job = COCOeval_faster(
        *(truth, guesses, kind),
        kpt_oks_sigmas=None if sigmas is None else list(sigmas),
        separate_eval=keep,
    )
    job.params.catIds = list(range(1, len(classes) + 1))  # also those that nobody annotated here
    job.evaluate()
    return job


def _figures(job: Any, classes: int) -> Figures:
    job.accumulate()
    job.summarize()
    names = _KEYPOINT_STATS if job.params.iouType == "keypoints" else _BOX_STATS
    precision = job.eval["precision"][:, :, :, 0, -1]  # (T, R, classes) of all sizes
    stats = dict(zip(names, map(_percent, job.stats), strict=False))
    return stats, tuple(_mean_where_known(precision[:, :, k]) for k in range(classes))


def ground_truth(scenes: Sequence[Scene], classes: Sequence[str], kind: Kind) -> dict[str, Any]:
    """The scenes as COCO's annotation file has them; images are numbered from 1, classes from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, 1):
        height, width = scene.size or (0, 0)
        images.append({"id": number, "height": height, "width": width, "file_name": scene.name})
        objects = _objects(scene)
        for i in range(len(objects)):
            left, top, right, bottom = objects.boxes[i].tolist()
            row: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": int(objects.labels[i]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": float(objects.areas[i]),
                "iscrowd": int(objects.crowds is not None and objects.crowds[i]),
            }
            if objects.ignored[i] and not row["iscrowd"]:
                row |= {"iscrowd": 1} if kind == "keypoints" else {"area": _NO_SIZE}
            if kind == "segm":
                row["segmentation"] = _as_json(objects, i)
            if kind == "keypoints":
                assert objects.keypoints is not None
                row["keypoints"] = objects.keypoints[i].ravel().tolist()
                row["num_keypoints"] = int((objects.keypoints[i, :, 2] > 0).sum())
            annotations.append(row)
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


_NO_SIZE = -1.0  # COCO ignores an object whose area is in no range; an "ignore" it overwrites


def results(found: Sequence[DetectionArrays], kind: Kind) -> list[dict[str, Any]]:
    """Detections as COCO's result file has them."""
    filled = [each for each in found if len(each)]
    if not filled:
        return []
    name, shapes = _shapes(filled, kind)
    images = np.repeat(np.arange(1, len(found) + 1), [len(each) for each in found]).tolist()
    labels = (np.concatenate([each.labels for each in filled]) + 1).tolist()
    scores = np.concatenate([each.scores for each in filled]).tolist()
    return [
        {"image_id": image, "category_id": label, "score": score, name: shape}
        for image, label, score, shape in zip(images, labels, scores, shapes, strict=True)
    ]


def _shapes(found: Sequence[DetectionArrays], kind: Kind) -> tuple[str, Sequence[Any]]:
    """COCO's name for the shape of a detection, and those of all; lists are made all at once."""
    if kind == "bbox":
        boxes = np.concatenate([each.boxes for each in found])
        return "bbox", np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()
    if kind == "segm":
        return "segmentation", [mask for each in found for mask in each.masks or ()]
    points = np.concatenate([each.keypoints for each in found if each.keypoints is not None])
    return "keypoints", points.reshape(len(points), -1).tolist()


def _objects(scene: Scene) -> Objects:
    assert scene.objects is not None, scene.name
    return scene.objects


def _as_json(objects: Objects, i: int) -> Any:
    assert objects.segments is not None
    outline = objects.segments[i]
    if isinstance(outline, np.ndarray):
        from res2net.data.outlines import pack

        return pack(outline)
    return outline


def _percent(value: float) -> float | None:
    return None if value < 0 else 100 * float(value)


def _mean_where_known(values: npt.NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return 100 * float(known.mean()) if known.size else None
