"""Every study's definition: it can be built, and twins cost the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from res2net.data.scenes.single import LENGTHS
from res2net.errors import UserError
from res2net.experiments.results import SCORE, difference, read_rows
from res2net.experiments.studies import STUDIES, column_of, find_study
from res2net.experiments.study import as_trial
from res2net.models.factory import create_model

POINTS = [(study, point) for study in STUDIES.values() for point in study.points]
TWINS = {"cifar-twins": 2, "scenes-scale": 4, "figure4": 2}  # study → points of equal cost


@pytest.mark.parametrize(("study", "point"), POINTS, ids=lambda x: getattr(x, "label", ""))
def test_every_point_can_be_built_and_costs_what_is_counted(study, point):
    config = study.config(point, 1, study.data, {"train.threads": 1})
    assert (config.seed, config.train.threads, config.recipe) == (1, 1, study.recipe)
    assert config.train.precision == "bf16"
    with torch.device("meta"):
        rule = {} if config.net.first_block is None else {"first_block": config.net.first_block}
        network = create_model(
            config.model, num_classes=study.classes, **config.net.variant(), **rule
        )
    counted = study.count(point)
    assert sum(p.numel() for p in network.parameters()) == counted.params


@pytest.mark.parametrize(("name", "number"), TWINS.items())
def test_twins_cost_the_same_within_two_percent(name, number):
    counts = [STUDIES[name].count(point) for point in STUDIES[name].points]
    assert len(counts) == number
    for what in ("params", "macs"):
        values = [getattr(count, what) for count in counts]
        assert max(values) / min(values) < 1.02, (what, values)


def test_the_additions_cost_nothing():
    study = STUDIES["ablations"]
    base, without = (study.count(study.find_point(p)) for p in ("base_group", "no_additions"))
    assert (base.params, base.macs) == (without.params, without.macs)


def test_the_shipped_network_fits_the_package():
    (point,) = STUDIES["cifar-shipped"].points
    assert 4 * STUDIES["cifar-shipped"].count(point).params < 8e6  # bytes of float32


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_names_are_fit_for_files_and_pictures(study):
    from res2net.drawing.canvas import MARGIN, WIDTH, measure

    labels = [point.label for point in study.points]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[a-z0-9_]+", label) for label in labels)
    assert 1.15 * measure(study.question, 12) < WIDTH - 2 * MARGIN  # bold is wider
    if study.drawing == "lines":
        for group in {point.group for point in study.points} - {""}:
            assert sum(point.group in ("", group) for point in study.points) >= 3


def test_a_trial_changes_how_long_a_study_is_and_not_what():
    study = STUDIES["cifar-twins"]
    for point, tried in zip(study.points, as_trial(study).points, strict=True):
        before, after = study.settings_of(point), study.settings_of(tried)
        changed = {name for name in after if after[name] != before.get(name)}
        assert changed == {"train.epochs", "train.max_steps", "train.val_batches", "train.batch"}
        assert as_trial(study).work(tried) == study.count(point).macs * 2 * 8  # two steps of 8


def published(name):
    """A study with its rows in this repository."""
    study = STUDIES[name]
    home = Path(__file__).resolve().parents[2] / "results" / "studies"
    return study, read_rows(study, home / f"{name}.csv")


@pytest.mark.parametrize("name", ["bccd-twins", "camvid-twins", "ecssd-twins", "pose-twins"])
def test_the_pairs_differ_by_no_more_than_their_spread_as_the_page_states(name):
    study, rows = published(name)
    plain, ours = study.points
    for column in (SCORE, *study.sizes.values()):
        found = difference(rows, ours, plain, column)
        assert len(found.values) == study.seeds
        assert abs(found.mean) <= found.std, column


def test_res2net_is_behind_on_instance_masks_as_the_page_states():
    study, rows = published("instances-twins")
    plain, ours = study.points
    errors = difference(rows, ours, plain)
    assert len(errors.values) == study.seeds
    assert min(errors.values) > 0
    for column in study.sizes.values():  # AP
        assert max(difference(rows, ours, plain, column).values) < 0, column


def test_the_dimensions_of_figure_5_rank_as_the_page_states():
    study, rows = published("figure5")
    points = {point.label: point for point in study.points}

    def found(label, other):
        paired = difference(rows, points[label], points[other])
        assert len(paired.values) == study.seeds
        return paired

    for label, point in points.items():
        if point.group in ("scale", "cardinality"):
            assert max(found(label, "base").values) < 0, label
        if point.group == "depth":
            assert min(found(label, "base").values) > 0, label
    for scale, cardinality in ((2, 4), (3, 6), (4, 8)):
        one, other = (f"scale_{scale}", f"cardinality_{cardinality}")
        assert min(found(one, other).values) > 0, one
        ours, theirs = (study.count(points[each]) for each in (one, other))
        assert abs(theirs.params / ours.params - 1) < 0.1
        assert abs(theirs.macs / ours.macs - 1) < 0.1
    largest = found("scale_6", "cardinality_12")
    assert abs(largest.mean) < largest.std


def test_the_maps_differ_as_the_page_states():
    study, rows = published("figure4")
    plain, ours = study.points

    def found(measure, lengths):
        columns = [column_of(length, f"{measure}_") for length in lengths]
        return [difference(rows, ours, plain, column) for column in columns]

    errors = difference(rows, ours, plain)
    assert len(errors.values) == study.seeds
    assert abs(errors.mean) <= errors.std
    assert all(min(each.values) > 0 for each in found("covered", LENGTHS[3:]))
    assert all(min(each.values) > 0 for each in found("iou", LENGTHS[-1:]))
    assert all(max(each.values) < 0 for each in found("iou", LENGTHS[:5]))
    for each in found("energy", LENGTHS[:5]):
        lowest, low, equal = sorted(each.values)
        assert max(lowest, low) < -2, each
        assert abs(equal) < 1.5, each


def test_unknown():
    with pytest.raises(UserError, match=r"unknown study 'cifar-twin'. Did you mean 'cifar-twins'"):
        find_study("cifar-twin")
