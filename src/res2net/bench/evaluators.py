"""Benchmark COCO AP (our wrapper, faster-coco-eval, torchmetrics) and peaks of heat maps."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch

from res2net.bench.options import EvaluatorsOptions
from res2net.bench.protocol import Measurement, Track, interleave, ratio_cells, versions_of
from res2net.data.scene import COCO_PERSON, Scene
from res2net.data.scenes.generated import CLASSES, SceneRules, generate
from res2net.metrics.coco import coco_scores, ground_truth, results
from res2net.metrics.detections import DetectionArrays
from res2net.tasks.pose.task import peaks

Tensors = dict[str, torch.Tensor]
IMAGES, FOUND = 200, 50  # images; detections in each
HEAT = (32, len(COCO_PERSON.names), 64, 48)  # maps of 32 objects at 256x192
OURS = {  # case of others → our equivalent
    "coco faster-coco-eval": "coco ours",
    "coco faster-coco-eval, rows ready": "coco ours",
    "coco torchmetrics": "coco ours",
    "peaks one by one": "peaks ours",
}
COLUMNS = {
    "case": "case",
    "median_ms": "ms (median)",
    "speed_of_ours": "speed of ours over it",
}


def run(options: EvaluatorsOptions, track: Track) -> Measurement:
    """Compare evaluators and decoders with plain implementations."""
    timings = interleave(make(), rounds=options.rounds, track=track)
    rows: list[dict[str, object]] = []
    for case, timing in timings.items():
        ours = timings.get(OURS.get(case, ""))
        rows.append(
            {
                "case": case,
                "median_ms": round(1000 * timing.median, 2),
                "least_ms": round(1000 * timing.least, 2),
                **ratio_cells("speed_of_ours", ours.speed_over(timing) if ours else None),
                "n": len(timing.seconds),
                **versions_of("faster-coco-eval", "torchmetrics"),
            }
        )
    return Measurement(rows=rows, columns=COLUMNS)


def make() -> dict[str, Callable[[], object]]:
    """Case → function to time; cases of one kind compute the same result."""
    chance = np.random.default_rng(0)
    scenes = [generate(index, 0, SceneRules()) for index in range(IMAGES)]
    found = [_detections(scene, chance) for scene in scenes]
    truth, rows = ground_truth(scenes, CLASSES, "bbox"), results(found, "bbox")
    tensors = [_as_tensors(each) for each in found], [_truth_as_tensors(each) for each in scenes]
    heat = torch.rand(HEAT, generator=torch.Generator().manual_seed(0))
    return {
        "coco ours": lambda: coco_scores(scenes, found, CLASSES),
        "coco faster-coco-eval": lambda: _directly(
            ground_truth(scenes, CLASSES, "bbox"), _rows_one_by_one(found)
        ),
        "coco faster-coco-eval, rows ready": lambda: _directly(
            truth, [dict(row) for row in rows]
        ),  # it writes into them
        "coco torchmetrics": lambda: _by_torchmetrics(*tensors),
        "peaks ours": lambda: peaks(heat),
        "peaks one by one": lambda: peaks_one_by_one(heat.numpy()),
    }


def _directly(truth: dict[str, Any], rows: list[dict[str, Any]]) -> Any:
    """As in its manual, from annotations and results in COCO's format."""
    from faster_coco_eval import COCO, COCOeval_faster

    with redirect_stdout(io.StringIO()):
        annotated = COCO(truth)
        job = COCOeval_faster(annotated, annotated.loadRes(rows), "bbox")
        job.evaluate()
        job.accumulate()
        job.summarize()
    return job.stats


def _rows_one_by_one(found: list[DetectionArrays]) -> list[dict[str, Any]]:
    """The plain version of ``results``, as users of the library write it."""
    rows = []
    for number, each in enumerate(found, 1):
        for box, score, label in zip(each.boxes, each.scores, each.labels, strict=True):
            left, top, right, bottom = box.tolist()
            rows.append(
                {
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "score": float(score),
                    "bbox": [left, top, right - left, bottom - top],
                }
            )
    return rows


def _by_torchmetrics(found: list[Tensors], annotated: list[Tensors]) -> Any:
    """Evaluation by torchmetrics on the same library, as with Lightning."""
    from torchmetrics.detection import MeanAveragePrecision

    score = MeanAveragePrecision(backend="faster_coco_eval")
    score.update(found, annotated)
    return score.compute()


def _as_tensors(found: DetectionArrays) -> Tensors:
    arrays = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _truth_as_tensors(scene: Scene) -> Tensors:
    objects = scene.objects
    assert objects is not None
    return {
        "boxes": torch.from_numpy(objects.boxes),
        "labels": torch.from_numpy(objects.labels),
        "area": torch.from_numpy(objects.areas),
        "iscrowd": torch.from_numpy(objects.ignored).long(),
    }


def peaks_one_by_one(heat: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    """The plain version of ``peaks``: (B, K, h, w) → (B, K, 3), one map at a time."""
    out = np.zeros((*heat.shape[:2], 3))
    h, w = heat.shape[2:]
    for i, j in np.ndindex(heat.shape[:2]):
        one = heat[i, j]
        y, x = divmod(int(one.argmax()), w)
        out[i, j] = x, y, max(0.0, float(one[y, x]))
        if 1 < x < w - 1 and 1 < y < h - 1:
            out[i, j, 0] += 0.25 * np.sign(one[y, x + 1] - one[y, x - 1])
            out[i, j, 1] += 0.25 * np.sign(one[y + 1, x] - one[y - 1, x])
    return out


def _detections(scene: Scene, chance: np.random.Generator) -> DetectionArrays:
    """Boxes near the annotated ones, and others anywhere."""
    assert scene.objects is not None
    near = scene.objects.boxes + chance.normal(0, 2, scene.objects.boxes.shape)
    corner = chance.uniform(0, 120, (FOUND, 2))
    far = np.concatenate([corner, corner + chance.uniform(4, 40, (FOUND, 2))], axis=1)
    boxes = np.concatenate([near, far])[:FOUND]
    return DetectionArrays(
        boxes=boxes,
        scores=chance.random(len(boxes)),
        labels=chance.integers(0, len(CLASSES), len(boxes)),
    )
