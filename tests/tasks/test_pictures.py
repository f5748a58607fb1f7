"""Pictures that all tasks draw: what is in them is seen, and nothing covers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from res2net.drawing.marks import class_colours
from res2net.metrics.sizes import SIZES
from res2net.tasks.pictures import (
    Bars,
    BySize,
    draw_bars,
    draw_curves,
    draw_sheet,
    draw_thresholds,
)
from res2net.tasks.task import Curve

CURVES = (
    Curve("Loss", (("train/loss", "training"), ("val/loss", "validation"))),
    Curve("Error, 100 % - mean IoU", (("val/iou_error", "validation"),), percent=True),
)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    found: list[Figure] = []
    savefig = Figure.savefig

    def listen(figure: Figure, *args: object, **options: object) -> None:
        found.append(figure)
        savefig(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", listen)
    return found  # type: ignore[return-value]


def renderer(figure: Figure) -> RendererAgg:
    return figure.canvas.get_renderer()  # type: ignore[attr-defined, no-any-return]


def panel(figure: Figure, title: str) -> Axes:
    (found,) = (axes for axes in figure.axes if axes.get_title(loc="left") == title)
    return found


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_a_single_value_is_seen_with_its_number(
    tmp_path: Path, figures: list[Figure], epochs: int
) -> None:
    rows = [{"epoch": k, "train/loss": 1.25, "lr": 0.1} for k in range(1, epochs + 1)]
    rows[-1] |= {"val/loss": 1.5, "val/iou_error": 43.0}
    draw_curves(rows, CURVES, tmp_path / "c.png")
    (figure,) = figures
    for title, value, label in (
        ("Loss", 1.5, "validation 1.5"),
        ("Error, 100 % - mean IoU", 43.0, f"validation (best 43.00 %, epoch {epochs})"),
    ):
        axes = panel(figure, title)
        line = axes.lines[-1]
        assert line.get_marker() == "o"
        legend = axes.get_legend()
        assert legend is not None
        assert label in [text.get_text() for text in legend.get_texts()]
        box = legend.get_window_extent(renderer(figure))
        place = axes.transData.transform((epochs, value))
        assert not box.contains(*place), "the legend does not cover it"
        assert axes.bbox.contains(*place)


def test_a_rising_curve_stays_below_the_legend(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [{"epoch": k, "train/loss": k, "val/loss": 2 * k} for k in range(1, 40)]
    draw_curves(rows, CURVES, tmp_path / "c.png")
    axes = panel(figures[0], "Loss")
    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent(renderer(figures[0]))
    highest = axes.transData.transform((39, 78))
    assert highest[1] < box.y0


def test_a_class_has_its_colour_however_the_curves_are_ordered(
    tmp_path: Path, figures: list[Figure]
) -> None:
    classes = ("cat", "dog", "cow", "bird")
    curve = (np.array([0.9, 0.5]), np.array([1.0, 0.5]), np.array([0.5, 1.0]))
    for names in (("cow", "cat"), ("bird", "cow", "dog", "cat")):
        curves = [(name, *curve) for name in names]
        draw_thresholds(curves, classes, "", tmp_path / "t.png")
        right = figures[-1].axes[1]
        colours = dict(zip(classes, class_colours(classes), strict=True))
        for line in right.lines:
            shown = tuple(round(255 * v) for v in line.get_color())  # type: ignore[union-attr]
            assert shown == colours[str(line.get_label())]
    many = [str(number) for number in range(40)]
    draw_thresholds([("1", *curve), ("25", *curve)], many, "", tmp_path / "t.png")
    first, other = figures[-1].axes[1].lines  # of the same colour in other pictures
    assert first.get_color() != other.get_color()


def test_names_of_bars_are_whole_and_the_legend_covers_nothing(
    tmp_path: Path, figures: list[Figure]
) -> None:
    names = ["AP of medium objects", "AR at an OKS of 0.75", "PCK, area below the curve"]
    sizes = BySize(
        title="By size of what is salient",
        things="image",
        label="%",
        series={"max F-measure": dict.fromkeys(SIZES, 90.0), "mean absolute error": {"small": 1.0}},
        counts=dict.fromkeys(SIZES, 12),
    )
    bars = Bars(title="Precision and recall", label="%", values=[(name, 50.0) for name in names])
    draw_bars(tmp_path / "b.png", "Scores", "", bars, sizes)
    (figure,) = figures
    left, right = figure.axes
    assert sorted(label.get_text() for label in left.get_yticklabels()) == sorted(names)
    drawn = [label.get_window_extent(renderer(figure)) for label in left.get_yticklabels()]
    assert min(box.x0 for box in drawn) >= 16
    legend = right.get_legend()
    assert legend is not None
    box = legend.get_window_extent(renderer(figure))
    others = [text for text in figure.findobj(Text) if text.get_text() not in sizes.series]
    shown = [each for each in others if each.get_text() and each.get_visible()]
    covered = [
        each.get_text() for each in shown if box.overlaps(each.get_window_extent(renderer(figure)))
    ]
    assert not covered
    assert box.y0 > 0


def test_a_sheet_of_pairs_has_a_row_for_each_image(tmp_path: Path) -> None:
    from PIL import Image

    image = np.full((120, 160, 3), (200, 10, 30), np.uint8)
    draw_sheet([((image, image), "a.jpg"), ((image, image), "b.jpg")], "T", "s", tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width == 1200
        red = (np.abs(np.asarray(picture).astype(int) - (200, 10, 30)).max(2) < 3).mean()
    assert red > 0.7
