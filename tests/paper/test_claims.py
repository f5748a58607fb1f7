"""The paper's sentences against its own tables."""

from __future__ import annotations

from collections import Counter

import pytest

from res2net.paper.claims import CLAIMS
from res2net.paper.networks import NETWORKS
from res2net.paper.published import POSE_README, PUBLISHED, published

# Where a table does not bear the text out: (table, ours, metric) -> (claimed, by the table).
DISAGREE = {
    ("Table 1", ("Res2Net-DLA-60", ""), "top1_error"): (1.27, 1.79),
    ("Table 4", ("Res2NeXt-29", "6c×24w×4s"), "params"): (35, 35.68),
    ("Table 4", ("Res2NeXt-29", "6c×24w×6s"), "params"): (None, 106.69),
    ("Table 4", ("Res2NeXt-29", "6c×24w×6s-SE"), "params"): (None, 105.13),
}


@pytest.mark.parametrize(
    "claim", CLAIMS, ids=lambda c: f"{c.item}-{c.section}-{' '.join(c.ours)}-{c.metric}"
)
def test_the_text_against_the_tables(claim):
    expected = DISAGREE.get((claim.item, claim.ours, claim.metric))
    if claim.agrees(PUBLISHED):
        assert not claim.erratum or claim.item == "Table 10"
    else:
        assert claim.erratum
        assert (claim.claimed, claim.from_table(PUBLISHED)) == expected


def test_every_disagreement_is_among_the_claims():
    wrong = {(c.item, c.ours, c.metric) for c in CLAIMS if not c.agrees(PUBLISHED)}
    assert wrong == set(DISAGREE)


def test_an_equal_row_is_no_gain():
    """The one claim of equality: 48w×2s has ResNet's AP of large objects."""
    equal = [c for c in CLAIMS if c.claimed == 0]
    assert [(c.item, c.metric, c.from_table(PUBLISHED)) for c in equal] == [
        ("Table 8", "mask_ap_large", 0)
    ]


def test_every_section_with_tables_is_read():
    assert Counter(c.section for c in CLAIMS) == {
        "4.2.1": 7,
        "4.2.2": 3,
        "4.2.3": 9,
        "4.3": 20,
        "4.6": 11,
        "4.7": 2,
        "4.8": 10,
        "4.9": 10,
        "4.10": 6,
    }


def test_dut_omron_gains_most():
    """Section 4.9: the greatest gain is on the set whose objects vary most in size."""
    gains = {
        c.ours[1]: c.from_table(PUBLISHED)
        for c in CLAIMS
        if (c.item, c.metric, c.claimed) == ("Table 9", "f_measure", None)
    }
    assert max(gains, key=gains.__getitem__) == "DUT-OMRON"


def test_table_1_has_a_scale_of_four():
    """Section 4.2.1: all Res2Net models in Table 1 have s = 4."""
    ours = {r.network for r in published("Table 1") if "Res2Ne" in r.label}
    assert {NETWORKS[name].scale for name in ours} == {4}


@pytest.mark.parametrize(("which", "claimed", "fair"), [("50", 3.3, 1.1), ("101", 3.0, 0.8)])
def test_table_10_compares_different_boxes(which, claimed, fair):
    """ResNet on detector boxes, Res2Net on ground-truth boxes; on the same boxes it gains less."""
    by_boxes = {(row.label, row.setting): row.value for row in POSE_README}
    table = {r.label: r.value for r in published("Table 10") if r.metric == "keypoint_ap"}
    ours, baseline = f"Res2Net-{which}", f"ResNet-{which}"
    assert table[baseline] == by_boxes[baseline, "detector boxes"]
    assert table[ours] == by_boxes[ours, "ground-truth boxes"]
    claim = next(c for c in CLAIMS if c.metric == "keypoint_ap" and c.ours[0] == ours)
    assert claim.claimed == claimed
    detector = by_boxes[ours, "detector boxes"]
    assert round(detector - by_boxes[baseline, "detector boxes"], 1) == fair
    assert f"{detector}, a gain of {fair}" in claim.erratum
