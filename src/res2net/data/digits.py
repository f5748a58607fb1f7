"""The 1,797 scanned digits (8x8) that ship inside scikit-learn: real data, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from res2net.data.labelled import LabelledImages, ReadOptions, Split, held_out


def read(_: Path, options: ReadOptions) -> LabelledImages:
    """The digits as uint8 RGB (N, 8, 8, 3), 17 grey levels scaled to 0..255, and split."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)  # (N, 8, 8), from 0..16
    images = np.repeat(grey[..., None], 3, axis=-1)  # (N, 8, 8, 3)
    labels = data.target.astype(np.int64)
    classes = tuple(str(name) for name in data.target_names)
    whole = Split(images=images, labels=labels)
    train, val = held_out(whole, options, classes=classes, where="digits")
    return LabelledImages(
        name="digits",
        classes=classes,
        train=train,
        val=val,
        native_size=8,
        validation="train",
    )
