"""The items: complete, and consistent with the paper room."""

from __future__ import annotations

import pytest

from res2net.errors import UserError
from res2net.experiments.items import (
    ITEMS,
    NAMES,
    counts,
    find_items,
    metrics_of,
    rows_of,
    shown,
)
from res2net.paper.published import PUBLISHED

TABLES = [item for item in ITEMS.values() if item.table]


def test_every_table_and_figure_is_there():
    assert list(ITEMS) == [*(f"table{i}" for i in range(1, 11)), *(f"fig{i}" for i in range(2, 8))]
    assert {item.table for item in TABLES} == {row.item for row in PUBLISHED}


@pytest.mark.parametrize("item", TABLES, ids=lambda item: item.name)
def test_rows_hold_every_published_cell(item):
    rows = rows_of(item)
    cells = [value for row in rows for value in row.published.values()]
    assert cells == [row.value for row in PUBLISHED if row.item == item.table]
    assert set(metrics_of(rows)) <= set(NAMES)


@pytest.mark.parametrize("item", TABLES, ids=lambda item: item.name)
def test_every_cell_but_sizes_and_times_is_measured_by_some_training(item):
    for row in rows_of(item):
        how = item.how(row.setting)
        assert how is not None
        asked = set(row.published) - {"params", "flops", "runtime"}
        assert asked <= set(how.keys)


def test_the_299_row_is_counted_at_299():
    rows = {row.label: row for row in rows_of(ITEMS["table1"])}
    assert rows["Res2Net-50-299"].network == rows["Res2Net-50"].network
    assert rows["Res2Net-50-299"].params == rows["Res2Net-50"].params
    assert rows["Res2Net-50-299"].macs == counts("res2net50_26w_4s", 299)[1]
    assert rows["Res2Net-50-299"].macs > 1.8 * rows["Res2Net-50"].macs


def test_figures_have_no_rows_and_show_what_was_trained():
    for item in ITEMS.values():
        if item.table is None:
            assert rows_of(item) == ()
            assert item.figure is not None
        if item.of:
            assert set(item.networks) <= {row.network for row in rows_of(ITEMS[item.of])}


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("top1_error", 22.0, "22.00"), ("mae", 0.05, "0.050"), ("runtime", 149.0, "149"),
     ("mean_iou", 79.0, "79.0"), ("flops", None, "")],
)  # fmt: skip
def test_figures_have_the_papers_decimals(metric, value, text):
    assert shown(metric, value) == text


def test_names():
    assert [item.name for item in find_items("fig5")] == ["fig5"]
    assert len(find_items("all")) == 16
    with pytest.raises(UserError, match="unknown item 'tabel7'. Did you mean 'table7'"):
        find_items("tabel7")
