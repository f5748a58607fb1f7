"""The published numbers: complete, consistent with each other and with what we count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.paper.networks import NETWORKS
from res2net.paper.published import POSE_README, PUBLISHED, published, tables_of
from res2net.paper.structure import tally


def test_every_table_is_complete():
    cells = Counter(row.item for row in PUBLISHED)
    assert cells == {
        "Table 1": 27,  # 14 rows of two, one dash
        "Table 2": 6,
        "Table 3": 29,  # 8 rows of four, three dashes
        "Table 4": 22,
        "Table 5": 6,
        "Table 6": 16,
        "Table 7": 7,
        "Table 8": 30,
        "Table 9": 16,
        "Table 10": 20,
    }


def test_no_cell_twice():
    places = Counter((r.item, r.label, r.setting, r.metric) for r in PUBLISHED)
    assert [place for place, times in places.items() if times > 1] == []


def _typed() -> list[tuple[str, str, str, str, str, str, str]]:
    """Every cell of ``published.txt`` as it is printed: item, label, setting, network, metric."""
    cells = []
    item, columns = "", [("", "")]
    for line in Path(__file__).with_name("published.txt").read_text(encoding="utf-8").splitlines():
        parts = [part.strip() for part in line.split("/")]
        if line.startswith("TABLE"):
            item = parts[0].capitalize()
            columns = [tuple(part.split()) for part in parts[1:]]
        elif not line.startswith("#"):
            *row, printed = parts
            for (metric, unit), value in zip(columns, printed.split(), strict=True):
                cells += [(item, *row, metric, unit, value)] if value != "-" else []
    return cells


def test_every_digit_is_the_papers():
    """Against a second copy, typed from the paper's text; places behind the point count."""
    typed = _typed()
    assert len(typed) == 179
    ours = [
        (r.item, r.label, r.setting, r.network, r.metric, r.unit, places, r.value)
        for r, (*_, printed) in zip(PUBLISHED, typed, strict=True)
        for places in [len(printed.partition(".")[2])]
    ]
    assert [(*rest, f"{value:.{places}f}") for *rest, places, value in ours] == typed
    assert [value for *_, value in ours] == [float(printed) for *_, printed in typed]


def test_what_the_authors_repository_adds_to_table_10():
    """AP by kind of person box, from the README of Res2Net-Pose-Estimation."""
    assert {(r.network, r.label, r.setting): r.value for r in POSE_README} == {
        ("resnet50", "ResNet-50", "detector boxes"): 70.4,
        ("resnet50", "ResNet-50", "ground-truth boxes"): 72.4,
        ("res2net50_26w_4s", "Res2Net-50", "detector boxes"): 71.5,
        ("res2net50_26w_4s", "Res2Net-50", "ground-truth boxes"): 73.7,
        ("resnet101", "ResNet-101", "detector boxes"): 71.4,
        ("res2net101_26w_4s", "Res2Net-101", "detector boxes"): 72.2,
        ("res2net101_26w_4s", "Res2Net-101", "ground-truth boxes"): 74.4,
    }
    assert {(r.metric, r.unit) for r in POSE_README} == {("keypoint_ap", "%")}


def test_every_network_is_in_the_model_table():
    assert {row.network for row in (*PUBLISHED, *POSE_README)} <= set(NETWORKS)


@pytest.mark.parametrize("row", [r for r in PUBLISHED if r.metric == "flops"], ids=str)
def test_flops_are_our_multiply_adds(row):
    assert tally(NETWORKS[row.network]).macs / 1e9 == pytest.approx(row.value, abs=0.12)


# Table 4 leaves the classifier out; its SE rows fit no one configuration (docs/errata.md).
@pytest.mark.parametrize("row", [r for r in PUBLISHED if r.metric == "params"], ids=str)
def test_sizes_of_table_4_are_ours_without_classifier(row):
    ours = round(tally(NETWORKS[row.network], num_classes=0).params / 1e6, 1)
    printed_ours = {
        "resnext29_8c64w_se": (35.1, 34.9),
        "res2next29_6c24w_4s_se": (26.0, 24.8),
        "res2next29_8c25w_4s_se": (34.0, 34.3),
        "res2next29_6c24w_6s_se": (36.9, 37.2),
    }
    assert (row.value, ours) == printed_ours.get(row.network, (row.value, row.value))


def test_tables_of():
    assert tables_of("inception_v3") == ("Table 1",)
    assert tables_of("res2net101_26w_4s") == ("Table 2", "Table 7", "Table 10")
    assert tables_of("res2net50_26w_6s") == ("Table 3",)
    assert tables_of("res2net50d") == ()
    assert [t for t in tables_of("resnet50") if t == "Table 2"] == []


def test_unknown_words():
    with pytest.raises(UserError, match="unknown table 'Table 11'"):
        published("Table 11")
    with pytest.raises(UserError, match="Did you mean 'res2net50d'"):
        tables_of("res2net50dd")
