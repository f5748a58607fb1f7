"""Training recipes as data: the settings of a run before options are applied.

Settings are named like options of ``res2net train``. A recipe states its source and its reported
result; numbers that are neither published nor measured are not given. Beyond classification the
paper cites baseline codes and changes only the backbone; open settings are taken from those codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from res2net.errors import UserError, did_you_mean
from res2net.paper.tasks import CLASSIFY

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A named starting point."""

    summary: str  # one line for --help
    source: str  # publication of the recipe
    promise: str  # reported result and its source; "" if not measured
    settings: Settings  # option → value


# ---------------------------------------------------------------- shared settings

_IMAGENET: dict[str, Any] = {
    "train.epochs": 100,
    "train.batch": 256,
    "train.optimizer": "sgd",
    "train.lr": 0.1,
    "train.lr_batch": 256,
    "train.momentum": 0.9,
    "train.weight_decay": 1e-4,
    "train.decay_norms": True,
    "train.schedule": "step",
    "train.milestones": [30, 60, 90],
    "train.gamma": 0.1,
    "train.label_smoothing": 0.1,
    "augment.crop": "random_resized",
    "augment.crop_scale": 0.08,
    "augment.hflip": 0.5,
}
_CIFAR: dict[str, Any] = {
    "train.batch": 128,
    "train.optimizer": "sgd",
    "train.lr": 0.1,
    "train.lr_batch": 128,
    "train.momentum": 0.9,
    "train.nesterov": True,
    "train.weight_decay": 5e-4,
    "train.decay_norms": True,
    "augment.crop": "pad",
    "augment.pad": 4,
    "augment.hflip": 0.5,
}
_ADAMW: dict[str, Any] = {
    "train.optimizer": "adamw",
    "train.weight_decay": 0.05,
    "train.decay_norms": False,
    "train.schedule": "cosine",
    "train.warmup": 1.0,
}
_SCRATCH: dict[str, Any] = {**_ADAMW, "train.warmup": 2.0, "train.clip": 1.0}
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
_FEW_OBJECTS = Recipe(
    summary="for a few hundred images: FPN of 64 channels, short side 320, AdamW, cosine",
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
)
_SMOKE = Recipe(
    summary="quick check of any network and data: 8 steps on small images, under a minute",
    source="this project",
    promise="",
    settings={
        "train.epochs": 1,
        "train.max_steps": 8,
        "train.val_batches": 4,
        "train.batch": 4,
        "train.optimizer": "sgd",
        "train.lr": 0.01,
        "train.schedule": "constant",
        "input.size": 96,
        "input.workers": 0,
        "augment.hflip": 0.5,
    },
)
_SMOKE_OBJECTS = replace(  # most of the work is per region in the heads
    _SMOKE, settings={**_SMOKE.settings, "head.regions": 16, "train.clip": 1.0}
)

# ---------------------------------------------------------------- the recipes of each task

