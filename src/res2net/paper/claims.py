"""Claims in the paper's text about its tables, and the cells that each claim compares.

Tables 1-4 are checked in sections 4.2 and 4.3, Tables 5-10 in 4.6 to 4.10. The abstract, sections
1 to 4.1, 4.4, 4.5 and 5 quote no value from a table. Claims that their table does not support have
an erratum (docs/errata.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from res2net.paper.published import (
    LIGHT,
    MORE,
    R2_50,
    R2_101,
    R50,
    R101,
    RESNET_64W,
    SAME,
    SIZES,
    Published,
    Row,
)

Kind = Literal["lower", "higher", "ratio"]  # baseline − ours, ours − baseline, ours / baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A claim of the paper, and the two cells of a table that it compares."""

    item: str  # "Table 1"
    section: str  # section of the text, "4.2.1"
    words: str  # the claim in our words
    metric: str
    ours: Row
    baseline: Row
    claimed: float | None  # in the metric's unit, a ratio in percent; None: ours is better
    kind: Kind = "higher"
    erratum: str = ""  # the error in the claim, if any

    def from_table(self, rows: Iterable[Published]) -> float:
        """The claimed value computed from the printed cells, with their rounding.

        Raises:
            KeyError: the table has no such row.
        """
        values = {
            (row.label, row.setting): row.value
            for row in rows
            if (row.item, row.metric) == (self.item, self.metric)
        }
        ours, baseline = values[self.ours], values[self.baseline]
        if self.kind == "ratio":
            return round(100 * ours / baseline, 2)
        return round(baseline - ours if self.kind == "lower" else ours - baseline, 4)

    def agrees(self, rows: Iterable[Published]) -> bool:
        """Whether the table supports the claim; ratios are quoted in whole percent."""
        found = self.from_table(rows)
        if self.claimed is None:
            return found < 100 if self.kind == "ratio" else found > 0
        return (round(found) if self.kind == "ratio" else found) == self.claimed


def _error(
    item: str,
    section: str,
    ours: Row,
    baseline: Row,
    claimed: float | None,
    words: str = "",
    erratum: str = "",
) -> Claim:
    """A gain in top-1 error."""
    return Claim(
        item=item,
        section=section,
        words=words or _beats(ours, baseline),
        metric="top1_error",
        ours=ours,
        baseline=baseline,
        claimed=claimed,
        kind="lower",
        erratum=erratum,
    )


def _size(ours: Row, baseline: Row, claimed: float | None, words: str, erratum: str = "") -> Claim:
    """Ratio of parameters between two rows of Table 4."""
    return Claim(
        item="Table 4",
        section="4.3",
        words=words,
        metric="params",
        ours=ours,
        baseline=baseline,
        claimed=claimed,
        kind="ratio",
        erratum=erratum,
    )


def _beats(ours: Row, baseline: Row) -> str:
    return f"{_name(ours)} is better than {_name(baseline)}"


def _name(row: Row) -> str:
    return " ".join(part for part in row if part)


def _plain(ours: str, baseline: str, claimed: float, erratum: str = "") -> Claim:
    return _error("Table 1", "4.2.1", (ours, ""), (baseline, ""), claimed, erratum=erratum)


_SCALE = "the error decreases with the scale"
_FEWER = "better than the baseline and the other networks, with fewer parameters"
_NEXT, _RES2NEXT = "ResNeXt-29", "Res2NeXt-29"
_BASE, _WIDE, _DENSE = (_NEXT, "8c×64w"), ("Wide ResNet", ""), ("DenseNet-BC", "k = 40")
_OURS = tuple((_RES2NEXT, setting) for setting in ("6c×24w×4s", "8c×25w×4s", "6c×24w×6s"))
_SE = tuple((label, f"{setting}-SE") for label, setting in _OURS)
_BASE_SE = (_NEXT, "8c×64w-SE")

_TABLES_1_TO_3 = (
    _plain("Res2Net-50", "ResNet-50", 1.84),
    _plain("Res2NeXt-50", "ResNeXt-50", 0.85),
    _plain("Res2Net-DLA-60", "DLA-60", 1.27, "the text says a gain of 1.27, the table gives 1.79"),
    _plain("Res2NeXt-DLA-60", "DLA-X-60", 0.64),
    _plain("SE-Res2Net-50", "SENet-50", 1.68),
    _plain("bLRes2Net-50", "bLResNet-50", 0.73),
    _error("Table 1", "4.2.1", ("Res2Net-50-299", "299×299"), ("InceptionV3", "299×299"), 1.14),
    _error("Table 2", "4.2.2", ("Res2Net-101", ""), ("ResNet-101", ""), 1.82),
    _error("Table 1", "4.2.2", ("Res2Net-50", ""), ("ResNet-50", ""), 1.84),  # repeated in the text
    _error("Table 2", "4.2.2", ("Res2Net-101", ""), ("DenseNet-161", ""), 1.54),
    *(
        _error("Table 3", "4.2.3", ours, before, None, _SCALE)
        for before, ours in (
            (RESNET_64W, (SAME, "48w×2s")),
            ((SAME, "48w×2s"), (SAME, "26w×4s")),
            ((SAME, "26w×4s"), (SAME, "14w×8s")),
            ((MORE, "26w×4s"), (MORE, "26w×6s")),
            ((MORE, "26w×6s"), (MORE, "26w×8s")),
        )
    ),
    _error("Table 3", "4.2.3", (SAME, "14w×8s"), RESNET_64W, 1.99),
    _error("Table 3", "4.2.3", (MORE, "26w×8s"), RESNET_64W, 3.05),
    _error("Table 3", "4.2.3", LIGHT, RESNET_64W, 0.93),
    Claim(
        item="Table 3",
        section="4.2.3",
        words="18w×4s has 69 % of the multiply-adds",
        metric="flops",
        ours=LIGHT,
        baseline=RESNET_64W,
        claimed=69,
        kind="ratio",
    ),
)

