"""Preprocessing as data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from res2net.data.preprocess import IMAGENET_STD, Preprocess, Reading, default_preprocess
from res2net.errors import UserError


@pytest.mark.parametrize(
    ("size", "native", "resize"),
    [
        (224, None, 256),
        (299, None, 342),
        (128, None, 146),
        (64, None, 64),
        (32, 32, 32),
        (96, 8, 96),
        (224, 32, 224),
        (224, 500, 256),
    ],
)
def test_margin(size: int, native: int | None, resize: int) -> None:
    preprocess = default_preprocess(size, native_size=native)
    assert (preprocess.size, preprocess.resize) == (size, resize)
    assert preprocess.std == IMAGENET_STD


def test_cifar_has_its_own_mean() -> None:
    mean = default_preprocess(32, cifar=True).mean
    assert mean == pytest.approx((0.4914, 0.4824, 0.4467), abs=1e-4)


def test_round_trip_through_json() -> None:
    preprocess = default_preprocess(224)
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.as_dict()))) == preprocess


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sise": 3}, "no key 'sise'. Did you mean 'size'"),
        ({"size": 0}, "size is 0"),
        ({"resize": 100}, "resize is 100; it must be at least size"),
        ({"std": [1, 1, 0]}, "above 0"),
        ({"mean": [1, 1]}, "a value for each channel"),
        ({"mean": 1}, "preprocess: "),
        ({"interpolation": "nearest"}, "choose from bilinear, bicubic"),
    ],
)
def test_faults(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Preprocess.from_dict({**default_preprocess(224).as_dict(), **change})


def test_missing_key() -> None:
    with pytest.raises(UserError, match="size"):
        Preprocess.from_dict({"resize": 3})


@pytest.mark.parametrize(("size", "side"), [(32, 512), (224, 512), (256, 586), (320, 732)])
def test_files_are_decoded_to_twice_what_is_needed(size: int, side: int) -> None:
    assert default_preprocess(size).decode_side == side


def test_range_and_channels_survive_the_way_through_json() -> None:
    grey = replace(default_preprocess(32), mean=(0.4,), std=(0.2,), range=(0.0, 4095.0))
    assert Preprocess.from_dict(json.loads(json.dumps(grey.as_dict()))) == grey
    assert grey.channels == 1
    assert grey.reading == Reading(1, (0.0, 4095.0))
    assert "range" not in default_preprocess(32).as_dict()  # as before there was one
    for wrong in ([5, 1], [1], [1, 1]):
        with pytest.raises(UserError, match="range is"):
            Preprocess.from_dict({**grey.as_dict(), "range": wrong})
