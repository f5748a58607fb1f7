"""Errors of a detector: precision and recall by score, confusions, kinds of errors.

All use one matching at an IoU of 0.5, as in COCO's AP50. The kinds are those of TIDE (Bolya et al.
2020). Legend: D detections · G objects, ignored ones excluded · C classes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from res2net.data.outlines import overlaps
from res2net.data.scene import Scene
from res2net.metrics.coco import Kind, ground_truth, results
from res2net.metrics.detections import DetectionArrays

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FOUND, NEAR = 0.5, 0.1  # IoU from which an object counts as found, and as the target of a detection
MOST = 100  # detections per class and image, as in COCO
KINDS = {  # of unmatched detections, in the order of precedence
    "double": "second detection of an object",
    "class": "on an object of another class",
    "localisation": "overlap below 0.5",
    "both": "another class and an overlap below 0.5",
    "background": "no object there",
    "missed": "object that no detection finds or aims at",
}
DOUBLE, CLASS, PLACE, BOTH, BACKGROUND = range(5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistakes:
    """The D counted detections of a part, by descending score, and its G objects.

    Attributes:
        labels, scores: (D,) of detections.
        matched: (D,) the object that each found; -1: none.
        kinds: (D,) index into ``KINDS`` of those that found none; -1 of the others.
        aims: (D,) the object that a detection of kind "class" or "localisation" aims at, else -1.
        truth: (G,) classes of objects.
    """

    classes: tuple[str, ...]
    labels: Ints
    scores: Floats
    matched: Ints
    kinds: Ints
    aims: Ints
    truth: Ints

    @cached_property
    def objects(self) -> Ints:
        """(C,) that count."""
        return np.bincount(self.truth, minlength=len(self.classes))

    def curve(self, label: int) -> tuple[Floats, Floats, Floats]:
        """Scores, precision and recall of a class, each (n,), at all of its scores."""
        own = self.labels == label
        scores, hits = self.scores[own], np.cumsum(self.matched[own] >= 0)
        last = np.flatnonzero(np.diff(scores, append=-1.0))  # equal scores come together
        found = hits[last].astype(np.float64)
        return scores[last], found / (last + 1), found / max(int(self.objects[label]), 1)

    def best(self, label: int) -> tuple[float, float, float, float] | None:
        """The score with the highest F1 of a class, that F1, precision and recall.

        None for a class without objects or without detections.
        """
        scores, precision, recall = self.curve(label)
        if not len(scores) or not self.objects[label]:
            return None
        each = f1(precision, recall)
        i = int(each.argmax())
        return float(scores[i]), float(each[i]), float(precision[i]), float(recall[i])

    @cached_property
    def threshold(self) -> tuple[float, float]:
        """The one score, in steps of 0.001, whose mean F1 over classes is highest; and that F1."""
        steps = np.arange(1001) / 1000
        known = np.flatnonzero(self.objects)
        if not len(known):
            return 0.0, 0.0
        total = np.zeros(len(steps))
        for label in known:
            scores, precision, recall = self.curve(int(label))
            at = np.searchsorted(-scores, -steps, side="right") - 1  # of the lowest that is left
            each = np.append(f1(precision, recall), 0.0)
            total += each[at]  # -1: nothing is left
        mean = total / len(known)
        i = int(np.flatnonzero(mean >= mean.max() - 1e-12)[-1])
        return float(steps[i]), float(mean[i])

    def confusion(self, least: float) -> Ints:
        """Detections of a score of ``least`` or more: (C + 1, C + 1), truth by prediction.

        The last row and column are the background: what is no object, and objects not found. A
        detection of kind "class" takes the object that it aims at, if it is free, surest first.
        """
        sure = self.scores >= least
        background = len(self.classes)
        taken = np.zeros(len(self.truth), bool)
        taken[self.matched[sure & (self.matched >= 0)]] = True
        truth = np.where(self.matched >= 0, self.labels, background)
        for detection in np.flatnonzero(sure & (self.kinds == CLASS)):
            thing = self.aims[detection]
            if not taken[thing]:
                taken[thing], truth[detection] = True, self.truth[thing]
        missed = self.truth[~taken]
        rows = np.concatenate([truth[sure], missed])
        columns = np.concatenate([self.labels[sure], np.full(len(missed), background)])
        cells = np.bincount(rows * (background + 1) + columns, minlength=(background + 1) ** 2)
        return cells.reshape(background + 1, background + 1)

    def counts(self, least: float) -> dict[str, int]:
        """Number of errors of each kind among detections with a score of at least ``least``."""
        sure = self.scores >= least
        wrong = np.bincount(self.kinds[sure & (self.kinds >= 0)], minlength=len(KINDS) - 1)
        reached = np.concatenate([self.matched[sure], self.aims[sure]])
        missed = np.setdiff1d(np.arange(len(self.truth)), reached)
        return dict(zip(KINDS, (*wrong.tolist(), len(missed)), strict=True))


def f1(precision: Floats, recall: Floats) -> Floats:
    """Their harmonic mean; 0 where both are."""
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def mistakes(
    scenes: Sequence[Scene],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    *,
    kind: Kind = "bbox",
) -> Mistakes:
    """Match detections and classify errors; arguments as in ``coco_scores``, without key-points.

    Raises:
        UserError: faster-coco-eval is not installed.
    """
    parts: list[Ints] = [np.zeros((4, 0), np.int64)]
    scores: list[Floats] = [np.zeros(0)]
    truth: list[Ints] = [np.zeros(0, np.int64)]
    things = 0
    for scene, guesses in zip(scenes, found, strict=True):
        assert scene.objects is not None, scene.name
        order = _counted(guesses)
        labels = guesses.labels[order]
        own, ignored = scene.objects.labels, scene.objects.ignored
        overlap = _overlaps(scene, guesses.of(order), classes, kind)  # (d, g)
        same = labels[:, None] == own[None]
        matched = _matched(np.where(same, overlap, 0.0), ignored, scene.objects.crowds)
        number = np.append(np.where(ignored, -1, things + np.cumsum(~ignored) - 1), -1)
        counts = (matched < 0) | ~np.append(ignored, False)[matched]  # what an ignored one takes
        kinds, aims = _kinds(overlap * ~ignored, same)
        kinds[matched >= 0] = -1
        aims = np.where((kinds == CLASS) | (kinds == PLACE), aims, -1)
        parts.append(np.stack([labels, number[matched], kinds, number[aims]])[:, counts])
        scores.append(guesses.scores[order][counts])
        truth.append(own[~ignored])
        things += len(truth[-1])
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    labels, matched, kinds, aims = np.concatenate(parts, 1)[:, order]
    return Mistakes(
        classes=tuple(classes),
        labels=labels,
        scores=every[order],
        matched=matched,
        kinds=kinds,
        aims=aims,
        truth=np.concatenate(truth),
    )


def _counted(found: DetectionArrays) -> Ints:
    """Which detections count, surest first: of each class so many at most."""
    order = np.argsort(-found.scores, kind="stable")
    labels = found.labels[order]
    keep = [np.flatnonzero(labels == label)[:MOST] for label in np.unique(labels)]
    return order[np.sort(np.concatenate([np.zeros(0, np.int64), *keep]))]


def _overlaps(
    scene: Scene, found: DetectionArrays, classes: Sequence[str], kind: Kind
) -> npt.NDArray[np.float64]:
    """Intersection over union (d, g); with a crowd, over the detection's own area."""
    name = "bbox" if kind == "bbox" else "segmentation"
    truth = ground_truth([scene], classes, kind)["annotations"]
    crowds = [row["iscrowd"] for row in truth]
    guesses = [row[name] for row in results([found], kind)]
    return overlaps(guesses, [row[name] for row in truth], crowds, scene.size or (0, 0))


