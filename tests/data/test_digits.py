"""The digits of scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from res2net.data.digits import read
from res2net.data.labelled import ReadOptions


def test_digits() -> None:
    data = read(Path(), ReadOptions())
    assert data.classes == tuple("0123456789")
    assert data.native_size == 8
    assert len(data.train) + len(data.val) == 1797
    assert data.class_counts().min() > 135
    for part in (data.train, data.val):
        assert isinstance(part.images, np.ndarray)
        assert part.images.shape == (len(part), 8, 8, 3)
        assert part.images.dtype == np.uint8
        assert (part.images.min(), part.images.max()) == (0, 255)
        assert (part.images[..., 0] == part.images[..., 2]).all()


def test_an_image_has_one_name_in_all_folds_and_parts() -> None:
    names: list[str] = []
    for fold in ("1/3", "2/3", "3/3"):
        data = read(Path(), ReadOptions(fold=fold))
        names += [data.val.names(i) for i in range(len(data.val))]
        every = data.everything
        assert every.names(len(data.train) + 5) == data.val.names(5)
        kept = data.val.of(np.array([5]))
        assert (kept.names(0), kept.images[0].tolist()) == (
            data.val.names(5),
            every.images[len(data.train) + 5].tolist(),
        )
    assert len(names) == len({*names}) == 1797


def test_split_follows_the_seed() -> None:
    first, again = (read(Path(), ReadOptions(seed=3)).val.images for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, read(Path(), ReadOptions(seed=4)).val.images)
