"""From images to logits, and from logits to scores: error, calibration, classes, mistakes.

The headline figures are percent, as in the paper's Tables 1-4. Everything else is a fraction of 1,
as in scikit-learn and torchmetrics.
"""

# N images · C classes

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from rich.table import Table
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from res2net.card import ModelCard
from res2net.data.dataset import ImageDataset, batched
from res2net.data.labelled import LabelledImages, Split
from res2net.data.loader import default_workers, make_loader
from res2net.data.photo import shown
from res2net.data.preprocess import Preprocess
from res2net.data.transforms import crops_transform, eval_transform
from res2net.drawing.canvas import Picture
from res2net.errors import UserError, counted
from res2net.models.network import Network
from res2net.tasks.classify.multilabel import MultiLabelScores
from res2net.tasks.classify.multilabel import measure as measure_labels
from res2net.tasks.classify.pictures import (
    draw_calibration,
    draw_confusion,
    draw_mistakes,
    draw_precision_recall,
)
from res2net.tasks.classify.report import (
    accuracies,
    evaluation_table,
    further,
    report,
    save_tables,
)
from res2net.tasks.network import Deployed, in_use, ready
from res2net.tasks.scores import Comparable, Ended, Figures, Measuring, Resampled, known

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BINS = 15  # equal-width bins of confidence (Guo et al. 2017)
_CHUNK = 1024  # images turned to float64 at once: 8 MB a copy at 1,000 classes


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one class is separated from the others; None is undefined, not 0."""

    name: str
    support: int  # images of this class
    precision: float | None  # 0..1, of the images predicted as this class; None if there is none
    recall: float | None  # 0..1, of the images of this class; None if there is none
    f1: float | None  # 0..1, harmonic mean of both; None without images of this class


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """One kind of mistake."""

    true: str  # class name
    predicted: str  # class name
    count: int  # images
    share: float  # 0..1, of the images of the true class


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One misclassified image."""

    index: int  # row of the logits
    true: str  # class name
    predicted: str  # class name
    confidence: float  # 0..1, probability of the predicted class
    true_probability: float  # 0..1, probability of the true class


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The predictions whose confidence lies in [lower, upper)."""

    lower: float  # 0..1
    upper: float  # 0..1; the last bin holds confidence 1 too
    count: int  # images
    confidence: float | None  # 0..1, mean; None in an empty bin
    accuracy: float | None  # 0..1; None in an empty bin


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifyScores(Comparable):
    """All scores of the logits of a data set. Made by ``score``."""

    by_image = "loss"

    classes: tuple[str, ...]  # C names
    top_k: int  # min(5, C): k of "top-5" here; with 5 classes or fewer always correct
    top1_accuracy: float  # percent
    top5_accuracy: float  # percent
    top1_error: float  # percent
    top5_error: float  # percent
    balanced_accuracy: float  # percent, mean recall of the classes that have images
    loss: float  # nats, mean negative log-likelihood (no label smoothing, no class weights)
    calibration_error: float  # 0..1, expected calibration error
    bins: tuple[ReliabilityBin, ...]  # BINS of them
    per_class: tuple[ClassScore, ...]  # C, in the order of classes
    targets: Ints  # (N,) true class
    predicted: Ints  # (N,) most probable class
    confidence: Floats  # (N,) 0..1, probability of the predicted class
    true_probability: Floats  # (N,) 0..1, probability of the true class
    found: PerImage
    names: Sequence[str] = ()  # N files, if they are known
    pixels: Callable[[int], Picture] | None = None  # row of the logits → uint8 (S, S, 3)

    @property
    def confusion(self) -> Ints:
        """(C, C) images, rows true, columns predicted; 800 MB for 10,000 classes."""
        labels = np.arange(len(self.classes))
        return np.asarray(confusion_matrix(self.targets, self.predicted, labels=labels), np.int64)

    @property
    def headline(self) -> str:
        return f"top-1 error {self.top1_error:.2f} %, accuracy {self.top1_accuracy:.2f} %"

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        errors = [(f"{name} error", error) for name, error, _ in accuracies(self)]
        return [("images measured", f"{self.images:,}"), *errors, *further(self)]

    def tables(self) -> tuple[Table, ...]:
        """Summary, classes (the worst 20 at most) and most confused pairs."""
        return evaluation_table(self)

    def write(self, folder: Path) -> tuple[str, ...]:
        """``per_class.csv``, ``images.csv``, ``mistakes.csv`` and pictures."""
        save_tables(folder, self)
        draw_confusion(self, folder / "confusion.png")
        draw_calibration(self, folder / "calibration.png")
        curves = draw_precision_recall(self, folder / "precision_recall.png")
        if self.pixels is not None:
            draw_mistakes(self, self.pixels, folder / "mistakes.png", names=self.names)
        own = ("precision_recall.png",) * curves
        return "confusion.png", "calibration.png", *own, "mistakes.png"

    def report(self, end: Ended) -> str:
        """The page of a run: Markdown."""
        return report(self, end)

    def confused_pairs(self, n: int = 10) -> list[ConfusedPair]:
        """The ``n`` most frequent kinds of mistake, ties by their share of the true class."""
        wrong = self.predicted != self.targets
        kinds = self.targets[wrong] * len(self.classes) + self.predicted[wrong]
        kinds, counts = np.unique(kinds, return_counts=True)
        rows, columns = np.divmod(kinds, len(self.classes))
        shares = counts / np.bincount(self.targets)[rows]
        order = np.lexsort((-shares, -counts))[:n]
        return [
            ConfusedPair(
                true=self.classes[rows[i]],
                predicted=self.classes[columns[i]],
                count=int(counts[i]),
                share=float(shares[i]),
            )
            for i in order
        ]

    def mistakes(self, n: int | None = None) -> list[Mistake]:
        """The ``n`` worst mistakes (all by default), the most confident first."""
        wrong = np.flatnonzero(self.predicted != self.targets)
        order = np.argsort(-self.confidence[wrong], kind="stable")
        return [
            Mistake(
                index=int(i),
                true=self.classes[self.targets[i]],
                predicted=self.classes[self.predicted[i]],
                confidence=float(self.confidence[i]),
                true_probability=float(self.true_probability[i]),
            )
            for i in wrong[order][:n]
        ]

    def summary(self) -> dict[str, float]:
        """The scalar scores as (name, value) pairs, for logger, CSV and JSON."""
        return {
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "top1_accuracy": self.top1_accuracy,
            "top5_accuracy": self.top5_accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "loss": self.loss,
            "calibration_error": self.calibration_error,
        }

    def resampled(self) -> Resampled:
        """As in ``Comparable``; for a class, its recall in percent."""

        def over(chosen: npt.NDArray[np.int64]) -> Figures:
            scores = scored(PerImage._make(each[chosen] for each in self.found), self.classes)
            recalls = [None if c.recall is None else 100 * c.recall for c in scores.per_class]
            return Figures(scores.summary(), known(self.classes, recalls))

        return over

    def as_dict(self) -> dict[str, Any]:
        """The scores in plain JSON types: ``summary()``, bins, classes, most confused pairs."""
        return {
            "count": self.images,
            "top_k": self.top_k,
            **self.summary(),
            "bins": [asdict(each) for each in self.bins],
            "per_class": [asdict(each) for each in self.per_class],
            "confused_pairs": [asdict(each) for each in self.confused_pairs()],
        }


def measure(
    model: Network | Deployed,
    card: ModelCard,
    images: LabelledImages,  # noqa: ARG001  passed to every task
    part: Split,
    how: Measuring,
) -> ClassifyScores | MultiLabelScores:
    """Scores over the images of a split.

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    if card.multi_label:
        return measure_labels(outputs(model, part, card.preprocess, how), card, part, how)
    preprocess = card.preprocess
    found, seen = run_over(model, part, preprocess, how)
    dataset = _dataset(part, preprocess)

    def pixels(index: int) -> Picture:
        image: Tensor = dataset[int(seen[index])][0]
        return shown(image.permute(1, 2, 0).numpy())

    names = [part.names(i) for i in seen.tolist()]
    return replace(scored(found, card.classes), rows=seen.tolist(), names=names, pixels=pixels)


