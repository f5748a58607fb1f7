"""Maps measured on marks: classes by name, objects together, rows in pairs, sums by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.data.scene import Objects, Scene, Scenes
from res2net.data.scenes.readers import READERS
from res2net.data.source import HOLDS
from res2net.errors import UserError
from res2net.explain.sheets import draw_concentration
from res2net.explain.study import (
    MARKS,
    Case,
    Row,
    as_csv,
    known_by_all,
    marks_of,
    on_single_objects,
    study,
    summarise,
    together,
)
from res2net.explain.subject import Explained, Subject, UnexplainedError


class Red(Subject):
    """Looks at what is red, whatever it is asked."""

    def __init__(self, name: str, classes: tuple[str, ...]) -> None:
        card = ModelCard(network=name, classes=classes, preprocess=default_preprocess(32))
        super().__init__(name, card, ("c1",))
        self.asked: list[int | None] = []

    def explain(
        self, image: Tensor, *, wanted: int | None = None, level: str | None = None
    ) -> Explained:
        self.asked.append(wanted)
        heat = (image[0] > 200).float().numpy()
        height, width = heat.shape
        label = self.classes[wanted or 0]
        seen = (0, 0, width, height)
        return Explained(
            heat=heat, seen=seen, label=label, score=0.5, level=self.level_named(level)
        )


def scenes() -> Scenes:
    """A red square, class "kite", and a green one, class "ball"; a crowd; an empty image."""
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[10:30, 10:30, 0] = 255
    pixels[20:120, 40:124, 1] = 255
    boxes = np.array([[10.0, 10, 30, 30], [40, 20, 124, 120], [0, 0, 128, 128]])
    objects = Objects(
        boxes=boxes,
        labels=np.array([0, 1, 1]),
        ignored=np.array([False, False, True]),
        areas=np.array([400.0, 8400, 16384]),
    )
    images = (Scene(name="a", image=pixels, objects=objects),)
    return Scenes(name="two", classes=("kite", "ball"), train=(), val=images)


def test_classes_by_name_are_measured_on_their_own_objects() -> None:
    red = Red("red", ("ball", "kite", "tree"))
    shown: list[Case] = []
    rows = study([red], scenes(), scenes().val, "boxes", show=shown.append)
    assert red.asked == [1, 0]
    kite, small, ball, medium = rows
    assert (kite.explained, kite.energy, kite.hit, kite.size) == ("kite", 1.0, True, "all")
    assert (small.explained, small.energy, small.size) == ("kite", 1.0, "small")
    assert (ball.explained, ball.energy, ball.hit, ball.size) == ("ball", 0.0, False, "all")
    assert (medium.explained, medium.energy, medium.size) == ("ball", 0.0, "medium")
    assert kite.area == 400 / 128**2  # the crowd does not count
    (case,) = shown  # the image's first mark
    assert (case.name, case.maps[0].label, int(case.inside.sum())) == ("a", "kite", 400)


def test_without_a_common_name_all_objects_are_one_mark() -> None:
    red = Red("red", ("cat", "dog"))
    assert known_by_all([red], scenes(), "boxes") == ()
    row, small, medium = study([red], scenes(), scenes().val, "boxes")
    assert red.asked == [None]
    assert (row.size, row.energy) == ("all", 1.0)
    assert row.area == pytest.approx((400 + 8400) / 128**2)
    assert (small.size, small.energy, small.area) == ("small", 1.0, 400 / 128**2)
    assert (medium.size, medium.energy, medium.area) == ("medium", 0.0, 8400 / 128**2)
    row, *_ = study([red], scenes(), scenes().val, "boxes", wanted="dog")
    assert red.asked[-1] == 1
    assert row.explained == "dog"


def test_a_map_that_one_network_lacks_is_left_out_for_all(
    recwarn: pytest.WarningsRecorder,
) -> None:
    class Blind(Red):
        def explain(self, *_: Any, **__: Any) -> Explained:
            raise UnexplainedError("blind detects no box to explain in the image")

    with pytest.raises(UserError, match="none of 1 images has an annotation"):
        study([Red("red", ("a",)), Blind("blind", ("a",))], scenes(), scenes().val, "boxes")
    assert "blind detects no box" in str(recwarn.pop(UserWarning).message)


def test_what_stands_out_has_no_class() -> None:
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[10:60, 10:60, 0] = 255
    salient = np.where(pixels[..., 0] > 0, np.uint8(255), np.uint8(0))
    image = Scene(name="a", image=pixels, salient=salient)
    one = Scenes(name="one", classes=("salient",), train=(), val=(image,))
    everything, medium = study([Red("red", ("salient",))], one, one.val, "salient")
    assert (everything.energy, everything.area) == (1.0, 2500 / 128**2)
    assert medium.size == "medium"


def test_marks_of_maps() -> None:
    values = torch.zeros(4, 6, dtype=torch.uint8)
    values[:2, :3], values[3] = 1, 255
    marks = {m.name: int(m.masks[0].sum()) for m in marks_of({"map": values}, ("road", "car"))}
    assert marks == {"road": 12, "car": 6}
    (salient,) = marks_of({"map": values}, ())
    assert (salient.name, salient.masks[0].sum()) == (None, 6)
    assert marks_of({"map": torch.zeros(2, 2)}, ()) == []
    assert together([]) == []


def test_sums_by_size_and_a_plot(tmp_path: Path) -> None:
    common: dict[str, Any] = {"explained": "x", "score": 0.5, "half_area": 0.25}
    rows = [
        Row(
            image=str(i),
            network=net,
            size=size,
            area=0.1,
            energy=energy,
            hit=energy > 0.2,
            **common,
        )
        for net, shift in (("a", 0.0), ("b", 0.1))
        for i, (size, energy) in enumerate(
            [("all", 0.1 + shift), ("all", 0.3 + shift), ("large", 0.3 + shift)]
        )
    ]
    found = {(s.size, s.network): s for s in summarise(rows)}
    assert list(found) == [(s, net) for s in ("all", "large") for net in ("a", "b")]
    everything = found["all", "a"]
    assert everything.count == 2
    assert everything.energy == pytest.approx(0.2)
    assert everything.energy_error == pytest.approx(0.1)  # sd 0.1414 over √2
    assert everything.pointing == 0.5
    assert found["large", "b"].energy_error == 0
    assert len(as_csv(rows).splitlines()) == 7
    draw_concentration(summarise(rows), tmp_path / "plot.png", subtitle="two")
    assert (tmp_path / "plot.png").stat().st_size > 1000


class Lit(Subject):
    """Gives the map that it is told to give."""

    def __init__(self, heat: Any) -> None:
        classes = ("disc", "kite", "arrow", "bar")
        card = ModelCard(network="lit", classes=classes, preprocess=default_preprocess(64))
        super().__init__(name="lit", card=card, levels=("c1",))
        self.heat, self.wanted = heat, []

    def explain(
        self,
        image: Tensor,
        *,
        wanted: int | None = None,
        level: str | None = None,  # noqa: ARG002
    ) -> Explained:
        heat = self.heat(len(self.wanted), image)
        self.wanted.append(wanted)
        if not heat.any():
            raise UnexplainedError("zero")
        return Explained(heat=heat, seen=(0, 0, 64, 64), label="", score=1.0, level="c1")


def test_maps_of_generated_images_by_the_length_of_the_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from res2net.config import RunConfig
    from res2net.data.scenes.single import LENGTHS, TRAIN, scene_of

    config = RunConfig(model="resnet29_small", data="scenes", recipe="scenes", seed=3)
    (tmp_path / "config.yaml").write_text(config.as_text())
    scenes = [scene_of(TRAIN + index, 3) for index in range(2 * len(LENGTHS))]

    def measured(heat: Any) -> dict[float, dict[str, float]]:
        subject = Lit(heat)
        monkeypatch.setattr("res2net.explain.study.open_subject", lambda _: subject)
        found = on_single_objects(tmp_path, per_length=2)
        assert subject.wanted == [int(scene.objects.labels[0]) for scene in scenes]
        assert tuple(found) == LENGTHS
        return found

    objects = [np.asarray(scene.objects.segments[0]).astype(np.float32) for scene in scenes]
    exact = measured(lambda index, _: objects[index])
    shares = [(objects[i].mean() + objects[i + len(LENGTHS)].mean()) / 2 for i in range(7)]
    for share, each in zip(shares, exact.values(), strict=True):
        assert each["area"] == pytest.approx(100 * share)
        assert [each[n] for n in ("energy", "pointing", "covered", "iou")] == [100] * 4
    # half as warm around the object: covered as before, and the whole image is above the threshold
    around = measured(lambda index, _: 0.5 + 0.5 * objects[index])
    for share, each in zip(shares, around.values(), strict=True):
        assert each["iou"] == pytest.approx(100 * share)
        assert each["covered"] == 100
        assert each["area"] < each["energy"] < 100
    nothing = measured(lambda index, _: 0 * objects[index])
    assert nothing[64.0]["energy"] == nothing[64.0]["covered"] == 0


def test_every_format_of_annotated_images_can_be_measured() -> None:
    assert MARKS.keys() == READERS.keys()
    assert all(MARKS[name] in HOLDS[name] for name in MARKS)
