"""What is reported where nothing is salient, and the truth that maps are measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.data.scene import Scene, Scenes
from res2net.tasks.saliency import scores as evaluation
from res2net.tasks.scores import Measuring


def measured(
    monkeypatch: pytest.MonkeyPatch, maps: list[Any], side: int = 8
) -> evaluation.DssScores:
    """Scores of a network that finds nothing, over files of maps or maps of one value each."""
    monkeypatch.setattr(evaluation, "ready", lambda _: None)
    empty = torch.zeros(side, side, dtype=torch.uint8)
    monkeypatch.setattr(evaluation, "saliency_of", lambda *_, **__: empty)
    part = [
        Scene(
            name=str(i),
            image=np.zeros((side, side, 3), np.uint8),
            salient=each if isinstance(each, Path) else np.full((side, side), each, np.uint8),
        )
        for i, each in enumerate(maps)
    ]
    images = Scenes(name="x", classes=("background", "salient"), train=(), val=part)
    card: Any = ModelCard.__new__(ModelCard)
    object.__setattr__(card, "preprocess", default_preprocess(32))
    model: Any = None
    return evaluation.measure(model, card, images, part, Measuring())


def test_nothing_salient_has_no_f_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="no measured map has a salient pixel"):
        scores = measured(monkeypatch, [0, 0])
    assert scores.headline == "no F-measure, MAE 0.000"
    assert list(scores.summary()) == ["mae"]
    assert [figure for _, figure in scores.table()] == ["2", "nothing is salient", "0.0000"]
    scores.write(tmp_path)


def test_one_salient_map_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = measured(monkeypatch, [0, 255])
    assert scores.summary()["max_f"] < 0.9


def test_the_mean_absolute_error_takes_the_grey_values_of_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = np.repeat(np.array([[0, 100, 129, 200, 255]], np.uint8), 5, axis=0)
    Image.fromarray(grey).save(tmp_path / "a.png")
    scores = measured(monkeypatch, [tmp_path / "a.png"], side=5)
    assert scores.scores.mae == pytest.approx(grey.mean() / 255)


def test_the_legend_of_sizes_stands_below_them_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Any] = []
    savefig = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda f, *a, **k: (figures.append(f), savefig(f, *a, **k))[1]
    )
    found = measured(monkeypatch, [0, 255])
    evaluation.draw_scores(found.scores, found.by_size, tmp_path / "s.png")
    (figure,) = figures
    right = figure.axes[1]
    renderer = figure.canvas.get_renderer()
    box = right.get_legend().get_window_extent(renderer)
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "max F-measure",
        "mean absolute error",
    ]
    assert box.y0 > 0
    ticks = [label.get_window_extent(renderer) for label in right.get_xticklabels()]
    assert box.y1 < min(label.y0 for label in ticks)