_CLASSIFY: dict[str, Recipe] = {
    "imagenet": Recipe(
        summary="paper: SGD, lr 0.1 at batch 256, /10 every 30 epochs, 100 epochs",
        source=(
            "paper 4.1; label smoothing 0.1 is in the authors' training code but not in the "
            "paper (docs/errata.md)"
        ),
        promise="Res2Net-50 26w4s: 22.01 / 6.15 top-1 / top-5 error (Table 1)",
        settings=_IMAGENET,
    ),
    "imagenet299": Recipe(
        summary="as imagenet, at 299 pixels: Res2Net-50-299 of Table 1",
        source="paper 4.2.1, 'input image size of 299x299'; nothing more was published",
        promise="Res2Net-50 26w4s: 21.41 / 5.88 top-1 / top-5 error (Table 1)",
        settings={**_IMAGENET, "input.size": 299},
    ),
    "biglittle": Recipe(
        summary="Big-Little Net: SGD with Nesterov, cosine, 110 epochs, colour jitter 0.4",
        source="IBM/BigLittleNet; the paper trains bLResNet like its other networks",
        promise="bLResNet-50: 22.41 top-1 error (its authors)",
        settings={
            **_IMAGENET,
            "train.epochs": 110,
            "train.nesterov": True,
            "train.schedule": "cosine",
            "train.milestones": [],
            "train.label_smoothing": 0.0,
            "augment.color_jitter": 0.4,
            "net.zero_init": True,
        },
    ),
    "cifar": Recipe(
        summary="ResNeXt-29: SGD with Nesterov, lr 0.1 at batch 128, /10 at epochs 150, 225 of 300",
        source=(
            "paper 4.3 with prlz77/ResNeXt.pytorch and facebookresearch/ResNeXt; the authors' "
            "batch 64 with lr 0.05 is equivalent by linear scaling"
        ),
        promise="Res2NeXt-29 6c24w4s: 16.98 top-1 error on CIFAR-100 (Table 4)",
        settings={
            **_CIFAR,
            "train.epochs": 300,
            "train.schedule": "step",
            "train.milestones": [150, 225],
        },
    ),
    "cifar-short": Recipe(
        summary="a tenth of cifar's epochs: SGD with Nesterov, lr 0.1, warm-up, cosine",
        source="this project, for studies on a CPU (docs/studies.md)",
        promise="",
        settings={
            **_CIFAR,
            "train.epochs": 30,
            "train.schedule": "cosine",
            "train.warmup": 1.0,
        },
    ),
    "cifar-fast": Recipe(
        summary="CIFAR in a few epochs: whitened first convolution, linear schedule, batch 512",
        source=(
            "this project, with ideas of KellerJordan/cifar10-airbench; not the paper's training "
            "(docs/training.md)"
        ),
        promise="",
        settings={
            **_CIFAR,
            "train.epochs": 16,
            "train.batch": 512,
            "train.lr": 0.4,
            "train.lr_batch": 512,
            "train.norm_bias_factor": 8.0,
            "train.schedule": "linear",
            "train.warmup": 3.0,
            "train.label_smoothing": 0.1,
            "net.whiten": True,
            "augment.pad": 2,
            "augment.border": "reflect",
            "augment.flip": "alternate",
        },
    ),
    "finetune": Recipe(
        summary="for your own images: published weights if available, AdamW, warm-up, cosine",
        source="this project",
        promise="",
        settings={
            **_ADAMW,
            "train.epochs": 30,
            "train.batch": 32,
            "train.lr": 1e-3,
            "train.label_smoothing": 0.1,
            "train.clip": 1.0,
            "augment.crop": "random_resized",
            "augment.crop_scale": 0.35,
            "augment.hflip": 0.5,
            "net.pretrained": "auto",
        },
    ),
    "digits": Recipe(
        summary="scikit-learn's digits: AdamW, cosine, small shifts, no flips",
        source="this project",
        promise="",
        settings={
            **_ADAMW,
            "train.epochs": 12,
            "train.batch": 64,
            "train.lr": 3e-3,
            "augment.crop": "pad",
            "augment.pad": 4,
            "augment.hflip": 0.0,
        },
    ),
    "scenes": Recipe(
        summary="generated images of one object each: AdamW, cosine, no crops",
        source="this project",
        promise="",
        settings={
            **_ADAMW,
            "train.epochs": 12,
            "train.batch": 64,
            "train.lr": 2e-3,
            "augment.crop": "none",  # keeps object lengths
            "augment.hflip": 0.5,
        },
    ),
}

