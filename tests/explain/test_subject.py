"""Maps of tasks beyond classification: whose score, over which pixels, and refusals in a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.explain import subject as dense
from res2net.explain.cam import enlarged, stretched
from res2net.explain.subject import Detector, Salience, Segmenter, UnexplainedError, open_subject
from res2net.tasks.open import Opened
from res2net.tasks.table import find_task

CLASSES = ("background", "kite", "ball")
OPTIONS: dict[str, dict[str, Any]] = {
    "segment": {"channels": 16},
    "saliency": {"channels": 51},
    "detect": {"channels": 16, "long_side": 160},
}


def network(task: str) -> tuple[Any, ModelCard]:
    """A small untrained network of a task."""
    torch.manual_seed(0)
    card = ModelCard(
        network="res2net18",
        options=OPTIONS[task],
        task=task,
        classes=CLASSES if task != "saliency" else ("salient",),
        preprocess=default_preprocess(96),
    )
    return find_task(task).build(card, None).eval(), card


def picture() -> Tensor:
    return torch.randint(0, 256, (3, 80, 120), dtype=torch.uint8)


def test_a_segmenter_is_asked_about_the_pixels_of_a_class() -> None:
    subject = Segmenter("net", *network("segment"))
    image = picture()
    found = subject.explain(image)
    assert found.heat.shape == (80, 120)
    assert found.seen == (0, 0, 120, 80)
    assert found.label in CLASSES
    assert found.level == "c5"
    subject.evidence = lambda heat, *_: heat  # type: ignore[method-assign]  # zeros for some
    kinds = {subject.explain(image, wanted=k).label: k for k in range(3)}
    assert list(kinds) == list(CLASSES)
    shares = [subject.explain(image, wanted=k).score for k in range(3)]
    assert sum(shares) == pytest.approx(1)
    with pytest.raises(UserError, match="no level 'c3'; this network has c2, c5"):
        subject.explain(image, level="c3")


def test_the_map_of_a_segmenter_by_hand() -> None:
    subject = Segmenter("net", *network("segment"))
    image = picture()
    maps: list[Tensor] = []
    hook = subject.body.register_forward_hook(lambda _, __, out: maps.append(out["c5"]))
    from res2net.data.transforms import normalise

    logits = subject.model(normalise(image[None], subject.card.preprocess))[0]
    hook.remove()
    number = int(logits.detach().flatten(1).mean(1).argmax())
    part = logits.argmax(0) == number
    (gradient,) = torch.autograd.grad(logits[number][part].mean(), maps[0])
    heat = torch.einsum("c,chw->hw", gradient[0].mean((1, 2)), maps[0][0]).clamp_min(0)
    assert heat.any()
    wanted = stretched(enlarged(heat[None].detach(), (80, 120)))[0]
    ours = torch.from_numpy(subject.explain(image, wanted=number).heat)
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-4)


def test_a_saliency_network_is_asked_for_its_whole_map() -> None:
    subject = Salience("net", *network("saliency"))
    found = subject.explain(picture(), level="c3")
    assert (found.heat.shape, found.level, found.label) == ((80, 120), "c3", "salient")
    assert 0 < found.score < 1


def test_a_detector_is_asked_for_its_surest_box() -> None:
    subject = Detector("net", *network("detect"))
    image = picture()
    found = subject.explain(image, level="c4")
    with torch.inference_mode():
        (boxes,) = subject.model([image / 255])
    assert found.score == pytest.approx(float(boxes["scores"].max()), rel=1e-4)
    assert found.label == CLASSES[int(boxes["labels"][boxes["scores"].argmax()]) - 1]
    surest = boxes["boxes"][boxes["scores"].argmax()]
    assert found.box == pytest.approx(surest.tolist(), abs=0.6)
    assert found.heat.shape == (80, 120)
    subject.model.roi_heads.score_thresh = 2.0  # no box at all
    with pytest.raises(UnexplainedError, match="detects no box of class kite to explain"):
        subject.explain(image, wanted=1)


def test_parameters_without_gradients_are_no_hindrance() -> None:
    subject = Segmenter("net", *network("segment"))
    image = picture()
    before = subject.explain(image, wanted=0).heat
    subject.model.requires_grad_(False)
    assert subject.explain(image, wanted=0).heat == pytest.approx(before, abs=1e-6)
    assert all(p.grad is None for p in subject.model.parameters())


def opened(task: str, kind: Any = "run") -> Opened:
    made, card = network("detect" if task in ("instances", "pose") else task)
    found = Opened(given="runs/a", kind=kind, card=replace(card, task=task), path=Path("runs/a"))
    found.__dict__["network"] = made
    return found


def test_an_artifact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "open_target", lambda _: opened("detect", "artifact"))
    with pytest.raises(UserError, match="runs/a: an artifact computes no gradients"):
        open_subject("runs/a")


def test_key_points_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "open_target", lambda _: opened("pose"))
    with pytest.raises(UserError, match="has no class to explain.*use `res2net predict`"):
        open_subject("runs/a")


@pytest.mark.parametrize("task", ["segment", "saliency", "detect"])
def test_a_map_of_zeros_is_no_evidence(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "weighed", lambda maps, _: torch.zeros_like(maps[:, 0]).detach())
    subject = dense._SUBJECTS[task]("net", *network(task))
    with pytest.raises(UnexplainedError, match="no evidence: the map of net at level c5 for class"):
        subject.explain(picture())


@pytest.mark.parametrize(
    ("task", "kind"), [("segment", Segmenter), ("saliency", Salience), ("instances", Detector)]
)
def test_each_task_has_its_subject(task: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "open_target", lambda _: opened(task))
    assert type(open_subject("runs/a")) is kind