def _matched(
    overlap: npt.NDArray[np.float64],
    ignored: npt.NDArray[np.bool_],
    crowds: npt.NDArray[np.bool_] | None,
) -> Ints:
    """The object (d,) that each detection takes, surest first, as COCO does; -1: none.

    One that counts is preferred to an ignored one; a crowd is taken any number of times.
    """
    free = np.ones(len(ignored), bool)
    taken = np.full(len(overlap), -1)
    for i, row in enumerate(overlap):
        for group in (~ignored, ignored):
            fits = np.flatnonzero(group & free & (row >= FOUND - 1e-10))
            if len(fits):
                best = fits[np.flatnonzero(row[fits] == row[fits].max())[-1]]  # the last of equals
                taken[i] = best
                free[best] = crowds is not None and bool(crowds[best])
                break
    return taken


def _kinds(overlap: npt.NDArray[np.float64], same: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """The kind (d,) of each detection if it matches nothing, and the object that it aims at."""
    if not overlap.shape[1]:
        none = np.full(len(overlap), BACKGROUND)
        return none, np.full(len(overlap), -1)
    own, other = np.where(same, overlap, 0.0), np.where(same, 0.0, overlap)
    right, wrong = own.max(1), other.max(1)
    kinds = np.select(
        [right >= FOUND, wrong >= FOUND, right >= NEAR, wrong >= NEAR],
        [DOUBLE, CLASS, PLACE, BOTH],
        BACKGROUND,
    )
    return kinds, np.where(kinds == CLASS, other.argmax(1), own.argmax(1))
