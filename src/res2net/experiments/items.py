"""The items, one per table and figure of the paper, and the rows of the tables. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Literal

from res2net.errors import UserError, did_you_mean
from res2net.paper.networks import find_variant
from res2net.paper.published import published
from res2net.paper.structure import tally
from res2net.paper.tasks import TaskName

Figure = Literal["block", "activation", "growth", "segment", "saliency"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Full:
    """The full training of a table row, and the columns of its results."""

    study: str  # name in the table of full studies (full.py)
    keys: Mapping[str, str]  # the paper's metric → its column in the results


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A table or figure of the paper."""

    name: str  # as typed
    title: str
    section: str
    task: TaskName = "classify"
    full: Mapping[str, Full] = field(default_factory=dict)  # setting → training; "" for all others
    figure: Figure | None = None  # kind of figure
    networks: tuple[str, ...] = ()  # networks in a figure
    of: str | None = None  # for a figure: the item whose trained networks it uses
    note: str = ""  # remark on its values

    @property
    def table(self) -> str | None:
        """Its name in ``res2net.paper``, "Table 1"; None for a figure."""
        number = self.name.removeprefix("table")
        return None if number == self.name else f"Table {number}"

    @property
    def word(self) -> str:
        """Its name in the paper: "Table 1", "Fig. 2"."""
        return self.table or self.name.replace("fig", "Fig. ")

    def how(self, setting: str) -> Full | None:
        """The full training of rows with this setting."""
        return self.full.get(setting) or self.full.get("")


_ERRORS = {"top1_error": "top1_error", "top5_error": "top5_error"}
_IMAGENET = Full(study="classify-imagenet", keys=_ERRORS)
_IMAGENET_299 = Full(study="classify-imagenet-299", keys=_ERRORS)
_MASKS = {f"mask_ap{x}": f"mask_ap{x}" for x in ("", "50", "75", "_small", "_medium", "_large")}
_POSE = {f"keypoint_ap{x}": f"ap{x}" for x in ("", "50", "75", "_medium", "_large")}
_FIFTY = ("resnet50", "res2net50_26w_4s")
_BACKBONE = "Parameters and multiply-adds are those of the backbone as a classifier at 224 pixels."


def _coco(ap: str, ar: str) -> Full:
    return Full(study="detect-coco", keys={"box_ap": ap, "box_ar": ar})


def _salient(test: str) -> Full:
    keys = {"f_measure": f"{test.lower()}_max_f", "mae": f"{test.lower()}_mae"}
    return Full(study="saliency-msra-b", keys=keys)


_TABLES = (
    Item(
        name="table1",
        title="Test error on ImageNet",
        section="4.2.1",
        full={"": _IMAGENET, "299×299": _IMAGENET_299},
    ),
    Item(
        name="table2",
        title="Test error of deeper networks on ImageNet",
        section="4.2.2",
        full={"": _IMAGENET},
    ),
    Item(
        name="table3",
        title="Scales of Res2Net-50 on ImageNet",
        section="4.2.3",
        full={"": _IMAGENET},
        note="The paper's FLOPs are multiply-adds, its runtime was measured on a GPU.",
    ),
    Item(
        name="table4",
        title="Test error and model size on CIFAR-100",
        section="4.3",
        full={"": Full(study="classify-cifar100", keys={"top1_error": "top1_error"})},
        note="The paper's model sizes exclude the classifier; ours include it.",
    ),
    Item(
        name="table5",
        title="Object detection, Faster R-CNN",
        section="4.6",
        task="detect",
        full={
            "VOC07": Full(study="detect-voc07", keys={"box_ap": "voc07_ap50"}),
            "COCO": Full(study="detect-coco", keys={"box_ap": "ap", "box_ap50": "ap50"}),
        },
        note=f"AP on VOC07 is the 11-point AP at an IoU of 0.5. {_BACKBONE}",
    ),
    Item(
        name="table6",
        title="Object detection by object size, COCO",
        section="4.6",
        task="detect",
        full={
            "Small": _coco("ap_small", "ar_small"),
            "Medium": _coco("ap_medium", "ar_medium"),
            "Large": _coco("ap_large", "ar_large"),
            "All": _coco("ap", "ar100"),
        },
        note=f"The runs are those of Table 5. {_BACKBONE}",
    ),
    Item(
        name="table7",
        title="Semantic segmentation, DeepLab v3+, VOC12 val",
        section="4.7",
        task="segment",
        full={"": Full(study="segment-voc12", keys={"mean_iou": "mean_iou"})},
        note=_BACKBONE,
    ),
    Item(
        name="table8",
        title="Instance segmentation, Mask R-CNN, COCO",
        section="4.8",
        task="instances",
        full={"": Full(study="instances-coco", keys=_MASKS)},
        note=_BACKBONE,
    ),
    Item(
        name="table9",
        title="Salient object detection, DSS trained on MSRA-B",
        section="4.9",
        task="saliency",
        full={name: _salient(name) for name in ("ECSSD", "PASCAL-S", "HKU-IS", "DUT-OMRON")},
        note=_BACKBONE,
    ),
    Item(
        name="table10",
        title="Key-point estimation, SimpleBaseline, COCO val",
        section="4.10",
        task="pose",
        full={"": Full(study="pose-coco", keys=_POSE)},
        note=f"ResNet's AP is on detector boxes, Res2Net's on annotated ones. {_BACKBONE}",
    ),
)
_FIGURES = (
    Item(
        name="fig2",
        title="A bottleneck and a Res2Net module of scale 4",
        section="3.1",
        figure="block",
        networks=_FIFTY,
    ),
    Item(
        name="fig3",
        title="The module with cardinality and squeeze-and-excitation",
        section="3.2",
        figure="block",
        networks=("resnext29_8c64w_se", "res2next29_6c24w_4s_se"),
    ),
    Item(
        name="fig4",
        title="Class activation maps of a ResNet and a Res2Net",
        section="4.5",
        figure="activation",
        networks=_FIFTY,
        of="table1",
    ),
    Item(
        name="fig5",
        title="Accuracy against size for increasing scale, cardinality and depth",
        section="4.4",
        figure="growth",
        note="The paper only plots these values, so there are none to compare with. "
        "`res2net study figure5` increases a smaller base, with several seeds.",
    ),
    Item(
        name="fig6",
        title="Segmentation with a ResNet and a Res2Net backbone",
        section="4.7",
        task="segment",
        figure="segment",
        networks=("resnet101", "res2net101_26w_4s"),
        of="table7",
    ),
    Item(
        name="fig7",
        title="Salient objects with a ResNet and a Res2Net backbone",
        section="4.9",
        task="saliency",
        figure="saliency",
        networks=_FIFTY,
        of="table9",
    ),
)
ITEMS: Mapping[str, Item] = MappingProxyType({i.name: i for i in (*_TABLES, *_FIGURES)})


