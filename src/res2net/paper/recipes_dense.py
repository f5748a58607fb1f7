"""Recipes of the tasks beyond classification: the paper's, and one from scratch on little data.

The paper names its bases and changes the backbone only; what it leaves open is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from res2net.paper.recipe import Recipe

_SCRATCH: dict[str, Any] = {
    "train.optimizer": "adamw",
    "train.weight_decay": 0.05,
    "train.decay_norms": False,
    "train.schedule": "cosine",
    "train.warmup": 2.0,
    "train.clip": 1.0,
}
_DETECTOR: dict[str, Any] = {
    "train.batch": 16,
    "train.optimizer": "sgd",
    "train.lr_batch": 16,
    "train.momentum": 0.9,
    "train.weight_decay": 1e-4,
    "train.decay_norms": False,  # neither base lets biases decay
    "train.schedule": "step",
    "train.gamma": 0.1,
    "train.frozen_levels": 2,
    "net.norm": "frozen",
    "net.pretrained": "auto",
}
_C4: dict[str, Any] = {
    **_DETECTOR,
    "train.lr": 0.01,
    "head.form": "c4",
    "head.as_base": True,
    "input.size": 600,
    "augment.crop": "none",
}
_FPN: dict[str, Any] = {
    **_DETECTOR,
    "train.lr": 0.02,
    "train.warmup": 0.07,
    "input.size": 800,
    "augment.crop": "none",
}

DENSE_RECIPES: Mapping[str, Mapping[str, Recipe]] = MappingProxyType(
    {
        "detect": {
            "paper": Recipe(
                summary="Table 5, PASCAL VOC07: C4 form, short side 600, SGD, 10 epochs",
                source="paper 4.6 with jwyang/faster-rcnn.pytorch; its own code is not public",
                promise="Res2Net-50 26w4s: 74.4 AP50 by 11 points on VOC07 test (Table 5)",
                settings={
                    **_C4,
                    "head.anchors": [128, 256, 512],
                    "train.epochs": 10,
                    "train.milestones": [8],
                },
            ),
            "paper-coco": Recipe(
                summary="Table 6, COCO: C4 form, short side 600, SGD, 10 epochs",
                source="paper 4.6 with jwyang/faster-rcnn.pytorch; its own code is not public",
                promise="Res2Net-50 26w4s: 33.7 AP on COCO (Table 6)",
                settings={
                    **_C4,
                    "head.anchors": [64, 128, 256, 512],
                    "train.epochs": 10,
                    "train.milestones": [4, 8],
                },
            ),
            "fpn": Recipe(
                summary="the form people use: FPN, short side 800, SGD, 12 epochs",
                source="the usual 1x schedule",
                promise="",
                settings={**_FPN, "train.epochs": 12, "train.milestones": [8, 11]},
            ),
            "scratch": Recipe(
                summary="a few hundred images: FPN of 64 channels, short side 320, AdamW, cosine",
                source="this project",
                promise="",
                settings={
                    **_SCRATCH,
                    "train.epochs": 40,
                    "train.batch": 8,
                    "train.lr": 1e-3,
                    "input.size": 320,
                    "head.channels": 64,
                    "head.regions": 64,
                    "augment.crop_scale": 0.5,
                },
            ),
        },
        "instances": {
            "paper": Recipe(
                summary="Table 8, COCO: Mask R-CNN FPN, short side 800, SGD, the 2x schedule",
                source="paper 4.8 with its code for maskrcnn-benchmark (180,000 steps of 16)",
                promise="Res2Net-50 26w4s: 35.6 AP of masks on COCO (Table 8)",
                settings={**_FPN, "train.epochs": 24, "train.milestones": [16, 22]},
            ),
            "scratch": Recipe(
                summary="a few hundred images: FPN of 64 channels, short side 320, AdamW, cosine",
                source="this project",
                promise="",
                settings={
                    **_SCRATCH,
                    "train.epochs": 40,
                    "train.batch": 8,
                    "train.lr": 1e-3,
                    "input.size": 320,
                    "head.channels": 64,
                    "head.regions": 64,
                    "augment.crop_scale": 0.5,
                },
            ),
        },
        "segment": {
            "paper": Recipe(
                summary="Table 7, VOC12: DeepLab v3+, SGD, lr 0.007, head x10, poly, 50 epochs",
                source=(
                    "paper 4.7 with jfzhang95/pytorch-deeplab-xception; its own code is not public"
                ),
                promise="Res2Net-50 26w4s: 79.2 % mean IoU on VOC12 val (Table 7)",
                settings={
                    "train.epochs": 50,
                    "train.batch": 16,
                    "train.optimizer": "sgd",
                    "train.lr": 0.007,
                    "train.lr_batch": 16,
                    "train.momentum": 0.9,
                    "train.weight_decay": 5e-4,
                    "train.schedule": "poly",
                    "head.lr_factor": 10.0,
                    "head.as_base": True,
                    "input.size": 513,
                    "net.pretrained": "auto",
                },
            ),
            "scratch": Recipe(
                summary="a few hundred images: AdamW, cosine, crops of 256 pixels",
                source="this project",
                promise="",
                settings={
                    **_SCRATCH,
                    "train.epochs": 60,
                    "train.batch": 8,
                    "train.lr": 2e-3,
                    "input.size": 256,
                },
            ),
        },
        "saliency": {
            "paper": Recipe(
                summary="Table 9, MSRA-B: DSS, SGD, 48 epochs of batch 10, /10 after 30",
                source=(
                    "paper 4.9 with Andrew-Qibin/DSS: lr 1e-8 on summed losses is 1.2e-3 on means "
                    "over 300 x 400 pixels, its decay then vanishes; 12,000 steps of 10 images"
                ),
                promise="Res2Net-50 26w4s: 0.926 max F-measure, 0.056 MAE on ECSSD (Table 9)",
                settings={
                    "train.epochs": 48,
                    "train.batch": 10,
                    "train.optimizer": "sgd",
                    "train.lr": 1.2e-3,
                    "train.lr_batch": 10,
                    "train.momentum": 0.9,
                    "train.weight_decay": 0.0,
                    "train.schedule": "step",
                    "train.milestones": [30],
                    "train.gamma": 0.1,
                    "head.as_base": True,
                    "input.size": 352,
                    "net.pretrained": "auto",
                },
            ),
            "scratch": Recipe(
                summary="a few hundred images: sides a quarter as wide, 224 pixels, AdamW, cosine",
                source="this project",
                promise="",
                settings={
                    **_SCRATCH,
                    "train.epochs": 40,
                    "train.batch": 8,
                    "train.lr": 1e-3,
                    "input.size": 224,
                    "head.channels": 128,
                },
            ),
        },
        "pose": {
            "paper": Recipe(
                summary="Table 10, COCO: SimpleBaseline at 256 x 192, Adam, 140 epochs",
                source="paper 4.10 with microsoft/human-pose-estimation.pytorch",
                promise="Res2Net-50 26w4s: 73.7 AP with the annotated boxes (Table 10)",
                settings={
                    "train.epochs": 140,
                    "train.batch": 128,
                    "train.optimizer": "adamw",  # Adam, as nothing decays
                    "train.lr": 1e-3,
                    "train.weight_decay": 0.0,
                    "train.schedule": "step",
                    "train.milestones": [90, 120],
                    "train.gamma": 0.1,
                    "input.size": 256,
                    "net.pretrained": "auto",
                },
            ),
            "scratch": Recipe(
                summary="a few hundred objects: 128 channels, AdamW, cosine",
                source="this project",
                promise="",
                settings={
                    **_SCRATCH,
                    "train.epochs": 60,
                    "train.batch": 16,
                    "train.lr": 1e-3,
                    "input.size": 192,
                    "head.channels": 128,
                },
            ),
        },
    }
)