_TABLE_4 = (
    *(_error("Table 4", "4.3", ours, _BASE, None, _FEWER) for ours in _OURS),
    *(_error("Table 4", "4.3", _OURS[0], other, None, _FEWER) for other in (_WIDE, _DENSE)),
    *(_size(_OURS[0], other, None, _FEWER) for other in (_BASE, _WIDE, _DENSE)),
    _size(_OURS[1], _BASE, None, _FEWER),
    _size(
        _OURS[2],
        _BASE,
        None,
        _FEWER,
        "6c×24w×6s has 36.7M parameters, more than the baseline's 34.4M and Wide ResNet's 36.5M",
    ),
    _error("Table 4", "4.3", _OURS[2], _BASE, 1.11),
    _error("Table 4", "4.3", _OURS[0], (_NEXT, "16c×64w"), None),
    _size(
        _OURS[0],
        (_NEXT, "16c×64w"),
        35,
        "6c×24w×4s has 35 % of the parameters of 16c×64w",
        "the text says 35 % of the parameters, the sizes in the table give 35.68 %",
    ),
    _error("Table 4", "4.3", _OURS[1], _OURS[0], None, "larger width and cardinality are better"),
    *(_error("Table 4", "4.3", ours, _BASE_SE, None, "also better with SE") for ours in _SE),
    *(_size(ours, _BASE_SE, None, "also fewer parameters with SE") for ours in _SE[:2]),
    _size(
        _SE[2],
        _BASE_SE,
        None,
        "also fewer parameters with SE",
        "6c×24w×6s-SE has 36.9M parameters, more than the SE baseline's 35.1M",
    ),
)


def _task(
    table: int,
    metric: str,
    ours: Row,
    baseline: Row,
    claimed: float | None,
    kind: Kind = "higher",
    erratum: str = "",
) -> Claim:
    """A gain of section 4.6 to 4.10, in the metric of its task."""
    section = {5: "4.6", 6: "4.6", 7: "4.7", 8: "4.8", 9: "4.9", 10: "4.10"}[table]
    same = claimed == 0
    return Claim(
        item=f"Table {table}",
        section=section,
        words=f"{_name(ours)} equals {_name(baseline)}" if same else _beats(ours, baseline),
        metric=metric,
        ours=ours,
        baseline=baseline,
        claimed=claimed,
        kind=kind,
        erratum=erratum,
    )


def _boxes(ours: float, gain: float) -> str:
    return (
        "ResNet's AP is on detector boxes, Res2Net's on ground-truth boxes; on detector boxes "
        f"Res2Net has {ours}, a gain of {gain}"
    )


def _pair(setting: str) -> tuple[Row, Row]:
    """Res2Net-50 and ResNet-50 in one setting."""
    return (R2_50, setting), (R50, setting)


_W64, _W26, _W48 = (R50, "64w"), (R2_50, "26w×4s"), (R2_50, "48w×2s")
_SETS = ("ECSSD", "PASCAL-S", "HKU-IS", "DUT-OMRON")

_TABLES_5_TO_10 = (
    _task(5, "box_ap", *_pair("VOC07"), 2.3),
    _task(5, "box_ap", *_pair("COCO"), 2.6),
    _task(5, "box_ap50", *_pair("COCO"), 2.2),
    *(
        _task(6, metric, *_pair(size), claimed)
        for metric, gains in (("box_ap", (0.5, 2.9, 4.9, 2.6)), ("box_ar", (1.4, 2.5, 3.7, 2.2)))
        for size, claimed in zip(SIZES, gains, strict=True)
    ),
    _task(7, "mean_iou", _W26, _W64, 1.5),
    _task(7, "mean_iou", (R2_101, "26w×4s"), (R101, "64w"), 1.2),
    _task(8, "mask_ap", _W26, _W64, 1.7),
    _task(8, "mask_ap50", _W26, _W64, 2.4),
    _task(8, "mask_ap_small", _W26, _W64, 0.9),
    _task(8, "mask_ap_medium", _W26, _W64, 1.9),
    _task(8, "mask_ap_large", _W26, _W64, 2.8),
    _task(8, "mask_ap_large", _W26, _W48, 2.8),
    _task(8, "mask_ap_large", _W48, _W64, 0.0),
    _task(8, "mask_ap", _W26, _W48, None),  # "an overall upward trend" with the scale
    _task(8, "mask_ap", (R2_50, "18w×6s"), _W26, None),
    _task(8, "mask_ap", (R2_50, "14w×8s"), _W48, None),
    *(_task(9, "f_measure", *_pair(name), None) for name in _SETS),
    *(_task(9, "mae", *_pair(name), None, "lower") for name in _SETS),
    _task(9, "f_measure", *_pair("DUT-OMRON"), 0.052),
    _task(9, "mae", *_pair("DUT-OMRON"), 0.021, "lower"),
    _task(10, "keypoint_ap", (R2_50, ""), (R50, ""), 3.3, erratum=_boxes(71.5, 1.1)),
    _task(10, "keypoint_ap", (R2_101, ""), (R101, ""), 3.0, erratum=_boxes(72.2, 0.8)),
    *(
        _task(10, f"keypoint_ap_{size}", ours, baseline, None)
        for ours, baseline in (((R2_50, ""), (R50, "")), ((R2_101, ""), (R101, "")))
        for size in ("medium", "large")
    ),
)

CLAIMS: tuple[Claim, ...] = (*_TABLES_1_TO_3, *_TABLE_4, *_TABLES_5_TO_10)
