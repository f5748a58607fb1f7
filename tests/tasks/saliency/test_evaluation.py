"""What is reported where nothing is salient: no perfect score on nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from res2net.data.scene import Scene, Scenes
from res2net.models.card import ModelCard
from res2net.tasks.saliency import evaluation


def measured(monkeypatch: pytest.MonkeyPatch, values: list[int]) -> evaluation.DssScores:
    """Scores of a network that finds nothing, over maps of one value each."""
    monkeypatch.setattr(evaluation, "ready", lambda _: None)
    empty = torch.zeros(8, 8, dtype=torch.uint8)
    monkeypatch.setattr(evaluation, "saliency_of", lambda *_, **__: empty)
    part = [
        Scene(
            name=str(i),
            image=np.zeros((8, 8, 3), np.uint8),
            salient=np.full((8, 8), value, np.uint8),
        )
        for i, value in enumerate(values)
    ]
    images = Scenes(name="x", classes=("background", "salient"), train=(), val=part)
    card: Any = ModelCard.__new__(ModelCard)
    object.__setattr__(card, "preprocess", None)
    model: Any = None
    return evaluation.measure(model, card, images, part)


def test_nothing_salient_has_no_f_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="nothing is salient in any map that was measured"):
        scores = measured(monkeypatch, [0, 0])
    assert scores.headline == "no F-measure, MAE 0.000"
    assert "max_f" not in scores.summary()
    assert scores.table()[0][1] == "nothing is salient"
    scores.write(tmp_path)


def test_one_salient_map_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = measured(monkeypatch, [0, 255])
    assert scores.summary()["max_f"] < 0.9