def run_over(
    model: Network | Deployed, split: Split, preprocess: Preprocess, how: Measuring
) -> tuple[PerImage, Tensor]:
    """The kept results of a split's images in order, and their indices (N,).

    Unreadable images that are skipped are missing.
    """
    batches = outputs(model, split, preprocess, how)
    kept, seen = zip(*((per_image(x, labels), seen) for x, labels, seen in batches), strict=True)
    return PerImage(*map(np.concatenate, zip(*kept, strict=True))), torch.cat(seen)


def outputs(
    model: Network | Deployed, split: Split, preprocess: Preprocess, how: Measuring
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Logits (B, C), labels and indices (B,), batch by batch.

    Of several views of an image these are logits of the mean probabilities.

    Raises:
        UserError: a file that cannot be read (unless left out), nothing to measure, or corners
            where the network takes all of the short side.
    """
    if how.crops > 1 and preprocess.resize <= preprocess.size:
        raise UserError(
            f"--crops {how.crops}: images are resized to {preprocess.resize} pixels, which the "
            "network takes whole; leave it out"
        )
    ready(model)
    net = in_use(model, preprocess, how.precision)
    loader = make_loader(
        _dataset(split, preprocess, skip_bad=how.skip_bad, crops=how.crops),
        batched,
        batch=how.batch,
        shuffle=False,
        workers=default_workers() if how.workers is None else how.workers,
    )
    batches: Any = islice(loader, how.limit)
    count = len(loader) if how.limit is None else min(how.limit, len(loader))
    if not count:
        raise UserError(_NOTHING)
    if how.track:
        batches = how.track(batches, count, "evaluating")
    for images, labels, seen in batches:
        if how.crops == 1 and not how.flip:
            yield net(images), labels, seen
            continue
        views = images.transpose(0, 1) if how.crops > 1 else images[None]  # (V, B, C, S, S)
        views = torch.cat([views, views.flip(-1)]) if how.flip else views
        yield averaged([net(each) for each in views], several=labels.ndim == 2), labels, seen


def averaged(logits: Sequence[Tensor], *, several: bool) -> Tensor:
    """Logits of the mean probabilities of views: V times (B, C) → float64 (B, C).

    Args:
        several: an image has any number of classes, so probabilities are sigmoids.
    """
    each = torch.stack([view.double() for view in logits])
    if several:
        return torch.logit(each.sigmoid().mean(0))
    return each.log_softmax(-1).logsumexp(0) - math.log(len(each))


_NOTHING = "there are no images to evaluate; check the folder given with --data"


class PerImage(NamedTuple):
    """The inputs of the scores for N images; their logits would take C times as much memory."""

    targets: Ints  # (N,) true class
    rank: Ints  # (N,) rank of the true class, 0 is best
    predicted: Ints  # (N,) most probable class
    confidence: Floats  # (N,) 0..1, probability of the predicted class
    log_likelihood: Floats  # (N,) log of the probability of the true class
    finite: npt.NDArray[np.bool_]  # (N,) whether all logits are finite


def _dataset(
    split: Split, preprocess: Preprocess, *, skip_bad: bool = False, crops: int = 1
) -> ImageDataset:
    """The images of a split as network inputs."""
    return ImageDataset(
        split,
        eval_transform(preprocess) if crops == 1 else crops_transform(preprocess),
        min_side=preprocess.decode_side,
        skip_bad=skip_bad,
        reading=preprocess.reading,
    )


def score(logits: Tensor, targets: Tensor, classes: Sequence[str]) -> ClassifyScores:
    """Score the network's output on a whole data set.

    Args:
        logits: (N, C) floating point, before the softmax, on any device.
        targets: (N,) int64, the true class of each image, 0 to C-1.
        classes: C names.

    Equal logits rank in the order of the classes, so the scores are the same on every device.

    Raises:
        UserError: no images, a target or a number of names that does not fit the network, or
            logits that are not finite.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} must be (N, C), (N,)"
        )
    if len(logits) == 0:
        raise UserError(_NOTHING)
    if logits.shape[1] != len(classes):
        raise UserError(
            f"the network predicts {counted(logits.shape[1], 'class')}, the data have "
            f"{len(classes)}; "
            "evaluate on data with the classes it was trained on"
        )
    return scored(per_image(logits, targets), classes)


