"""Small studies: fit their minutes, find data, compare like with like."""

from __future__ import annotations

from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.experiments.items import ITEMS
from res2net.experiments.small import COLUMNS, MINUTES, PAIR, has_small, minutes, small_study

SMALL = [item for item in ITEMS.values() if has_small(item)]


def test_every_table_has_one():
    assert {item.name for item in ITEMS.values() if item.table} <= {item.name for item in SMALL}


@pytest.mark.parametrize("item", SMALL, ids=lambda item: item.name)
def test_it_fits_ten_minutes(item, tmp_path):
    for name in ("cifar100", "bccd", "camvid", "ecssd"):
        (tmp_path / name).mkdir()
    for root in (None, tmp_path):
        study, _ = small_study(item, root)
        assert minutes(study) <= 0.85 * MINUTES


@pytest.mark.parametrize("item", SMALL, ids=lambda item: item.name)
def test_both_kinds_of_network_under_the_same_settings(item):
    study, _ = small_study(item, None)
    if item.figure != "growth":
        assert len({point.network for point in study.points}) == 2
    for point in study.points:
        assert all(name.startswith("net.") for name in point.settings)


@pytest.mark.parametrize(
    ("name", "folder", "source"),
    [
        ("table1", "cifar100", "cifar100:{}/cifar100"),
        ("table5", "bccd/BCCD", "voc:{}/bccd/BCCD"),
        ("table7", "camvid", "camvid:{}/camvid"),
        ("table9", "ECSSD", "ecssd:{}/ECSSD"),
        ("table8", "camvid", "scenes"),
    ],
)
def test_data_below_the_root_go_before_those_that_everybody_has(name, folder, source, tmp_path):
    assert small_study(ITEMS[name], None)[1] in ("digits", "scenes")
    (tmp_path / folder).mkdir(parents=True)
    assert small_study(ITEMS[name], tmp_path)[1] == source.format(tmp_path)


def test_a_root_that_is_not_there():
    with pytest.raises(UserError, match="--data-root nowhere: no such folder"):
        small_study(ITEMS["table1"], Path("nowhere"))


def test_figures_show_a_pair_of_the_table_that_they_are_of():
    for item in ITEMS.values():
        if item.of:
            study, _ = small_study(ITEMS[item.of], None)
            assert {study.find_point(label).label for label in PAIR} == set(PAIR)


def test_tables_5_and_6_are_of_the_same_networks():
    assert small_study(ITEMS["table5"], None) == small_study(ITEMS["table6"], None)


def test_every_task_has_columns():
    assert {item.task for item in SMALL} == set(COLUMNS)
