"""The paper's published values: every number of Tables 1-10, quoted, not measured here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from res2net.errors import UserError, did_you_mean
from res2net.paper.networks import NETWORKS

Metric = tuple[str, str]  # (name, unit)
Row = tuple[str, str]  # (label, setting)
Cells = tuple[float | None, ...]  # one per metric; None for a dash in the paper


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One number of a table of the paper."""

    item: str  # "Table 1"
    network: str | None  # name in the model table
    label: str  # as in the paper
    setting: str  # w×s, data set or group, as in the paper
    metric: str
    value: float
    unit: str  # "%", "G", "M", "ms", or "1" for a fraction


def _table(
    item: str,
    metrics: tuple[Metric, ...],
    lines: Iterable[tuple[str | None, str, str, Cells]],
) -> tuple[Published, ...]:
    """A table as printed, with lines of (network, label, setting, cells)."""
    return tuple(
        Published(
            item=item,
            network=network,
            label=label,
            setting=setting,
            metric=metric,
            value=value,
            unit=unit,
        )
        for network, label, setting, cells in lines
        for (metric, unit), value in zip(metrics, cells, strict=True)
        if value is not None
    )


# ---------------------------------------------------------------- Tables 1-4: ImageNet, CIFAR-100

_TOP1, _TOP5 = ("top1_error", "%"), ("top5_error", "%")

TABLE_1 = _table(  # ImageNet, top-1 and top-5 test error
    "Table 1",
    (_TOP1, _TOP5),
    (
        ("resnet50", "ResNet-50", "", (23.85, 7.13)),
        ("res2net50_26w_4s", "Res2Net-50", "", (22.01, 6.15)),
        ("inception_v3", "InceptionV3", "299×299", (22.55, 6.44)),
        ("res2net50_26w_4s", "Res2Net-50-299", "299×299", (21.41, 5.88)),
        ("resnext50_32x4d", "ResNeXt-50", "", (22.61, 6.50)),
        ("res2next50", "Res2NeXt-50", "", (21.76, 6.09)),
        ("dla60", "DLA-60", "", (23.32, 6.60)),
        ("dla60_res2net", "Res2Net-DLA-60", "", (21.53, 5.80)),
        ("dla60x", "DLA-X-60", "", (22.19, 6.13)),
        ("dla60_res2next", "Res2NeXt-DLA-60", "", (21.55, 5.86)),
        ("seresnet50", "SENet-50", "", (23.24, 6.69)),
        ("seres2net50_26w_4s", "SE-Res2Net-50", "", (21.56, 5.94)),
        ("blresnet50", "bLResNet-50", "", (22.41, None)),
        ("blres2net50", "bLRes2Net-50", "", (21.68, 6.00)),
    ),
)

TABLE_2 = _table(  # ImageNet, deeper networks
    "Table 2",
    (_TOP1, _TOP5),
    (
        ("densenet161", "DenseNet-161", "", (22.35, 6.20)),
        ("resnet101", "ResNet-101", "", (22.63, 6.44)),
        ("res2net101_26w_4s", "Res2Net-101", "", (20.81, 5.57)),
    ),
)

SAME, MORE = "Res2Net-50 (Preserved complexity)", "Res2Net-50 (Increased complexity)"

TABLE_3 = _table(  # ImageNet, scales of Res2Net-50; FLOPs are multiply-adds
    "Table 3",
    (("flops", "G"), ("runtime", "ms"), _TOP1, _TOP5),
    (
        ("resnet50", "ResNet-50", "64w", (4.2, 149, 23.85, 7.13)),
        ("res2net50_48w_2s", SAME, "48w×2s", (4.2, 148, 22.68, 6.47)),
        ("res2net50_26w_4s", SAME, "26w×4s", (4.2, 153, 22.01, 6.15)),
        ("res2net50_14w_8s", SAME, "14w×8s", (4.2, 172, 21.86, 6.14)),
        ("res2net50_26w_4s", MORE, "26w×4s", (4.2, None, 22.01, 6.15)),
        ("res2net50_26w_6s", MORE, "26w×6s", (6.3, None, 21.42, 5.87)),
        ("res2net50_26w_8s", MORE, "26w×8s", (8.3, None, 20.80, 5.63)),
        ("res2net50_18w_4s", "Res2Net-50-L", "18w×4s", (2.9, 106, 22.92, 6.67)),
    ),
)

