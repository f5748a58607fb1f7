"""An exported network over a split's images, with training's own loader and preprocessing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from res2net.data.labelled import Split
from res2net.data.loader import default_workers, make_loader
from res2net.data.transforms import eval_transform
from res2net.errors import UserError
from res2net.runtime.session import Runtime
from res2net.tasks.classify.inference import Track


def run_deployed(
    runtime: Runtime,
    split: Split,
    *,
    batch: int = 64,
    workers: int | None = None,
    skip_bad: bool = False,
    track: Track | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n, N), classes (n,) and indices (n,) of a split's images in order.

    Raises:
        UserError: the artifact is not a classifier.
    """
    if runtime.artifact.card.task != "classify":
        raise UserError(f"{runtime.artifact.folder} gives maps, not classes; nothing to evaluate")
    loader = make_loader(
        split,
        eval_transform(runtime.preprocess),
        batch=batch,
        shuffle=False,
        seed=0,
        workers=default_workers() if workers is None else workers,
        min_side=runtime.preprocess.decode_side,
        skip_bad=skip_bad,
    )
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for images, labels, indices in track(loader, len(loader), "evaluating") if track else loader:
        pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())  # (B, S, S, 3)
        parts.append((torch.from_numpy(np.asarray(runtime(pixels))), labels, indices))
    logits, targets, seen = (torch.cat(column) for column in zip(*parts, strict=True))
    return logits, targets, seen