RECIPES: Mapping[str, Mapping[str, Recipe]] = MappingProxyType(
    {
        "classify": _CLASSIFY,
        "detect": {
            "paper": Recipe(
                summary="Table 5, PASCAL VOC07: C4, short side 600, SGD, 10 epochs",
                source="paper 4.6 with jwyang/faster-rcnn.pytorch; the authors' code is not public",
                promise="Res2Net-50 26w4s: 74.4 11-point AP50 on VOC07 test (Table 5)",
                settings={
                    **_C4,
                    "head.anchors": [128, 256, 512],
                    "train.epochs": 10,
                    "train.milestones": [8],
                },
            ),
            "paper-coco": Recipe(
                summary="Table 6, COCO: C4, short side 600, SGD, 10 epochs",
                source="paper 4.6 with jwyang/faster-rcnn.pytorch; the authors' code is not public",
                promise="Res2Net-50 26w4s: 33.7 AP on COCO (Table 6)",
                settings={
                    **_C4,
                    "head.anchors": [64, 128, 256, 512],
                    "train.epochs": 10,
                    "train.milestones": [4, 8],
                },
            ),
            "fpn": Recipe(
                summary="the usual FPN baseline: short side 800, SGD, 12 epochs",
                source="the usual 1x schedule",
                promise="",
                settings={**_FPN, "train.epochs": 12, "train.milestones": [8, 11]},
            ),
            "scratch": _FEW_OBJECTS,
            "smoke": _SMOKE_OBJECTS,
        },
        "instances": {
            "paper": Recipe(
                summary="Table 8, COCO: Mask R-CNN FPN, short side 800, SGD, the 2x schedule",
                source="paper 4.8 with the authors' maskrcnn-benchmark (180,000 steps of 16)",
                promise="Res2Net-50 26w4s: 35.6 AP of masks on COCO (Table 8)",
                settings={**_FPN, "train.epochs": 24, "train.milestones": [16, 22]},
            ),
            "scratch": _FEW_OBJECTS,
            "smoke": _SMOKE_OBJECTS,
        },
        "segment": {
            "paper": Recipe(
                summary="Table 7, VOC12: DeepLab v3+, SGD, lr 0.007, head x10, poly, 50 epochs",
                source=(
                    "paper 4.7 with jfzhang95/pytorch-deeplab-xception; authors' code not public"
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
                summary="for a few hundred images: AdamW, cosine, crops of 256 pixels",
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
                summary="Table 9, MSRA-B: DSS, SGD, 48 epochs at batch 10, lr /10 after 30",
                source=(
                    "paper 4.9 with Andrew-Qibin/DSS: lr 1e-8 for summed losses is 1.2e-3 for means"
                    " over 300 x 400 pixels, without weight decay; 12,000 steps of 10 images"
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
                summary="for a few hundred images: fewer channels, 224 pixels, AdamW, cosine",
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
                promise="Res2Net-50 26w4s: 73.7 AP on annotated boxes (Table 10)",
                settings={
                    "train.epochs": 140,
                    "train.batch": 128,
                    "train.optimizer": "adamw",  # equals Adam without weight decay
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
                summary="for a few hundred objects: 128 channels, AdamW, cosine",
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
        "pretrain": {
            "scratch": Recipe(
                summary="hundreds to thousands of photos: VICReg, AdamW, cosine, 100 epochs",
                source="this project, with the loss and the views of Bardes et al. 2022",
                promise="",
                settings={
                    **_SCRATCH,
                    "train.epochs": 100,
                    "train.batch": 64,
                    "train.lr": 1e-3,
                    "train.select": "last",
                    "augment.color_jitter": 0.5,
                },
            ),
        },
    }
)

# task → data format → default recipe; "" stands for the other formats
_USUAL: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "classify": {
            "cifar10": "cifar",
            "cifar100": "cifar",
            "imagenet": "imagenet",
            "digits": "digits",
            "scenes": "scenes",
            "": "finetune",
        },
        "segment": {"voc": "paper"},
        "saliency": {"msra-b": "paper"},
    }
)


def recipes_of(task: str) -> Mapping[str, Recipe]:
    """The recipes of a task, by name."""
    own = RECIPES[task]
    return {**own, "smoke": own.get("smoke", _SMOKE)}


def find_recipe(name: str, task: str = CLASSIFY) -> Recipe:
    """The recipe of that name for a task.

    Raises:
        UserError: no such recipe (suggests the nearest and lists all), or one for another task.
    """
    known = recipes_of(task)
    if name not in known:
        owners = [each for each in RECIPES if name in recipes_of(each)]
        why = f" It is for --task {' and '.join(owners)}." if owners else did_you_mean(name, known)
        what = f"unknown recipe {name!r}" if not owners else f"recipe {name!r} is not for {task}"
        raise UserError(f"{what}.{why} It can be {', '.join(known)}.")
    return known[name]


def recipe_for(data_format: str, task: str = CLASSIFY) -> str:
    """The default recipe for data of this format."""
    usual = _USUAL.get(task, {})
    return usual.get(data_format, usual.get("", "scratch"))
