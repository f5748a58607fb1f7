"""Tables of an item: blank until measured, then the last figure; Markdown."""

from __future__ import annotations

from res2net.experiments.items import ITEMS
from res2net.experiments.sheets import (
    GROWTH,
    markdown,
    paper_sheet,
    runtime_sheet,
    sheets_of,
    small_sheet,
)

ABOUT = {"torch": "2", "cores": "2", "cpu": "one", "date": "today", "commit": "abc", "command": "c"}


def _column(sheet, name):
    return [row[sheet.head.index(name)] for row in sheet.rows]


def test_nothing_measured_is_one_blank_column():
    sheet = paper_sheet(ITEMS["table7"])
    assert sheet.head[-1] == "measured"
    assert set(_column(sheet, "measured")) == {"–"}
    assert _column(sheet, "mean IoU, %")[:2] == ["77.7", "78.2"]
    assert _column(sheet, "params, M (counted)")[0] == "25.557"


def test_the_last_figure_counts_and_the_299_row_has_its_own():
    rows = [
        {"study": "classify-imagenet", "point": "res2net50_26w_4s", "top1_error": "30"},
        {"study": "classify-imagenet", "point": "res2net50_26w_4s", "top1_error": "22.5"},
        {"study": "classify-imagenet-299", "point": "res2net50_26w_4s", "top1_error": "21.9"},
        {"study": "published-weights", "point": "res2net50_26w_4s", "top1_error": "22.01"},
    ]
    sheet = paper_sheet(ITEMS["table1"], rows)
    assert _column(sheet, "top-1 error, %: trained here")[:4] == ["–", "22.50", "–", "21.90"]
    files = _column(sheet, "top-1 error, %: published weights here")
    assert files[:4] == ["–", "22.01", "–", "–"]
    assert "top-5 error, %: trained here" not in sheet.head


def test_one_training_fills_the_settings_of_a_table():
    rows = [{"study": "detect-coco", "point": "resnet50", "ap_small": "1.5", "ar100": "9"}]
    sheet = paper_sheet(ITEMS["table6"], rows)
    assert _column(sheet, "AP, %: trained here")[:4] == ["1.5", "–", "–", "–"]
    assert _column(sheet, "AR, %: trained here")[:4] == ["–", "–", "–", "9.0"]


def test_small_rows_say_what_they_are():
    row = {
        "study": "table5-small-scenes",
        "point": "ResNet",
        "data": "scenes",
        "params": "4500000",
        "macs": "300000000",
        "ap": "12.345",
        "ap50": "30",
        "epochs": "12",
        "steps": "384",
        "seconds": "60",
        **ABOUT,
    }
    for name in ("table5", "table6"):
        sheet = small_sheet(ITEMS[name], [{**row, "ap": "1"}, row])
        assert sheet is not None
        assert _column(sheet, "AP, %") == ["12.3"]
        assert _column(sheet, "APS, %") == ["–"]
        assert "neither confirms nor refutes the paper" in sheet.note
    assert small_sheet(ITEMS["table7"], [row]) is None


def test_fig_5_in_full_and_in_small_do_not_mix():
    row = {
        "point": "base",
        "group": "base",
        "params": "1",
        "macs": "1",
        "top1_error": "20",
        "epochs": "1",
        "steps": "1",
        "seconds": "1",
        "top1_accuracy": "80",
        **ABOUT,
    }
    rows = [{**row, "study": GROWTH, "data": "cifar100"}]
    rows += [{**row, "study": "fig5-small-digits", "data": "digits"}]
    sheets = sheets_of(ITEMS["fig5"], rows, ())
    assert [sheet.title for sheet in sheets] == ["Fig. 5 at full scale", "Fig. 5 at small scale"]
    assert [sheet.rows[0][1] for sheet in sheets] == ["cifar100", "digits"]
    assert "refutes" not in sheets[0].note
    assert sheets_of(ITEMS["fig5"], (), ()) == []


def test_runtimes_beside_the_papers():
    def timed(network, ms, ratio):
        return {
            "network": network,
            "maker": "ours",
            "engine": "eager",
            "precision": "fp32",
            "batch": "1",
            "median_ms": ms,
            "to_resnet50": ratio,
            "n": "5",
            **ABOUT,
        }

    sheet = runtime_sheet(
        ITEMS["table3"], [timed("resnet50", "60", ""), timed("res2net50_26w_4s", "75", "1.25")]
    )
    assert sheet is not None
    assert sheet.rows[0] == ("resnet50", "149", "60.0")
    assert sheet.rows[2] == ("res2net50_26w_4s", "153 (1.03×)", "75.0 (1.25×)")
    assert sheet.rows[1][2] == "–"
    assert len(sheet.rows) == 7
    assert runtime_sheet(ITEMS["table3"], []) is None
    assert len(sheets_of(ITEMS["table3"], (), ())) == 1


def test_markdown():
    lines = markdown(paper_sheet(ITEMS["table2"])).splitlines()
    assert lines[1].startswith("| --- | --- | --- | ---: |")
    assert lines[2].startswith("| DenseNet-161 |  | densenet161 | 22.35 | 6.20 |")
