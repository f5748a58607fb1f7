"""Each task learns eight real images by heart: what it marks, it can find again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from res2net.config import HeadOptions, InputOptions, NetOptions, RunConfig
from res2net.data.augment import Augment
from res2net.data.loader import make_loader
from res2net.data.scene import Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.scenes.transforms import as_it_is
from res2net.data.source import parse_source
from res2net.tasks.job import build, describe
from res2net.tasks.pose.crops import CropDataset
from res2net.tasks.scores import Measuring, Scores
from res2net.tasks.table import find_task

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",  # reading eight images needs none
    "ignore:You defined a `validation_step` but have no `val_dataloader`.*",  # measured once, after
    "ignore:.*is smaller than the logging interval.*",
    r"ignore:.*isinstance\(treespec, LeafSpec\).*",  # Lightning 2.6 on torch 2.14
)
COUNT = 8
SMALLER = "res2net26_small"  # half of res2net18's multiply-adds


def learn_by_heart(
    task_name: str,
    data: str,
    fits: Callable[[Scene], bool],
    *,
    shaped: Callable[[Scene], Scene] = lambda scene: scene,
    size: int,
    epochs: int,
    lr: float = 1e-3,
    count: int = COUNT,
    network: str = "res2net18",
    net: NetOptions | None = None,
    **head: Any,
) -> Scores:
    """Train on a few scenes without variation and measure on the same."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    task = find_task(task_name)
    every = read_scenes(parse_source(data), SceneOptions(marks=task.data.marks))
    few = [scene for scene in (*every.train, *every.val) if fits(scene)][:count]
    few = [shaped(scene) for scene in few]
    assert len(few) == count
    images: Scenes = replace(every, train=few, val=few)
    config = RunConfig(
        model=network,
        net=net or NetOptions(),
        data=data,
        recipe="scratch",
        task=task.name,
        head=HeadOptions(**head),
        input=InputOptions(size=size),
        augment=Augment(crop="none", hflip=0.0),
    )
    card = describe(task, config, images)
    torch.manual_seed(0)
    model = build(task, card)
    for each in model.modules():
        if isinstance(each, torch.nn.Dropout):
            each.p = 0.0
    datasets = task.datasets(config, card, images)
    if isinstance(datasets.train, SceneDataset) and task_name == "segment":
        datasets.train.transform = as_it_is
    if isinstance(datasets.train, CropDataset):
        datasets.train.hflip = None
    loader = make_loader(datasets.train, datasets.collate_train, batch=count, shuffle=True)

    def optimiser(module: pl.LightningModule) -> Any:
        made = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=0.0)
        steps = epochs * len(loader)
        schedule = torch.optim.lr_scheduler.OneCycleLR(made, lr, total_steps=steps)
        return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = task.module()(model, card=card, images=images, config=config, optimiser=optimiser)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    # what was never seen in a mirror is not looked for in one
    return task.measure()(model, card, images, few, Measuring(precision="fp32", flip=False))


def few_objects(least_side: float, most: int) -> Callable[[Scene], bool]:
    """Scenes with some objects, none of them tiny, and no crowd."""

    def fits(scene: Scene) -> bool:
        objects = scene.objects
        if objects is None or not 0 < len(objects) <= most or objects.ignored.any():
            return False
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        return bool(sides.min() >= least_side)

    return fits


def halved(scene: Scene) -> Scene:
    """Half the size, the middle 224 x 160 of it: photos of one size, to learn from whole."""
    assert isinstance(scene.image, Path)
    assert isinstance(scene.classes, Path)
    cut = []
    for file, method in ((scene.image, Image.Resampling.BOX), (scene.classes, Image.NEAREST)):
        with Image.open(file) as image:
            half = image.resize((image.width // 2, image.height // 2), method)
        left, top = (half.width - 224) // 2, (half.height - 160) // 2
        cut.append(np.array(half.crop((left, top, left + 224, top + 160))))
    return replace(scene, image=cut[0], classes=cut[1])


def wide(scene: Scene) -> bool:
    with Image.open(str(scene.image)) as image:
        return image.width >= 448 and image.height >= 320


def with_poses(scene: Scene) -> bool:
    objects = scene.objects
    if objects is None or objects.keypoints is None or not len(objects) or objects.ignored.any():
        return False
    return bool(((objects.keypoints[:, :, 2] > 0).sum(1) >= 8).all())


def real(shared_data: Path, form: str, folder: str) -> str:
    return f"{form}:{shared_data / folder}"


def anything(scene: Scene) -> bool:
    return bool(scene.name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*2 boxes left out that have no area.*")  # BCCD's own
def test_detection(shared_data: Path) -> None:
    data, fits = real(shared_data, "voc", "bccd"), few_objects(20, 18)
    found = learn_by_heart(
        "detect", data, fits, size=256, epochs=100, network=SMALLER, channels=64, regions=64
    )
    assert found.summary()["ap50"] >= 90


@pytest.mark.slow
def test_instances(shared_data: Path) -> None:
    data, fits = real(shared_data, "coco", "coco"), few_objects(48, 5)
    found = learn_by_heart(
        "instances", data, fits, size=256, epochs=150, network=SMALLER, channels=64, regions=64
    )
    assert found.summary()["ap50"] >= 90
    assert found.summary()["mask_ap50"] >= 90


@pytest.mark.slow
def test_segmentation(shared_data: Path) -> None:
    data = real(shared_data, "voc", "voc")
    found = learn_by_heart(
        "segment", data, wide, shaped=halved, size=224, epochs=120, lr=2e-3, channels=64
    )
    assert found.summary()["mean_iou"] >= 85


@pytest.mark.slow
def test_salient_objects(shared_data: Path) -> None:
    data = real(shared_data, "ecssd", "ecssd")
    found = learn_by_heart("saliency", data, anything, size=192, epochs=120, channels=64)
    assert found.summary()["max_f"] >= 0.95


@pytest.mark.slow
def test_poses(shared_data: Path) -> None:
    data = real(shared_data, "coco", "coco")
    found = learn_by_heart("pose", data, with_poses, size=192, epochs=200, channels=64)
    assert found.summary()["ap"] >= 90


@pytest.mark.slow
def test_detection_of_two_scenes() -> None:
    found = learn_by_heart(
        "detect", "scenes", few_objects(40, 2), size=128, epochs=40, count=2, lr=2e-3,
        channels=32, regions=32,
    )  # fmt: skip
    assert found.summary()["ap50"] >= 90


@pytest.mark.slow
def test_salience_of_two_scenes() -> None:
    def large(scene: Scene) -> bool:
        return isinstance(scene.salient, np.ndarray) and (scene.salient > 0).mean() > 0.15

    found = learn_by_heart(
        "saliency", "scenes", large, size=64, epochs=50, count=2, channels=32,
        net=NetOptions(width=4, scale=2),
    )  # fmt: skip
    assert found.summary()["max_f"] >= 0.9


@pytest.mark.slow
def test_poses_of_two_scenes() -> None:
    found = learn_by_heart(
        "pose", "scenes", few_objects(60, 2), size=96, epochs=60, count=2, lr=2e-3, channels=32
    )
    assert found.summary()["ap50"] >= 90
