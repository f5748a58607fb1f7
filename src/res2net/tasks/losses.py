"""Losses other than plain cross entropy, each from its definition, and class weights.

Legend: B batch · N classes · P pixels that count
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from res2net.config import NO_WEIGHTS, RunConfig, weights_by_name
from res2net.data.scene import IGNORED, Scenes
from res2net.data.scenes.mapfile import pixel_counts
from res2net.data.scenes.options import Marks
from res2net.errors import UserError, did_you_mean

SURE = 0.7  # OHEM: pixels whose true class is less likely than this count
LEAST = 16  # OHEM: the hardest of this many pixels always counts
FOCUS = 2  # exponent of the focal loss (Lin et al. 2017)
NEGATIVES, MARGIN = 4, 0.05  # exponent and shift of negatives (asymmetric, Ridnik et al. 2021)


def class_weights(
    given: str, classes: Sequence[str], counts: Callable[[], Tensor]
) -> Tensor | None:
    """The factor of each class in the cross entropy: (N,); None: all equal.

    Args:
        given: none, balanced (n / (N · count)) or numbers by name, where the others have 1.
        counts: returns the images or pixels of each class of the training part, int64 (N,).

    Raises:
        UserError: an unknown class; the message suggests the nearest.
    """
    if given == NO_WEIGHTS:
        return None
    if given == "balanced":
        held = counts()
        return held.sum() / (len(held) * held.clamp(min=1))
    by_name = weights_by_name(given)
    for name in by_name:
        if name not in classes:
            raise UserError(
                f"--train.class-weights names {name!r}, which is not a class of the data."
                f"{did_you_mean(name, classes)}"
            )
    return torch.tensor([by_name.get(name, 1.0) for name in classes])


def pixel_weights(
    config: RunConfig, images: Scenes, marks: Marks, classes: Sequence[str]
) -> Tensor | None:
    """``class_weights`` for the pixels of class maps, or for non-salient and salient pixels."""

    def counts() -> Tensor:
        return torch.from_numpy(pixel_counts(images.train, marks, len(classes), images.legend))

    return class_weights(config.train.class_weights, classes, counts)


def of_pixels(logits: Tensor, maps: Tensor, loss: str, weights: Tensor | None) -> Tensor:
    """The loss of a batch of maps, as the options of a run choose it.

    Cross entropy, optionally plus Dice or Lovász, or over the hardest pixels alone (OHEM).

    Args:
        logits: float (B, N, H, W).
        maps: int64 (B, H, W); pixels of 255 do not count.
        loss: as for --train.loss.
        weights: class weights of the cross entropy, (N,).
    """
    counting = maps != IGNORED
    each = F.cross_entropy(logits, maps, ignore_index=IGNORED, reduction="none")  # (B, H, W)
    factor = counting.float()
    if weights is not None:
        factor = factor * weights[maps.where(counting, 0)]
    if loss == "ohem":
        factor = factor * hardest(each.detach(), counting)
    mean = (factor * each).sum() / factor.sum().clamp(min=torch.finfo(factor.dtype).tiny)
    if loss not in ("dice", "lovasz") or not bool(counting.any()):
        return mean
    shares = logits.softmax(1).movedim(1, -1)[counting]  # (P, N)
    return mean + {"dice": dice, "lovasz": lovasz}[loss](shares, maps[counting])


def hardest(loss: Tensor, counting: Tensor) -> Tensor:
    """Online hard example mining: pixels less likely than 0.7, and the hardest 16th of all.

    Args:
        loss: -log p of the true class, any shape.
        counting: which pixels count, of the same shape.
    """
    least = int(counting.sum()) // LEAST
    bound = torch.full((), -math.log(SURE), device=loss.device)
    if least:
        bound = bound.minimum(loss[counting].topk(least).values[-1])
    return counting & (loss >= bound)


def dice(shares: Tensor, true: Tensor) -> Tensor:
    """1 - mean of 2 |A ∩ B| / (|A| + |B|) over the classes that are present, with probabilities.

    The soft Dice coefficient of Milletari et al. 2016, its sums taken over the whole batch.

    Args:
        shares: probabilities (P, N).
        true: classes int64 (P,).
    """
    wanted = F.one_hot(true, shares.shape[1]).to(shares.dtype)
    there = wanted.sum(0)
    overlap = 2 * (shares * wanted).sum(0) / (shares.sum(0) + there)
    return 1 - overlap[there > 0].mean()


def lovasz(shares: Tensor, true: Tensor) -> Tensor:
    """Lovász-Softmax (Berman et al. 2018): the convex extension of 1 - IoU over pixels' errors.

    The mean over the classes that are present; with probabilities of 0 and 1 it is 1 - IoU.

    Args:
        shares: probabilities (P, N).
        true: classes int64 (P,).
    """
    losses = []
    for k in true.unique().tolist():
        wanted = (true == k).to(shares.dtype)
        errors, order = (wanted - shares[:, k]).abs().sort(descending=True, stable=True)
        wanted = wanted[order]
        missed, extra = wanted.cumsum(0), (1 - wanted).cumsum(0)
        loss = 1 - (wanted.sum() - missed) / (wanted.sum() + extra)  # first 1, 2, ... wrong
        steps = loss.diff(prepend=loss.new_zeros(1))
        losses.append((errors * steps).sum())
    return torch.stack(losses).mean()


def focal(logits: Tensor, goal: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of (1 - p)² · -log p of the true class; for a soft target, weighted by its shares.

    Args:
        logits: float (B, N).
        goal: shares of the classes, float (B, N).
        weights: class weights, (N,).
    """
    log_p = logits.log_softmax(1)
    each = goal * (1 - log_p.exp()) ** FOCUS * -log_p
    if weights is None:
        return each.sum(1).mean()
    return (each * weights).sum() / (goal * weights).sum()


def of_labels(logits: Tensor, goal: Tensor, loss: str, weights: Tensor | None) -> Tensor:
    """The mean over images and classes, for multi-label images.

    Binary cross entropy, its focal form, or the asymmetric loss, in which easy negatives count
    little and those below a probability of 0.05 not at all.

    Args:
        logits: float (B, N).
        goal: 1 for the classes of an image, else 0: float (B, N).
        weights: class weights of the positives, (N,).
    """
    p = logits.sigmoid()
    right, wrong = -F.logsigmoid(logits), -F.logsigmoid(-logits)  # -log p, -log(1 - p)
    if loss == "focal":
        right, wrong = (1 - p) ** FOCUS * right, p**FOCUS * wrong
    elif loss == "asymmetric":
        shifted = (p - MARGIN).clamp(min=0)
        wrong = shifted**NEGATIVES * -torch.log1p(-shifted)
    each = goal * (right if weights is None else right * weights) + (1 - goal) * wrong
    return each.mean()
