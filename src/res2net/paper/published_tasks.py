"""Tables 5-10 (detection, segmentation, saliency, key points).

The paper does not say which w×s its "Res2Net-50" of Tables 5, 6, 9 and 10 has; by Tables 1 and 2 it
is 26w×4s.
"""

from __future__ import annotations

from res2net.paper.published_rows import table

_RESNET, _RES2NET = "resnet50", "res2net50_26w_4s"
R50, R2_50, R101, R2_101 = "ResNet-50", "Res2Net-50", "ResNet-101", "Res2Net-101"
SIZES = ("Small", "Medium", "Large", "All")

TABLE_5 = table(  # object detection, Faster R-CNN
    "Table 5",
    (("box_ap", "%"), ("box_ap50", "%")),
    (
        (_RESNET, R50, "VOC07", (72.1, None)),
        (_RES2NET, R2_50, "VOC07", (74.4, None)),
        (_RESNET, R50, "COCO", (31.1, 51.4)),
        (_RES2NET, R2_50, "COCO", (33.7, 53.6)),
    ),
)

TABLE_6 = table(  # object detection by object size, COCO
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

TABLE_7 = table(  # semantic segmentation, DeepLab v3+, VOC12 val
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

TABLE_8 = table(  # instance segmentation, Mask R-CNN, COCO
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

TABLE_9 = table(  # salient object detection, DSS
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

TABLE_10 = table(  # key points, SimpleBaseline, COCO val
    "Table 10",
    _POSE,
    (
        (_RESNET, R50, "", (70.4, 88.6, 78.3, 67.1, 77.2)),
        (_RES2NET, R2_50, "", (73.7, 92.5, 81.4, 70.8, 78.2)),
        ("resnet101", R101, "", (71.4, 89.3, 79.3, 68.1, 78.1)),
        ("res2net101_26w_4s", R2_101, "", (74.4, 92.6, 82.6, 72.0, 78.5)),
    ),
)

TASKS = (*TABLE_5, *TABLE_6, *TABLE_7, *TABLE_8, *TABLE_9, *TABLE_10)

# Not the paper: the AP that the authors' own repository (Res2Net-Pose-Estimation, README) gives for
# the networks of Table 10, by whose person boxes were used.
POSE_README = table(
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
