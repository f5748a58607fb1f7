"""Curves, confusion matrix and calibration: that they show what the numbers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from res2net.drawing.canvas import WIDTH
from res2net.errors import UserError
from res2net.tasks.classify.pictures import (
    accepted,
    draw_calibration,
    draw_confusion,
    draw_precision_recall,
)
from res2net.tasks.classify.scores import ClassifyScores, score
from res2net.tasks.classify.task import CLASSIFY
from res2net.tasks.pictures import MOST_CURVES, draw_curves


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    found: list[Figure] = []
    savefig = Figure.savefig

    def listen(figure: Figure, *args: object, **options: object) -> None:
        savefig(figure, *args, **options)
        found.append(figure)

    monkeypatch.setattr(Figure, "savefig", listen)
    return found


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        shades = np.unique(np.asarray(picture.convert("L")))
        return picture.format == "PNG" and picture.width == WIDTH and len(shades) > 10


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(i),
            "train/loss": 3.0 / i,
            "val/loss": 3.2 / i,
            "val/top1_error": 80.0 / i,
            "val/top5_error": 40.0 / i,
            "lr": 0.1 / i,
            "seconds": 60.0,
        }
        for i in range(1, epochs + 1)
    ]


def simulated(images: int, classes: int, names: list[str] | None = None) -> ClassifyScores:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), targets] += 3
    return score(logits, targets, names or [f"class {i}" for i in range(classes)])


# ---- curves


@pytest.mark.parametrize("epochs", [1, 2, 30, 300])
def test_curves(tmp_path: Path, figures: list[Figure], epochs: int) -> None:
    draw_curves(history(epochs), CLASSIFY.curves, tmp_path / "c.png")
    assert is_picture(tmp_path / "c.png")
    shown = panels(figures[0])
    assert list(shown) == ["Loss", "Error", "Learning rate", "Seconds per epoch"]
    training, validation = shown["Loss"].lines
    assert list(training.get_xdata()) == list(range(1, epochs + 1))
    assert list(validation.get_ydata()) == [3.2 / i for i in range(1, epochs + 1)]
    assert (training.get_marker() == "o") == (epochs <= 20)
    label = f"validation, top-1 (best {80 / epochs:.2f} %, epoch {epochs})"
    assert label in texts(figures[0])


def test_one_epoch_is_one_tick(tmp_path: Path, figures: list[Figure]) -> None:
    draw_curves(history(1), CLASSIFY.curves, tmp_path / "c.png")
    for axes in figures[0].axes:
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_curves_with_holes(tmp_path: Path, figures: list[Figure]) -> None:
    rows: list[Any] = [
        {"epoch": "1", "train/loss": "2.5", "val/top1_error": ""},
        {"epoch": "2", "train/loss": "nan", "val/top1_error": "50"},
        {"epoch": "3", "train/loss": None, "val/top1_error": "40"},
        {"epoch": "4", "train/loss": 1.5},
    ]
    draw_curves(rows, CLASSIFY.curves, tmp_path / "c.png")
    shown = panels(figures[0])
    assert list(shown) == ["Loss", "Error"]
    (loss,) = shown["Loss"].lines
    assert list(loss.get_xdata()) == [1, 2, 4]
    np.testing.assert_equal(np.asarray(loss.get_ydata()), [2.5, np.nan, 1.5])
    assert "validation, top-1 (best 40.00 %, epoch 3)" in texts(figures[0])


@pytest.mark.parametrize("rows", [[], [{"epoch": 1.0}]])
def test_no_curves(tmp_path: Path, figures: list[Figure], rows: list[dict[str, float]]) -> None:
    draw_curves(rows, CLASSIFY.curves, tmp_path / "c.png")
    assert not figures[0].axes
    assert "no epoch recorded" in texts(figures[0])


# ---- confusion matrix


@pytest.mark.parametrize("classes", [2, 10, 20, 21, 50, 51, 100, 1000])
def test_confusion(tmp_path: Path, figures: list[Figure], classes: int) -> None:
    found = simulated(4000, classes)
    draw_confusion(found, tmp_path / "c.png")
    assert is_picture(tmp_path / "c.png")
    shown = figures[0].axes[0].get_images()[0].get_array()
    assert shown is not None
    np.testing.assert_allclose(shown.sum(axis=1).compressed(), 1)
    written = texts(figures[0])
    assert (str(found.confusion.max()) in written) == (classes <= 20)  # the counts
    assert ("class 0" in written) == (
        classes <= 50 or found.confused_pairs(11)[0].true == "class 0"
    )
    assert ("Most confused" in written) == (classes > 50)
    if classes > 50:
        worst = found.confused_pairs(1)[0]
        assert worst.true in written
        assert f"→ {worst.predicted}" in written


def test_cells_hold_counts_and_colours_hold_shares(tmp_path: Path, figures: list[Figure]) -> None:
    predicted = torch.tensor([0] * 30 + [1] * 10 + [1] * 7)
    targets = torch.tensor([0] * 40 + [1] * 7)
    draw_confusion(score(9.0 * torch.eye(2)[predicted], targets, ["a", "b"]), tmp_path / "c.png")
    axes = figures[0].axes[0]
    np.testing.assert_allclose(axes.get_images()[0].get_array(), [[0.75, 0.25], [0, 1]])
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "30", (1, 0): "10", (1, 1): "7"}


def test_a_class_without_images_is_grey(tmp_path: Path, figures: list[Figure]) -> None:
    found = score(9.0 * torch.eye(3)[[0, 2]], torch.tensor([0, 2]), ["a", "b", "c"])
    draw_confusion(found, tmp_path / "c.png")
    shown = figures[0].axes[0].get_images()[0].get_array()
    assert np.ma.getmaskarray(shown).all(axis=1).tolist() == [False, True, False]
    assert any("classes without images (1)" in text for text in texts(figures[0]))


def test_dollars_are_no_formula(tmp_path: Path, figures: list[Figure]) -> None:
    draw_confusion(simulated(10, 2, [r"$\bad{$", "b"]), tmp_path / "c.png")
    assert r"\$\bad{\$" in texts(figures[0])  # as matplotlib is told to draw $\bad{$


def test_very_long_names_leave_room_for_the_matrix(tmp_path: Path, figures: list[Figure]) -> None:
    names = ["Corn_(maize)___" + "x" * 200 + f" {i}" for i in range(2)]
    draw_confusion(simulated(50, 2, names), tmp_path / "c.png")
    figure = figures[0]
    assert figure.axes[0].get_window_extent().width > 600
    for label in figure.axes[0].get_yticklabels() + figure.axes[0].get_xticklabels():
        extent = label.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= WIDTH
    for label in figure.axes[0].get_yticklabels():
        assert label.get_window_extent().x1 <= figure.axes[0].get_window_extent().x0


# ---- calibration


def test_calibration(tmp_path: Path, figures: list[Figure]) -> None:
    found = simulated(500, 10)
    draw_calibration(found, tmp_path / "c.png")
    assert is_picture(tmp_path / "c.png")
    shown = panels(figures[0])
    filled = [each for each in found.bins if each.count]
    bars = [
        bar for bar in shown["Accuracy at each confidence"].patches if isinstance(bar, Rectangle)
    ]
    assert [bar.get_height() for bar in bars] == [each.accuracy for each in filled]
    assert [bar.get_x() for bar in bars] == [each.lower for each in filled]
    counts = [text.get_text() for text in shown["Images at each confidence"].texts]
    assert counts == [str(each.count) for each in filled]
    expected = f"expected calibration error {100 * found.calibration_error:.1f} %"
    assert any(expected in text for text in texts(figures[0]))


def test_calibration_of_one_image(tmp_path: Path) -> None:
    found = score(torch.tensor([[0.0, 100.0]]), torch.tensor([1]), ["a", "b"])
    draw_calibration(found, tmp_path / "c.png")
    assert is_picture(tmp_path / "c.png")


def test_precision_and_recall_of_what_is_accepted() -> None:
    logits = torch.tensor([[4.0, 0], [3, 0], [2, 0], [0, 1], [1, 0]])
    scores = score(logits, torch.tensor([0, 1, 0, 1, 0]), ("cat", "dog"))
    (cat, dog) = accepted(scores)
    assert cat[0] == "cat"
    np.testing.assert_allclose(cat[1], torch.tensor([4.0, 3, 2, 1]).sigmoid())
    np.testing.assert_allclose(cat[2], [1, 1 / 2, 2 / 3, 3 / 4])  # right among the surest
    np.testing.assert_allclose(cat[3], [1 / 3, 1 / 3, 2 / 3, 1])  # of three cats
    np.testing.assert_allclose([*dog[2], *dog[3]], [1, 1 / 2])


def test_curves_of_the_worst_classes_are_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    scores = simulated(400, 12)
    draw_precision_recall(scores, tmp_path / "curves.png")
    assert is_picture(tmp_path / "curves.png")
    left, right = figures[0].axes
    assert len(left.lines) == MOST_CURVES
    shown = {text.get_text() for text in right.get_legend().get_texts()}
    worst = sorted(scores.per_class, key=lambda each: each.f1 or 0)[:MOST_CURVES]
    assert shown == {each.name for each in worst}


@pytest.mark.parametrize("draw", [draw_confusion, draw_calibration])
def test_nowhere_to_write(tmp_path: Path, draw: Any) -> None:
    with pytest.raises(UserError, match="does not exist"):
        draw(simulated(10, 2), tmp_path / "nowhere" / "c.png")