def scored(found: PerImage, classes: Sequence[str]) -> ClassifyScores:
    """The scores of images of a data set.

    Raises:
        UserError: logits that were not finite.
    """
    true, rank, predicted, confidence, log_likelihood, finite = found
    if not finite.all():
        raise UserError(
            f"the network outputs NaN or infinite scores for {int((~finite).sum())} of "
            f"{len(finite)} images (the first is image {int(np.flatnonzero(~finite)[0])}); "
            "use an earlier checkpoint, or evaluate in float32"
        )
    correct = rank == 0
    top_k = min(5, len(classes))
    top1, top5 = int(correct.sum()), int((rank < top_k).sum())  # images
    per_class = _per_class(true, predicted, classes)
    recalls = [each.recall for each in per_class if each.recall is not None]
    return ClassifyScores(
        images=len(true),
        classes=tuple(classes),
        top_k=top_k,
        top1_accuracy=100 * top1 / len(true),
        top5_accuracy=100 * top5 / len(true),
        top1_error=100 * (len(true) - top1) / len(true),
        top5_error=100 * (len(true) - top5) / len(true),
        balanced_accuracy=100 * float(np.mean(recalls)),
        loss=-float(log_likelihood.mean()),
        calibration_error=_calibration_error(confidence, correct),
        bins=_bins(confidence, correct),
        per_class=per_class,
        targets=true,
        predicted=predicted,
        confidence=confidence,
        true_probability=np.exp(log_likelihood),
        found=found,
    )


