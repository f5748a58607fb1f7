"""Charts: every kind, with rows of some points only."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from res2net.data.scenes.single import LENGTHS
from res2net.experiments.charts import Dots, draw, draw_dots, draw_growth, near
from res2net.experiments.studies import MAPS, STUDIES, column_of


def _rows(study, seeds, points):
    chance = np.random.default_rng(0)
    return [
        {
            "study": study.name,
            "point": point.label,
            "seed": str(seed),
            "params": str(study.count(point).params),
            "last_error": str(chance.uniform(30, 50)),
            **{
                column_of(length, f"{name}_"): str(chance.uniform(30, 50))
                for length in LENGTHS
                for name in ("error", "area", *MAPS)
            },
        }
        for seed in range(seeds)
        for point in study.points[:points]
    ]


@pytest.mark.parametrize("name", ["cifar-twins", "figure5", "scenes-scale", "figure4"])
def test_it_is_drawn_as_rows_come(name, tmp_path):
    study, path = STUDIES[name], tmp_path / "picture.png"
    draw(study, [], path)
    assert not path.exists()  # nothing is drawn of nothing
    shapes = []
    for seeds, points in ((1, 1), (2, len(study.points))):
        draw(study, _rows(study, seeds, points), path)
        pixels = np.asarray(Image.open(path))
        shapes.append(pixels.shape)
        assert pixels.shape[1] == 1200
        assert (pixels[:, -16:] == 255).all()  # nothing is cut at the right
    assert shapes[0][0] <= shapes[1][0]


def test_a_legend_hides_no_bar_of_the_maps(tmp_path, monkeypatch):
    monkeypatch.setattr(Axes, "legend", None)  # bars reach every corner of the axes
    study = STUDIES["figure4"]
    draw(study, _rows(study, 2, len(study.points)), tmp_path / "picture.png")


def test_dots_and_lines(tmp_path, ink):
    dots = (
        Dots(label="the paper", values=(1.0, 2.0), colour="#666666", hollow=True),
        Dots(label="here", values=(None, None), colour="#0072B2"),
    )
    draw_dots(tmp_path / "a.png", "Table", "lower is better", ["a", "b" * 80], dots, "error, %")
    assert ink(tmp_path / "a.png") > 0.005
    rows = [
        {"group": group, "params": str(params), "top1_accuracy": "90"}
        for group, params in (("base", 100000), ("scale", 200000), ("depth", 300000))
    ]
    draw_growth(tmp_path / "b.png", "Fig. 5", "digits", rows)
    assert ink(tmp_path / "b.png") > 0.005


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([71.2, 72.0, 73.1, 3.1, 72.8], (71.2, 73.1)),
        ([71.2, 72.0, 73.1, 900, 72.8], (71.2, 73.1)),
        ([1, 500, 501, 502, 503, 504, 505, 1000], (500, 505)),
        ([10, 20, 30, 60], (10, 60)),  # not so far
        ([1, 2, 100, 101], (1, 101)),  # no single one
        ([5.0, 5.0, 5.0, 9.0], (5.0, 5.0)),
        ([3, 80], (3, 80)),
        ([7], (7, 7)),
        ([], (0, 1)),
    ],
)
def test_the_values_that_lie_near_each_other(values, kept):
    assert near(values) == kept


def test_a_dot_far_away_does_not_squeeze_the_others(tmp_path, monkeypatch):
    values, drawn = (71.2, 72.0, 73.1, 3.1, 72.8), []
    add = Axes.scatter

    def listen(axes, x, y, **style):
        drawn.append((axes, *x, *y, style.get("marker")))
        return add(axes, x, y, **style)

    monkeypatch.setattr(Axes, "scatter", listen)
    dots = (Dots(label="here", values=values, colour="#0072B2"),)
    draw_dots(tmp_path / "a.png", "Table", "", list("abcde"), dots, "AP")
    placed = [each for each in drawn if len(each) == 4]
    axes = placed[0][0]
    low, high = axes.get_xlim()
    assert (73.1 - 71.2) / (high - low) > 0.7
    assert [row for _, _, row, marker in placed if marker == "<"] == [3]
    assert all(low < place < high for _, place, _, _ in placed)
    assert "3.1" in [text.get_text() for text in axes.texts]