TABLE_4 = _table(  # CIFAR-100
    "Table 4",
    (("params", "M"), _TOP1),
    (
        ("wideresnet28_10", "Wide ResNet", "", (36.5, 20.50)),
        ("resnext29_8c64w", "ResNeXt-29", "8c×64w", (34.4, 17.90)),
        ("resnext29_16c64w", "ResNeXt-29", "16c×64w", (68.1, 17.31)),
        ("densenet_bc190_40", "DenseNet-BC", "k = 40", (25.6, 17.18)),
        ("res2next29_6c24w_4s", "Res2NeXt-29", "6c×24w×4s", (24.3, 16.98)),
        ("res2next29_8c25w_4s", "Res2NeXt-29", "8c×25w×4s", (33.8, 16.93)),
        ("res2next29_6c24w_6s", "Res2NeXt-29", "6c×24w×6s", (36.7, 16.79)),
        ("resnext29_8c64w_se", "ResNeXt-29", "8c×64w-SE", (35.1, 16.77)),
        ("res2next29_6c24w_4s_se", "Res2NeXt-29", "6c×24w×4s-SE", (26.0, 16.68)),
        ("res2next29_8c25w_4s_se", "Res2NeXt-29", "8c×25w×4s-SE", (34.0, 16.64)),
        ("res2next29_6c24w_6s_se", "Res2NeXt-29", "6c×24w×6s-SE", (36.9, 16.56)),
    ),
)

RESNET_64W, LIGHT = ("ResNet-50", "64w"), ("Res2Net-50-L", "18w×4s")  # rows of Table 3


# ---------------------------------------------------------------- Tables 5-10: other tasks
# The paper does not state the w×s of "Res2Net-50" in Tables 5, 6, 9 and 10; by Tables 1 and 2
# it is 26w×4s.

_RESNET, _RES2NET = "resnet50", "res2net50_26w_4s"
R50, R2_50, R101, R2_101 = "ResNet-50", "Res2Net-50", "ResNet-101", "Res2Net-101"
SIZES = ("Small", "Medium", "Large", "All")

TABLE_5 = _table(  # object detection, Faster R-CNN
    "Table 5",
    (("box_ap", "%"), ("box_ap50", "%")),
    (
        (_RESNET, R50, "VOC07", (72.1, None)),
        (_RES2NET, R2_50, "VOC07", (74.4, None)),
        (_RESNET, R50, "COCO", (31.1, 51.4)),
        (_RES2NET, R2_50, "COCO", (33.7, 53.6)),
    ),
)

TABLE_6 = _table(  # object detection by object size, COCO
    "Table 6",
    (("box_ap", "%"), ("box_ar", "%")),
    (
        (_RESNET, R50, "Small", (13.5, 21.8)),
        (_RESNET, R50, "Medium", (35.4, 48.6)),
        (_RESNET, R50, "Large", (46.2, 61.6)),
        (_RESNET, R50, "All", (31.1, 42.8)),
        (_RES2NET, R2_50, "Small", (14.0, 23.2)),
        (_RES2NET, R2_50, "Medium", (38.3, 51.1)),
        (_RES2NET, R2_50, "Large", (51.1, 65.3)),
        (_RES2NET, R2_50, "All", (33.7, 45.0)),
    ),
)

TABLE_7 = _table(  # semantic segmentation, DeepLab v3+, VOC12 val
    "Table 7",
    (("mean_iou", "%"),),
    (
        (_RESNET, R50, "64w", (77.7,)),
        ("res2net50_48w_2s", R2_50, "48w×2s", (78.2,)),
        (_RES2NET, R2_50, "26w×4s", (79.2,)),
        ("res2net50_18w_6s", R2_50, "18w×6s", (79.1,)),
        ("res2net50_14w_8s", R2_50, "14w×8s", (79.0,)),
        ("resnet101", R101, "64w", (79.0,)),
        ("res2net101_26w_4s", R2_101, "26w×4s", (80.2,)),
    ),
)