def per_image(logits: Tensor, targets: Tensor) -> PerImage:
    """The kept results of a batch.

    Raises:
        UserError: a target that the network does not have.
    """
    outside = (targets < 0) | (targets >= logits.shape[1])
    if outside.any():
        i = int(outside.nonzero()[0])
        raise UserError(
            f"image {i} has label {int(targets[i])}, but the network's classes are numbered "
            f"0 to {logits.shape[1] - 1}; correct the labels"
        )
    parts = zip(torch.split(logits.detach(), _CHUNK), torch.split(targets, _CHUNK), strict=True)
    kept = [_per_image(rows.cpu().double(), true.cpu()) for rows, true in parts]
    return PerImage(*map(np.concatenate, zip(*kept, strict=True)))


def _per_image(scores: Tensor, targets: Tensor) -> PerImage:
    """Ranks of the true classes from float64 (n, C); equal scores rank in the order of classes."""
    true = targets[:, None]  # (n, 1)
    true_score = scores.gather(1, true)
    earlier = torch.arange(scores.shape[1]) < true
    ahead = (scores > true_score) | ((scores == true_score) & earlier)  # (n, C)
    best = scores.argmax(dim=1, keepdim=True)  # (n, 1), the first of equals
    log_p = scores.log_softmax(dim=1)
    return PerImage(
        targets=targets.numpy(),
        rank=ahead.sum(dim=1).numpy(),
        predicted=best[:, 0].numpy(),
        confidence=log_p.gather(1, best)[:, 0].exp().numpy(),
        log_likelihood=log_p.gather(1, true)[:, 0].numpy(),
        finite=scores.isfinite().all(dim=1).numpy(),
    )


def _per_class(true: Ints, predicted: Ints, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=np.arange(len(classes)), zero_division=np.nan
    )
    guessed = np.bincount(predicted, minlength=len(classes))
    return tuple(
        ClassScore(
            name=name,
            support=int(support[i]),
            precision=float(precision[i]) if support[i] and guessed[i] else None,
            recall=float(recall[i]) if support[i] else None,
            f1=float(f1[i]) if support[i] else None,
        )
        for i, name in enumerate(classes)
    )


def _calibration_error(confidence: Floats, correct: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error of the predicted class, 0..1."""
    # torchmetrics has a 16th bin for confidence 1.0 exactly: step below it
    below_one = torch.from_numpy(confidence).clamp(max=np.nextafter(1.0, 0.0))
    return float(binary_calibration_error(below_one, torch.from_numpy(correct).int(), n_bins=BINS))


def _bins(confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    edges = np.linspace(0, 1, BINS + 1)
    bin_of = np.minimum(np.searchsorted(edges, confidence, side="right") - 1, BINS - 1)  # (N,)
    members = [bin_of == i for i in range(BINS)]
    return tuple(
        ReliabilityBin(
            lower=float(edges[i]),
            upper=float(edges[i + 1]),
            count=int(inside.sum()),
            confidence=float(confidence[inside].mean()) if inside.any() else None,
            accuracy=float(correct[inside].mean()) if inside.any() else None,
        )
        for i, inside in enumerate(members)
    )
