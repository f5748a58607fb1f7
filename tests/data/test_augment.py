"""Augmentation as data."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

from res2net.data.augment import Augment


@pytest.mark.parametrize(
    "change",
    [
        {"crop": "five"},
        {"crop_scale": 0.0},
        {"crop_scale": 1.1},
        {"pad": -1},
        {"hflip": 1.5},
        {"color_jitter": -0.1},
        {"randaugment": -1},
        {"randaugment_magnitude": 31},
        {"random_erasing": -0.5},
        {"mixup": -1.0},
        {"cutmix": float("nan")},
    ],
)
def test_out_of_range(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=f"^{name} is ") as caught:
        Augment(**change)
    assert "\n" not in str(caught.value)


def test_every_field_is_explained() -> None:
    lines = inspect.getsource(Augment).splitlines()
    for field in fields(Augment):
        assert any(f"    {field.name}: " in line and "  # " in line for line in lines)