def find_items(name: str) -> tuple[Item, ...]:
    """The item of that name, or all items for ``all``.

    Raises:
        UserError: no such item; suggests the nearest.
    """
    if name == "all":
        return tuple(ITEMS.values())
    if name not in ITEMS:
        known = ("all", *ITEMS)
        raise UserError(
            f"unknown item {name!r}.{did_you_mean(name, known)} It can be {', '.join(known)}"
        )
    return (ITEMS[name],)


NAMES: Mapping[str, str] = {  # the paper's metric → column heading
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "flops": "FLOPs, G",
    "params": "params, M",
    "runtime": "runtime, ms",
    "box_ap": "AP, %",
    "box_ap50": "AP50, %",
    "box_ar": "AR, %",
    "mean_iou": "mean IoU, %",
    "f_measure": "max F",
    "mae": "MAE",
    **{
        f"{what}_ap{key}": f"AP{word}, %"
        for what in ("mask", "keypoint")
        for key, word in (
            *(("", ""), ("50", "50"), ("75", "75")),
            *(("_small", "S"), ("_medium", "M"), ("_large", "L")),
        )
    },
}
LOWER_IS_BETTER = frozenset({"top1_error", "top5_error", "mae", "runtime"})


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One row of a table of the paper: a network in a setting, published and counted values."""

    item: str  # "table1"
    label: str  # as in the paper
    setting: str
    network: str  # of the model table
    published: Mapping[str, float]  # metric → value
    params: int
    macs: int

    @property
    def title(self) -> str:
        """The row's label as in the paper."""
        return " ".join(part for part in (self.label, self.setting) if part)


def rows_of(item: Item) -> tuple[TableRow, ...]:
    """The rows of a table in the paper's order; none for a figure."""
    if item.table is None:
        return ()
    cells: dict[tuple[str, str, str], dict[str, float]] = {}
    for cell in published(item.table):
        assert cell.network is not None, cell  # every row of the paper is in the model table
        cells.setdefault((cell.label, cell.setting, cell.network), {})[cell.metric] = cell.value
    rows = []
    for (label, setting, network), values in cells.items():
        params, macs = counts(network, 299 if setting == "299×299" else None)
        rows.append(
            TableRow(
                item=item.name,
                label=label,
                setting=setting,
                network=network,
                published=values,
                params=params,
                macs=macs,
            )
        )
    return tuple(rows)


@cache
def counts(network: str, size: int | None = None) -> tuple[int, int]:
    """Parameters and multiply-adds of an image of ``size`` pixels, the network's own by default."""
    structure = tally(find_variant(network), size=size)
    return structure.params, structure.macs


def metrics_of(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """The metrics of a table, in order."""
    return tuple(dict.fromkeys(metric for row in rows for metric in row.published))


def shown(metric: str, value: float | None) -> str:
    """A value with the paper's number of decimals; "" if there is none."""
    if value is None:
        return ""
    if metric in ("f_measure", "mae"):
        return f"{value:.3f}"
    if metric == "runtime":
        return f"{value:.0f}"
    return f"{value:.2f}" if metric.endswith("error") else f"{value:.1f}"
