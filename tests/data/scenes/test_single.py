"""Scenes with one object each, for classification by size."""

from __future__ import annotations

import numpy as np
import pytest

from res2net.data.labelled import ReadOptions
from res2net.data.readers import read
from res2net.data.scenes import single
from res2net.data.source import parse_source


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(single, "TRAIN", 24)
    monkeypatch.setattr(single, "VAL", 28)


@pytest.mark.usefixtures("few")
def test_they_repeat_by_seed():
    one, two, other = (read(parse_source("scenes"), ReadOptions(seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.train.images, two.train.images)
    assert np.array_equal(one.val.labels, two.val.labels)
    assert not np.array_equal(one.train.images, other.train.images)
    assert one.train.images.shape == (24, 64, 64, 3)
    assert len(one.val) == 28
    assert set(one.train.labels) == set(range(len(one.classes)))


@pytest.mark.usefixtures("few")
def test_the_lengths_are_what_they_say(monkeypatch):
    seen = []
    made = single.generate

    def generate(index, seed, rules):
        scene = made(index, seed, rules)
        if scene.objects and index >= single.TRAIN:
            left, top, right, bottom = scene.objects.boxes[0]
            seen.append((single.length_of(index - single.TRAIN), max(right - left, bottom - top)))
        return scene

    monkeypatch.setattr(single, "generate", generate)
    read(parse_source("scenes"))
    assert sorted({length for length, _ in seen}) == sorted(single.LENGTHS)
    assert single.LENGTHS[0] == 8
    assert single.LENGTHS[-1] == pytest.approx(single.SIDE)
    for length, box in seen:
        assert 0.45 * length <= box <= 1.1 * length + 2  # cut at the edge, or turned