TABLE_8 = _table(  # instance segmentation, Mask R-CNN, COCO
    "Table 8",
    tuple((f"mask_ap{which}", "%") for which in ("", "50", "75", "_small", "_medium", "_large")),
    (
        (_RESNET, R50, "64w", (33.9, 55.2, 36.0, 14.8, 36.0, 50.9)),
        ("res2net50_48w_2s", R2_50, "48w×2s", (34.2, 55.6, 36.3, 14.9, 36.8, 50.9)),
        (_RES2NET, R2_50, "26w×4s", (35.6, 57.6, 37.6, 15.7, 37.9, 53.7)),
        ("res2net50_18w_6s", R2_50, "18w×6s", (35.7, 57.5, 38.1, 15.4, 38.1, 53.7)),
        ("res2net50_14w_8s", R2_50, "14w×8s", (35.3, 57.0, 37.5, 15.6, 37.5, 53.4)),
    ),
)

TABLE_9 = _table(  # salient object detection, DSS
    "Table 9",
    (("f_measure", "1"), ("mae", "1")),
    (
        (_RESNET, R50, "ECSSD", (0.910, 0.065)),
        (_RES2NET, R2_50, "ECSSD", (0.926, 0.056)),
        (_RESNET, R50, "PASCAL-S", (0.823, 0.105)),
        (_RES2NET, R2_50, "PASCAL-S", (0.841, 0.099)),
        (_RESNET, R50, "HKU-IS", (0.894, 0.058)),
        (_RES2NET, R2_50, "HKU-IS", (0.905, 0.050)),
        (_RESNET, R50, "DUT-OMRON", (0.748, 0.092)),
        (_RES2NET, R2_50, "DUT-OMRON", (0.800, 0.071)),
    ),
)

_POSE = tuple((f"keypoint_ap{which}", "%") for which in ("", "50", "75", "_medium", "_large"))

TABLE_10 = _table(  # key points, SimpleBaseline, COCO val
    "Table 10",
    _POSE,
    (
        (_RESNET, R50, "", (70.4, 88.6, 78.3, 67.1, 77.2)),
        (_RES2NET, R2_50, "", (73.7, 92.5, 81.4, 70.8, 78.2)),
        ("resnet101", R101, "", (71.4, 89.3, 79.3, 68.1, 78.1)),
        ("res2net101_26w_4s", R2_101, "", (74.4, 92.6, 82.6, 72.0, 78.5)),
    ),
)

PUBLISHED: tuple[Published, ...] = (
    *(*TABLE_1, *TABLE_2, *TABLE_3, *TABLE_4, *TABLE_5),
    *(*TABLE_6, *TABLE_7, *TABLE_8, *TABLE_9, *TABLE_10),
)

# Not from the paper: AP in the authors' repository (Res2Net-Pose-Estimation, README) for the
# networks of Table 10, by source of the person boxes.
POSE_README = _table(
    "Res2Net-Pose-Estimation",
    _POSE[:1],
    (
        (_RESNET, R50, "detector boxes", (70.4,)),
        (_RES2NET, R2_50, "detector boxes", (71.5,)),
        (_RESNET, R50, "ground-truth boxes", (72.4,)),
        (_RES2NET, R2_50, "ground-truth boxes", (73.7,)),
        ("resnet101", R101, "detector boxes", (71.4,)),
        ("res2net101_26w_4s", R2_101, "detector boxes", (72.2,)),
        ("res2net101_26w_4s", R2_101, "ground-truth boxes", (74.4,)),
    ),
)


def published(item: str | None = None, network: str | None = None) -> tuple[Published, ...]:
    """The published results of a table ("Table 1"), of a network, or of both; all by default.

    Raises:
        UserError: no such table or network; suggests the nearest.
    """
    items = list(dict.fromkeys(row.item for row in PUBLISHED))
    for word, what, known in ((item, "table", items), (network, "model", list(NETWORKS))):
        if word is not None and word not in known:
            raise UserError(f"unknown {what} {word!r}.{did_you_mean(word, known)}")
    return tuple(
        row for row in PUBLISHED if item in (None, row.item) and network in (None, row.network)
    )


def tables_of(network: str) -> tuple[str, ...]:
    """The tables that contain a network, in the paper's order; empty if there are none.

    Raises:
        UserError: no such network; suggests the nearest.
    """
    return tuple(dict.fromkeys(row.item for row in published(network=network)))
