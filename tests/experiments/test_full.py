"""The paper's trainings: commands that say what the studies run, hours, data."""

from __future__ import annotations

from pathlib import Path

import pytest

from res2net.cli.train import resolve
from res2net.experiments.full import (
    TRAININGS,
    as_line,
    full_plan,
    full_study,
    full_words,
    growth_study,
    published_networks,
    published_words,
    readable,
    train_words,
)
from res2net.experiments.items import ITEMS, rows_of
from res2net.experiments.small import has_small, small_study
from res2net.experiments.study import Study
from res2net.paper.recipes import find_recipe


def _same(study: Study, source: str, out: Path) -> None:
    """What is printed is what runs."""
    for point in study.points:
        words = train_words(study, point, source, out)
        config, run, resume, *_ = resolve(words[1:])
        assert config == study.config(point, 0, source, {})
        assert (run, resume) == (out, False)


def _place(root: Path, name: str) -> str:
    place = TRAININGS[name].place
    place.path(root).mkdir(parents=True, exist_ok=True)
    return place.source(root)


@pytest.mark.parametrize("name", TRAININGS)
def test_the_commands_of_full_trainings(name, tmp_path):
    _same(full_study(name), _place(tmp_path, name), tmp_path / "run")


def test_the_commands_of_fig_5(tmp_path):
    study = growth_study()
    _same(study, _place(tmp_path, "classify-cifar100"), tmp_path / "run")
    # arithmetic of the paper's base: depth 29, cardinality 6, scale 1; classifier counted
    sizes = {p.label: round(study.count(p).params / 1e6, 2) for p in study.points}
    assert sizes["base"] == 7.01
    assert sizes["scale-4"] == 24.36
    assert sizes["cardinality-36"] == 38.11
    assert sizes["depth-110"] == 26.89


@pytest.mark.parametrize(
    "item", [item for item in ITEMS.values() if has_small(item)], ids=lambda item: item.name
)
def test_the_commands_of_small_studies(item, tmp_path):
    study, source = small_study(item, None)
    _same(study, source, tmp_path / "run")


@pytest.mark.parametrize("item", [i for i in ITEMS.values() if i.table], ids=lambda i: i.name)
def test_a_plan_fills_every_row_once(item):
    filled = [row for planned in full_plan(item) for row in planned.rows]
    assert sorted(map(repr, filled)) == sorted(map(repr, rows_of(item)))


def test_tables_share_their_trainings():
    def runs(name):
        return {(p.study.name, p.point.label) for p in full_plan(ITEMS[name])}

    assert runs("table6") <= runs("table5")
    assert ("classify-imagenet", "resnet50") in runs("table1") & runs("table3")
    assert {point for _, point in runs("fig6")} == {"resnet101", "res2net101_26w_4s"}
    assert not full_plan(ITEMS["fig2"])


def test_hours_follow_from_multiply_adds_images_and_epochs():
    (planned,) = (p for p in full_plan(ITEMS["table2"]) if p.point.label == "resnet101")
    epochs = find_recipe("imagenet").settings["train.epochs"]
    (row,) = planned.rows
    expected = row.macs * 1_281_167 * epochs * 3 / 10e12 / 3600
    assert planned.hours() == pytest.approx(expected)
    assert planned.hours(20) == pytest.approx(expected / 2)


@pytest.mark.parametrize(("hours", "text"), [(0.001, "1 min"), (0.5, "30 min"), (7.14, "7.1 h"),
                                             (83.3, "83 h")])  # fmt: skip
def test_readable(hours, text):
    assert readable(hours) == text


def test_table_9_is_measured_on_four_further_sets(tmp_path):
    planned = full_plan(ITEMS["table9"])[0]
    commands = [as_line(words) for words in full_words(planned, tmp_path, Path("out"))]
    assert len(commands) == 5
    assert commands[4].startswith("res2net evaluate out/runs/saliency-msra-b/resnet50-seed0 --data")
    missing = {place.folder for place in planned.missing(tmp_path)}
    assert missing == {"MSRA-B", "ECSSD", "PASCAL-S", "HKU-IS", "DUT-OMRON"}
    (tmp_path / "MSRA-B").mkdir()
    assert {place.folder for place in planned.missing(tmp_path)} == missing - {"MSRA-B"}


def test_published_weights_are_measured_where_they_are_published(tmp_path):
    found = published_networks(ITEMS["table3"])
    assert "res2net50_26w_8s" in found
    assert not {"resnet50", "res2net50_18w_4s"} & set(found)  # never published in the catalogue
    assert published_networks(ITEMS["table4"]) == {}
    place = TRAININGS["classify-imagenet"].place
    words = published_words("dla60_res2net", place, tmp_path, tmp_path)
    assert words[:2] == ["evaluate", "dla60_res2net"]
