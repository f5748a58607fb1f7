"""Annotated images of an export: a graph's AP, and what calibrates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.data.scene import Objects, Scene, Scenes
from res2net.deploy.views import Views, of_annotated
from res2net.errors import UserError
from res2net.tasks.table import find_task

CARD = ModelCard(
    network="res2net18", task="detect", classes=("cat",), preprocess=default_preprocess(96)
)
TASK = find_task("detect")


def views(boxes: list[list[float]]) -> Views:
    objects = Objects(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=np.zeros(len(boxes), np.int64),
        ignored=np.zeros(len(boxes), bool),
        areas=np.full(len(boxes), 100.0),
    )
    scenes = [Scene(name="a", image=np.zeros((48, 48, 3), np.uint8), objects=objects)]
    data = Scenes(name="made", classes=("cat",), train=(), val=scenes)
    return Views(origin="", scenes=scenes, task=TASK, card=CARD, size=(96, 96), data=data)


@pytest.mark.parametrize(("found", "ap"), [(2, 100), (1, 100 * 51 / 101)])
def test_the_ap_of_a_graph_is_that_of_its_boxes_in_the_image(found: int, ap: float) -> None:
    """48 pixels in a frame of 96; of two objects both are found, or one (a recall of 1/2)."""
    truth = views([[4, 4, 14, 14], [20, 20, 40, 30]])
    outputs = [
        np.array([[8, 8, 28, 28], [40, 40, 80, 60]], np.float32)[:found],
        np.array([0.9, 0.8], np.float32)[:found],
        np.zeros(found, np.float32),
    ]
    name, value = truth.score(lambda images: outputs if images.shape == (1, 96, 96, 3) else [])
    assert (name, value) == ("ap", pytest.approx(ap))


def test_images_without_objects_have_no_ap() -> None:
    nothing = [np.zeros((0, 4), np.float32), *[np.zeros(0, np.float32)] * 2]
    with pytest.raises(UserError, match="nothing was measured: the 1 images have no object"):
        views([]).score(lambda images: nothing)


def test_every_second_annotated_image_calibrates(tmp_path: Path) -> None:
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for name in "abcde":
        Image.new("RGB", (16, 16)).save(tmp_path / f"{name}.png")
        rows.append(f"{name}.png,cat,1,1,9,9")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    calibration, checked = of_annotated(str(tmp_path), TASK, CARD, (96, 96), most=2)
    names = {each.name for part in (calibration, checked) for each in part.scenes}
    assert (len(calibration.scenes), len(checked.scenes), len(names)) == (2, 2, 4)
    (tmp_path / "boxes.csv").write_text("\n".join(rows).replace("cat", "dog"))
    with pytest.raises(UserError, match=r"is checked by its AP, .*: it has no dog"):
        of_annotated(str(tmp_path), TASK, CARD, (96, 96), most=2)
    (tmp_path / "boxes.csv").unlink()
    with pytest.raises(UserError, match=r"^--images: int8 of a Faster R-CNN is checked by its AP"):
        of_annotated(str(tmp_path), TASK, CARD, (96, 96), most=2)
