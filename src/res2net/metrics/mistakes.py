"""Where a detector is wrong: precision and recall by score, confusions, kinds of errors.

All of it rests on one matching at an overlap of 0.5, that of COCO's AP50. The kinds are those of
TIDE (Bolya et al. 2020), by its definition. Legend: D detections · G objects that count · C classes
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
FOUND, NEAR = 0.5, 0.1  # overlaps from which an object counts as found, as aimed at
MOST = 100  # detections of a class in an image, as COCO counts them
KINDS = {  # of detections that match no object, in the order in which they are tried
    "double": "second detection of an object",
    "class": "on an object of another class",
    "localisation": "overlap below 0.5",
    "both": "another class and an overlap below 0.5",
    "background": "no object there",
    "missed": "object that no detection finds or aims at",
}
DOUBLE, CLASS, PLACE, BOTH, BACKGROUND = range(5)
_STEPS = np.linspace(0, 1, 101)  # recalls of COCO's average


@dataclass(frozen=True, kw_only=True)
class Best:
    """The score from which the F1 of a class is highest; detections below it are left out."""

    score: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistakes:
    """The D detections of a part that count, surest first, beside its G objects.

    Attributes:
        labels, scores: (D,) of detections.
        matched: (D,) the object that each found; -1: none.
        kinds: (D,) index into ``KINDS`` of those that found none; -1 of the others.
        aims: (D,) the object that a detection of kind "class" or "localisation" aims at, else -1.
        truth: (G,) classes of objects.
        others: (P, 2) detection and object of another class that overlap by half or more, by
            detection and then by overlap.
    """

    classes: tuple[str, ...]
    labels: Ints
    scores: Floats
    matched: Ints
    kinds: Ints
    aims: Ints
    truth: Ints
    others: Ints

    @cached_property
    def objects(self) -> Ints:
        """(C,) that count."""
        return np.bincount(self.truth, minlength=len(self.classes))

    def curve(self, label: int) -> tuple[Floats, Floats, Floats]:
        """Scores, precision and recall of a class, each (n,), at every score that it has."""
        own = self.labels == label
        scores, hits = self.scores[own], np.cumsum(self.matched[own] >= 0)
        last = np.flatnonzero(np.diff(scores, append=-1.0))  # equal scores come together
        found = hits[last].astype(np.float64)
        return scores[last], found / (last + 1), found / max(int(self.objects[label]), 1)

    def best(self, label: int) -> Best | None:
        """None of a class without objects or without detections."""
        scores, precision, recall = self.curve(label)
        if not len(scores) or not self.objects[label]:
            return None
        each = f1(precision, recall)
        i = int(each.argmax())
        values = map(float, (scores[i], each[i], precision[i], recall[i]))
        return Best(**dict(zip(("score", "f1", "precision", "recall"), values, strict=True)))

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
        detection that matches no object of its class takes a free one of another, surest first.
        """
        sure = self.scores >= least
        background = len(self.classes)
        taken = np.zeros(len(self.truth), bool)
        taken[self.matched[sure & (self.matched >= 0)]] = True
        truth = np.where(self.matched >= 0, self.labels, background)
        for detection, thing in self.others.tolist():
            free = self.kinds[detection] >= 0 and truth[detection] == background
            if sure[detection] and free and not taken[thing]:
                taken[thing], truth[detection] = True, self.truth[thing]
        missed = self.truth[~taken]
        rows = np.concatenate([truth[sure], missed])
        columns = np.concatenate([self.labels[sure], np.full(len(missed), background)])
        cells = np.bincount(rows * (background + 1) + columns, minlength=(background + 1) ** 2)
        return cells.reshape(background + 1, background + 1)

    def counts(self, least: float) -> dict[str, int]:
        """How often each kind of error is made by detections of a score of ``least`` or more."""
        sure = self.scores >= least
        wrong = np.bincount(self.kinds[sure & (self.kinds >= 0)], minlength=len(KINDS) - 1)
        return dict(zip(KINDS, (*wrong.tolist(), len(self._missed(sure))), strict=True))

    def _missed(self, sure: npt.NDArray[np.bool_]) -> Ints:
        """Objects that no sure detection found or aimed at."""
        reached = np.concatenate([self.matched[sure], self.aims[sure]])
        return np.setdiff1d(np.arange(len(self.truth)), reached)

    def ap50(self) -> float:
        """In percent, the mean over classes with objects; the same as COCO's."""
        return self._ap(self.labels, self.matched >= 0, np.ones(len(self.labels), bool))

    def gains(self) -> dict[str, float]:
        """Points of AP50 that each kind of error costs, over all detections.

        A detection of another class or place gets those of the object that it aims at, the surest
        one of an object that was not found; other wrong ones go; missed objects are not asked for.
        """
        before, everything = self.ap50(), np.ones(len(self.labels), bool)
        gains = {}
        for kind, name in enumerate(list(KINDS)[:-1]):
            labels, hits = self.labels.copy(), self.matched >= 0
            own = np.flatnonzero(self.kinds == kind)
            keep = everything.copy()
            keep[own] = False
            if kind in (CLASS, PLACE):
                things, first = np.unique(self.aims[own], return_index=True)  # the surest
                mended = own[first][~np.isin(things, self.matched)]
                keep[mended] = hits[mended] = True
                labels[mended] = self.truth[self.aims[mended]]
            gains[name] = self._ap(labels, hits, keep) - before
        missed = np.bincount(self.truth[self._missed(everything)], minlength=len(self.classes))
        after = self._ap(self.labels, self.matched >= 0, everything, self.objects - missed)
        return {**gains, "missed": after - before}

    def _ap(
        self,
        labels: Ints,
        hits: npt.NDArray[np.bool_],
        keep: npt.NDArray[np.bool_],
        objects: Ints | None = None,
    ) -> float:
        """Mean of COCO's average over 101 recalls, in percent, of detections that are kept."""
        asked = self.objects if objects is None else objects
        each = []
        for label in np.flatnonzero(asked):
            found = np.cumsum(hits[keep & (labels == label)])
            precision = found / np.arange(1, len(found) + 1)
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            at = np.searchsorted(found / asked[label], _STEPS)
            each.append(np.append(precision, 0.0)[at.clip(max=len(found))].mean())
        return 100 * float(np.mean(each)) if each else 0.0


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
    """Match and sort the errors; arguments as of ``coco_scores``, without key-points.

    Raises:
        UserError: faster-coco-eval is not installed.
    """
    parts: list[tuple[npt.NDArray[np.float64], ...]] = []
    truth: list[Ints] = [np.zeros(0, np.int64)]
    others: list[npt.NDArray[np.float64]] = [np.zeros((0, 3))]
    detections = things = 0
    for scene, guesses in zip(scenes, found, strict=True):
        assert scene.objects is not None, scene.name
        order = _counted(guesses)
        labels = guesses.labels[order]
        own, ignored = scene.objects.labels, scene.objects.ignored
        overlap = _overlaps(scene, guesses.of(order), classes, kind)  # (d, g)
        same = labels[:, None] == own[None]
        matched = _matched(np.where(same, overlap, 0.0), ignored, scene.objects.crowds)
        number = np.where(ignored, -1, things + np.cumsum(~ignored) - 1)  # of each object
        counts = (matched < 0) | ~np.append(ignored, False)[matched]  # what an ignored one takes
        kinds, aims = _kinds(overlap * ~ignored, same)
        kinds[matched >= 0] = -1
        aims = np.where((kinds == CLASS) | (kinds == PLACE), aims, -1)
        numbers = np.append(number, -1)
        rows = (labels, guesses.scores[order], numbers[matched], kinds, numbers[aims])
        parts.append(tuple(row[counts] for row in rows))
        place = np.where(counts, detections + np.cumsum(counts) - 1, -1)
        d, g = np.nonzero((overlap >= FOUND) & ~same & ~ignored & counts[:, None])
        others.append(np.stack([place[d], number[g], -overlap[d, g]], 1))
        truth.append(own[~ignored])
        detections += int(counts.sum())
        things += len(truth[-1])
    columns = [np.concatenate([*each]) for each in zip(*parts, strict=True)] or [np.zeros(0)] * 5
    order = np.argsort(-columns[1], kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    pairs = np.concatenate(others)
    first = rank[pairs[:, 0].astype(np.int64)]
    sort = np.lexsort((pairs[:, 2], first))
    labels, matched, kinds, aims = (columns[i][order].astype(np.int64) for i in (0, 2, 3, 4))
    return Mistakes(
        classes=tuple(classes),
        labels=labels,
        scores=columns[1][order],
        matched=matched,
        kinds=kinds,
        aims=aims,
        truth=np.concatenate(truth),
        others=np.stack([first, pairs[:, 1].astype(np.int64)], 1)[sort],
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
