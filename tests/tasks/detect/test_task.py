"""Anchors from the data, factors of rare classes, the focal loss, exact resume with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from res2net.cli.train import resolve
from res2net.config import RunConfig
from res2net.data.sampler import SampleKey
from res2net.data.scene import Objects, Scene
from res2net.errors import UserError
from res2net.heads.detector import make_detector
from res2net.tasks.data import repeat_factors
from res2net.tasks.detect.module import focal_of_regions
from res2net.tasks.detect.task import DETECT, anchors_of
from res2net.tasks.job import describe


def scene(boxes: list[list[float]], labels: list[int], ignored: int = -1) -> Scene:
    objects = Objects(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        ignored=np.arange(len(labels)) == ignored,
        areas=np.zeros(len(labels)),
    )
    return Scene(name="a", image=np.zeros((100, 200, 3), np.uint8), objects=objects)


def test_anchors_are_quantiles_of_the_boxes_as_the_network_sees_them() -> None:
    """Images of 100 x 200 at a short side of 50: the long side of 100 is bounded to 83 (5/3)."""
    sides = [10.0, 20, 40, 80]
    scenes = [scene([[0, 0, side, side] for side in sides], [0] * 4), scene([], [])]
    assert anchors_of(scenes, 50, 2) == (7, 21)  # 17.5 and 50, times 83 / 200
    wide = [scene([[0, 0, 40, 10], [0, 0, 99, 99]], [0, 0], ignored=1)]
    assert anchors_of(wide, 300, 5) == (50,) * 5  # √(40 · 10) of 200 pixels that become 500


def test_factors_of_images_by_hand() -> None:
    """Class 0 in 4 images, 1 in 1, an ignored object of 2, an image of none."""
    box = [0.0, 0, 9, 9]
    scenes = [scene([box] * 2, [0, 0])] * 3 + [scene([box] * 2, [0, 1]), scene([box], [2], 0)]
    scenes.append(scene([], []))
    assert repeat_factors(scenes, 3, 0.0) is None
    found = repeat_factors(scenes, 3, 1.0)
    assert found is not None
    assert found.tolist() == [1, 1, 1, 4, 1, 1]
    root = repeat_factors(scenes, 3, 0.5)
    assert root is not None
    assert root.tolist() == [1, 1, 1, 2, 1, 1]


def test_the_box_head_learns_by_the_focal_loss() -> None:
    logits, labels = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 1])
    p = logits.softmax(1)[[0, 1], labels]
    wanted = ((1 - p) ** 2 * -p.log()).mean()
    assert torch.allclose(focal_of_regions(logits, labels), wanted)


@pytest.mark.parametrize("form", ["fpn", "c4"])
@pytest.mark.parametrize("as_base", [False, True])
def test_a_loss_takes_the_place_of_the_cross_entropy(form: Any, as_base: bool) -> None:
    torch.manual_seed(0)
    model = make_detector(
        "res2net18", 2, form=form, channels=8, short_side=64, long_side=64, regions=8,
        as_base=as_base)  # fmt: skip
    target = {"boxes": torch.tensor([[4.0, 4, 40, 40]]), "labels": torch.tensor([1])}
    seen = {}
    for name, loss in (
        ("plain", None),
        ("own", F.cross_entropy),
        ("zero", lambda x, _: 0 * x.sum()),
    ):
        model.roi_heads.loss = loss
        torch.manual_seed(1)
        losses = model(list(torch.rand(1, 3, 64, 64)), [target])
        seen[name] = float(losses["loss_classifier"].detach())
    assert seen["plain"] == seen["own"] > 0
    assert seen["zero"] == 0


ALL = ("--augment.mosaic", "0.5", "--augment.sides", "64,80", "--augment.color-jitter", "0.4",
       "--train.loss", "focal", "--head.anchors", "auto", "--input.balance", "0.5",
       "--augment.copy-paste", "0.5")  # fmt: skip


@pytest.mark.usefixtures("few_scenes", "undrawn")
def test_a_resumed_run_ends_in_the_same_weights(cli: Any, tmp_path: Path) -> None:
    words = (
        *("train", "--task", "detect", "--model", "res2net18", "--data", "scenes"),
        *("--recipe", "smoke", "--head.channels", "8", "--train.threads", "1"),
        *("--net.width", "2", "--net.scale", "2", "--train.batch", "2"),
        *("--train.max-steps", "-1", "--train.val-batches", "1", *ALL),
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = cli(*words, "--out", whole, "--train.epochs", "2")
    assert done.code == 0
    assert "anchors from the training boxes:" in done.out
    assert cli(*words, "--out", parts, "--train.epochs", "1").code == 0
    decided = RunConfig.read(parts / "config.yaml").head.anchors
    assert len(decided) == 5
    assert decided != "auto"
    assert cli(*words, "--out", parts, "--train.epochs", "2", "--resume").code == 0
    one, other = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("few_scenes")
def test_detectors_paste_by_masks_and_learn_boxes(tmp_path: Path) -> None:
    """The masks are read for pasting alone; the draw follows from the key."""
    given = ("--task", "detect", "--model", "res2net18", "--augment.copy-paste", "1")
    config, *_ = resolve([*given, "--data", "scenes", "--out", str(tmp_path / "run")])
    images = DETECT.data.of_run(config)
    data = DETECT.datasets(config, describe(DETECT, config, images), images)
    one, again, other = (data.train[SampleKey(0, seed)] for seed in (3, 3, 4))
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], other[0])
    assert set(one[1]) == set(data.val[0][1]) == {"boxes", "labels", "ignored"}
    (tmp_path / "boxes.csv").write_text("filename,class,xmin,ymin,xmax,ymax\na.png,cat,1,1,9,9\n")
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    config, *_ = resolve(
        [*given, "--data", f"csv-boxes:{tmp_path}", "--out", str(tmp_path / "run")]
    )
    with pytest.raises(UserError, match="--augment.copy-paste needs masks: csv-boxes:.* no masks"):
        DETECT.data.of_run(config)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (
            ("--augment.sides", "64,16"),
            r"--augment.sides is \[64, 16\]; short sides lie in 32..8192",
        ),
        (("--augment.sides", "64,96", "--augment.scale", "0.5,2"), "both draw the size"),
        (("--augment.mosaic", "2"), "--augment.mosaic is 2.0; a probability lies in 0..1"),
        (("--augment.copy-paste", "2"), "--augment.copy-paste is 2.0; a probability lies in 0..1"),
        (("--input.balance", "2"), r"--input.balance is 2.0; it must lie in 0..1"),
        (("--train.loss", "dice"), "--train.loss dice is not for --task detect, which has"),
        (("--head.anchors", "automatic"), "--head.anchors"),
    ],
)
def test_bad_values_are_refused(words: tuple[str, ...], match: str) -> None:
    given = ["--task", "detect", "--model", "res2net18", "--data", "scenes", "--out", "run"]
    with pytest.raises(UserError, match=match):
        resolve([*given, *words])
