"""The scores of a multi-label network: AP, F1 and threshold of each class.

Average precision needs no threshold. The threshold of a class is the one with the best F1 on the
validation part of the training; it is stored with the run, so that every later use predicts the
same classes. Figures in percent. N images · C classes
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.labelled import Split
from res2net.errors import UserError, counted
from res2net.tasks import pictures
from res2net.tasks.losses import of_labels
from res2net.tasks.scores import (
    Comparable,
    Figures,
    Measuring,
    Resampled,
    known,
    percent,
    write_table,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
USUAL = 0.5  # threshold of a class without an image to find it on


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiLabelScores(Comparable):
    """The results of a measurement."""

    by_image = "loss"

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]  # (C,)
    targets: Ints  # (N, C) of 0 and 1
    probabilities: Floats  # (N, C)
    names: Sequence[str]  # (N,) names of the images

    @property
    def headline(self) -> str:
        figures = self.summary()
        return f"mAP {percent(figures.get('map'))}, micro F1 {percent(figures.get('micro_f1'))}"

    @property
    def marks(self) -> dict[str, Any]:
        """The thresholds, which a card stores."""
        return {"thresholds": list(self.thresholds)}

    def summary(self) -> dict[str, float]:
        """In percent, except the loss."""
        return self._figures(np.arange(len(self.targets))).values

    def resampled(self) -> Resampled:
        """As in ``Comparable``; for a class, its average precision."""
        return self._figures

    def _figures(self, chosen: npt.NDArray[np.int64]) -> Figures:
        true, p = self.targets[chosen], self.probabilities[chosen]
        found = p >= self.thresholds
        right, wanted, taken = (true * found).sum(0), true.sum(0), found.sum(0)
        f1 = [2 * r / (w + t) for r, w, t in zip(right, wanted, taken, strict=True) if w]
        each = average_precisions(true, p)
        precisions = [ap for ap in each if ap is not None]
        figures: dict[str, float | None] = {
            "map": float(np.mean(precisions)) if precisions else None,
            "micro_f1": 100 * float(2 * right.sum() / max(1, wanted.sum() + taken.sum())),
            "macro_f1": 100 * float(np.mean(f1)) if f1 else None,
            "exact_match": 100 * float((found == true).all(1).mean()),
            "loss": _loss(true, p),
        }
        return Figures(
            {name: value for name, value in figures.items() if value is not None},
            known(self.classes, each),
        )

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        figures = self.summary()
        words = {
            "map": "mean average precision",
            "micro_f1": "micro F1, at the thresholds",
            "macro_f1": "macro F1, at the thresholds",
            "exact_match": "images with exactly their classes",
        }
        rows = [("images measured", f"{self.images:,}")]
        rows += [(text, percent(figures.get(name))) for name, text in words.items()]
        rows.append(("loss (binary cross entropy)", f"{figures['loss']:.4f}"))
        each = average_precisions(self.targets, self.probabilities)
        return rows + [
            (f"AP of {name}", percent(ap)) for name, ap in zip(self.classes, each, strict=True)
        ]

    def write(self, folder: Path) -> tuple[str, ...]:
        """``per_class.csv``, ``images.csv``, ``precision_recall.csv`` and their picture."""
        found = self.probabilities >= self.thresholds
        right, taken = (self.targets * found).sum(0), found.sum(0)
        wanted = self.targets.sum(0)
        each = average_precisions(self.targets, self.probabilities)
        columns = ("class", "images", "threshold", "ap_percent", "precision", "recall", "f1")
        rows = zip(self.classes, wanted.tolist(), self.thresholds, each, strict=True)
        write_table(
            folder / "per_class.csv",
            columns,
            [
                (*row, _share(r, t), _share(r, w), _share(2 * r, w + t))
                for row, r, t, w in zip(rows, right, taken, wanted, strict=True)
            ],
        )
        write_table(
            folder / "images.csv",
            ("image", "labels", *self.classes),
            [
                (name, ";".join(self.classes[k] for k in np.flatnonzero(true)), *p)
                for name, true, p in zip(
                    self.names, self.targets, self.probabilities.tolist(), strict=True
                )
            ],
        )
        curves = [
            (name, precision_recall_curve(self.targets[:, k], self.probabilities[:, k]))
            for k, name in enumerate(self.classes)
            if wanted[k]
        ]
        write_table(
            folder / "precision_recall.csv",
            ("class", "threshold", "precision", "recall"),
            [
                (name, float(t), float(p), float(r))
                for name, (precision, recall, thresholds) in curves
                for t, p, r in zip(thresholds, precision, recall, strict=False)
            ],
        )
        shown = sorted(curves, key=lambda curve: each[self.classes.index(curve[0])] or 0)
        shown = shown[: pictures.MOST_CURVES]
        subtitle = f"{self.headline}; the {counted(len(shown), 'class')} of the lowest AP"
        drawn = [(name, t[::-1], p[-2::-1], r[-2::-1]) for name, (p, r, t) in shown]
        path = folder / "precision_recall.png"
        pictures.draw_thresholds(drawn, self.classes, subtitle, path)
        return ("precision_recall.png",)


def measure(
    outputs: Iterable[tuple[Tensor, Tensor, Tensor]], card: ModelCard, part: Split, how: Measuring
) -> MultiLabelScores:
    """Scores over the images of a split, at the card's thresholds or those found here.

    Args:
        outputs: logits (B, C), labels and indices (B,) of its images, batch by batch.

    Raises:
        UserError: the network outputs NaN.
    """
    rows: list[int] = []
    found: list[Floats] = []
    for logits, _, seen in outputs:
        found.append(logits.double().sigmoid().cpu().numpy())
        rows += seen.tolist()
    probabilities, targets = np.concatenate(found), part.labels[rows]
    if not np.isfinite(probabilities).all():
        raise UserError("the network outputs NaN; use an earlier checkpoint, or --precision fp32")
    thresholds = best_thresholds(targets, probabilities) if how.thresholds else card.thresholds
    return MultiLabelScores(
        images=len(rows),
        rows=rows,
        classes=card.classes,
        thresholds=tuple(thresholds),
        targets=targets,
        probabilities=probabilities,
        names=[part.names(i) for i in rows],
    )


def average_precisions(targets: Ints, probabilities: Floats) -> list[float | None]:
    """Average precision of each class, in percent; None for a class without an image."""
    return [
        100 * float(average_precision_score(targets[:, k], probabilities[:, k]))
        if targets[:, k].any()
        else None
        for k in range(targets.shape[1])
    ]


def best_thresholds(targets: Ints, probabilities: Floats) -> list[float]:
    """The probability threshold of each class with the best F1.

    It lies half way to the next lower probability, and the highest of equal ones is used; 0.5 for
    a class without an image.
    """
    return [
        _best(t, p) if t.any() else USUAL for t, p in zip(targets.T, probabilities.T, strict=True)
    ]


def _best(true: Ints, p: Floats) -> float:
    levels = np.unique(p)[::-1]  # highest first
    order = np.argsort(-p, kind="stable")
    taken = np.searchsorted(-p[order], -levels, side="right")  # with at least this probability
    right = np.cumsum(true[order])[taken - 1]
    best = int(np.argmax(2 * right / (taken + true.sum())))
    below = levels[best + 1] if best + 1 < len(levels) else 0.0
    return float((levels[best] + below) / 2)


def _loss(targets: Ints, probabilities: Floats) -> float:
    p = torch.from_numpy(probabilities).clamp(1e-12, 1 - 1e-12)
    goal = torch.from_numpy(targets).double()
    return float(of_labels(torch.logit(p), goal, "cross_entropy", None))


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
