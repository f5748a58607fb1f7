"""A run that starts from another: what is kept, what is new, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection

from res2net.card import ModelCard
from res2net.config import HeadOptions, NetOptions, RunConfig
from res2net.data.scene import Skeleton
from res2net.errors import UserError
from res2net.models.weights import save_weights
from res2net.paper.tasks import TASKS
from res2net.tasks.job import build, describe
from res2net.tasks.start import class_rows, open_start
from res2net.tasks.table import find_task

SMALL: dict[str, Any] = {"model": "res2net18", "net": {"width": 2, "scale": 2}}


def card_of(task: str, labels: tuple[str, ...], **given: Any) -> ModelCard:
    given = {**SMALL, **given}
    config = RunConfig(
        model=given["model"],
        data="scenes",
        recipe="scratch",
        task=task,  # type: ignore[arg-type]
        net=NetOptions(**given["net"]),
        head=HeadOptions(**given.get("head", {"channels": 8} if task != "classify" else {})),
    )
    skeleton = Skeleton(names=labels, swaps=(), bones=(), sigmas=(0.1,) * len(labels))
    images: Any = SimpleNamespace(
        classes=("person",) if task == "pose" else labels,
        palette=(),
        skeleton=skeleton,
        train=(),
        native_size=None,
        name="photos",
    )
    card = describe(find_task(task), config, images)
    if task != "pose":
        return card
    sigmas = [0.1] * len(labels)
    marks = {"names": list(labels), "swaps": [], "bones": [], "sigmas": sigmas}
    return replace(card, marks={"skeleton": marks})


def network(card: ModelCard, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = build(find_task(card.task), card)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)
    return model


def saved(folder: Path, card: ModelCard, seed: int = 1) -> nn.Module:
    """A run folder with these weights."""
    folder.mkdir()
    model = network(card, seed)
    save_weights(model, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(card.as_dict()))
    return model


def started(given: Path, card: ModelCard) -> tuple[nn.Module, list[str]]:
    start = open_start(str(given))
    card = start.settle(card)
    model = network(card, seed=2)
    return model, start.load_into(find_task(card.task), model, card)


@pytest.mark.parametrize("task", TASKS)
def test_a_run_of_the_same_classes_starts_with_every_weight(task: str, tmp_path: Path) -> None:
    card = card_of(task, ("a", "b", "c"))
    before = saved(tmp_path / "run", card)
    model, said = started(tmp_path / "run", card)
    assert model.state_dict().keys() == before.state_dict().keys()
    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    told = [] if task in ("saliency", "pretrain") else ["the head's rows of all 3 classes are kept"]
    assert said == [f"--init {tmp_path / 'run'}: {line}" for line in told]


ROWS = {
    "classify": {"fc": (0, 1)},
    "detect": {"roi_heads.box_predictor.cls_score": (1, 1),
               "roi_heads.box_predictor.bbox_pred": (4, 4)},
    "instances": {"roi_heads.box_predictor.cls_score": (1, 1),
                  "roi_heads.box_predictor.bbox_pred": (4, 4),
                  "roi_heads.mask_predictor.mask_fcn_logits": (1, 1)},
    "segment": {"classifier": (0, 1)},
    "saliency": {},
    "pose": {"final": (0, 1)},
    "pretrain": {},
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_other_classes_keep_the_rows_of_the_same_name(task: str, tmp_path: Path) -> None:
    old, new = card_of(task, ("a", "b", "c")), card_of(task, ("c", "new", "b", "x"))
    assert class_rows(find_task(task), new) == {
        f"{layer}.{kind}": rows for layer, rows in ROWS[task].items() for kind in ("weight", "bias")
    }
    before, fresh = saved(tmp_path / "run", old).state_dict(), network(new, seed=2).state_dict()
    model, said = started(tmp_path / "run", new)
    found = model.state_dict()
    for layer, (first, each) in ROWS[task].items():
        for name in (f"{layer}.weight", f"{layer}.bias"):
            assert torch.equal(found[name][:first], before[name][:first])  # the background
            for i, j in ((0, 2), (2, 1)):  # c and b
                assert torch.equal(_row(found[name], i, first, each),
                                   _row(before[name], j, first, each))  # fmt: skip
            for i in (1, 3):
                assert torch.equal(_row(found[name], i, first, each),
                                   _row(fresh[name], i, first, each))  # fmt: skip
    if ROWS[task]:
        assert said[-1].endswith("the head's rows of 2 of 4 classes are kept, 2 new: new, x")


def _row(value: Tensor, number: int, first: int, each: int) -> Tensor:
    return value[first + each * number : first + each * (number + 1)]


def test_the_first_block_rule_the_normalisation_and_the_notes_are_kept(tmp_path: Path) -> None:
    old = card_of("classify", ("a", "b"), net={**SMALL["net"], "first_block": "paper"})
    old = replace(old, preprocess=replace(old.preprocess, mean=(0.1, 0.2, 0.3)), notes="licence X")
    saved(tmp_path / "run", old)
    card = open_start(str(tmp_path / "run")).settle(card_of("classify", ("a", "b")))
    assert card.options["first_block"] == "paper"
    assert card.preprocess.mean == (0.1, 0.2, 0.3)
    assert card.notes == "started from run: licence X"
    asked = card_of("classify", ("a", "b"), net={**SMALL["net"], "first_block": "pool"})
    _, said = started(tmp_path / "run", asked)
    assert "trained with --net.first-block paper, this run has pool" in said[-1]


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (
            "segment",
            {},
            "with --task detect, this run has --task segment; --net.pretrained RUN loads",
        ),
        ("detect", {"model": "res2net26_26w_4s"}, "is res2net18, --model is res2net26_26w_4s; use"),
        ("detect", {"head": {"channels": 16}}, "with --head.channels 8, this run has 16; use the"),
        (
            "detect",
            {"net": {"width": 4, "scale": 2}},
            "with --net.width 2, this run has 4; use the",
        ),
        ("detect", {"head": {"form": "c4"}}, "with --head.form fpn, this run has c4; use the same"),
        (
            "detect",
            {"net": {**SMALL["net"], "norm": "group"}},
            "--net.norm batch, this run has gro",
        ),
    ],
)
def test_weights_of_something_else_are_refused(
    task: str, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    saved(run, card_of("detect", ("a", "b")))
    with pytest.raises(UserError) as error:
        started(run, card_of(task, ("a", "b"), **given))
    assert str(error.value).startswith(f"--init {run}: ")
    assert message.replace("RUN", str(run)) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "--init: nothing: no such run, checkpoint or network"),
        ("res2net18", "--init: res2net18: a network without weights; give a run folder, a checkp"),
        ("in1k", "--init in1k: published weights are for --net.pretrained in1k"),
    ],
)
def test_what_holds_no_weights_is_refused(given: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        open_start(given)


def test_weights_alone_are_taken_in_the_order_of_their_classes(tmp_path: Path) -> None:
    card = card_of("segment", ("a", "b"))
    before = saved(tmp_path / "run", card)
    (tmp_path / "run" / "model.json").unlink()
    model, said = started(tmp_path / "run" / "model.safetensors", card)
    assert torch.equal(
        model.state_dict()["classifier.bias"], before.state_dict()["classifier.bias"]
    )
    assert "its classes have no names: taken in the order of this run's" in said[0]
    _, said = started(tmp_path / "run" / "model.safetensors", card_of("segment", ("a", "b", "c")))
    assert "its 2 classes have no names, so no row is kept" in said[0]
    assert "the head's rows of 0 of 3 classes are kept, 3 new: a, b, c" in said[1]


OLD = (
    (r"^(backbone\.fpn\.\w+_blocks\.\d)\.0\.", r"\1."),
    (r"^rpn\.head\.conv\.0\.0\.", "rpn.head.conv."),
    (r"^roi_heads\.mask_head\.(\d)\.0\.",
     lambda at: f"roi_heads.mask_head.mask_fcn{int(at[1]) + 1}."),
)  # fmt: skip


@pytest.mark.parametrize("task", ["detect", "instances"])
def test_a_detector_of_torchvision_finds_the_same_boxes_in_our_heads(
    task: str, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    make = {"detect": "fasterrcnn_resnet50_fpn", "instances": "maskrcnn_resnet50_fpn"}[task]
    size = {"min_size": 64, "max_size": 107}
    theirs = getattr(detection, make)(weights=None, weights_backbone=None, num_classes=4, **size)
    state = theirs.state_dict()
    for pattern, name in OLD:  # as the published files have it
        state = {re.sub(pattern, name, key): value for key, value in state.items()}
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "coco.pth")
    card = card_of(task, ("a", "b", "c"), model="resnet50", net={}, head={"channels": 256})
    ours, _ = started(tmp_path / "coco.pth", card)
    ours.transform.min_size, ours.transform.max_size = (64,), 107  # type: ignore[union-attr]
    with torch.inference_mode():
        image = torch.rand(3, 64, 80)
        (wanted,), (found,) = theirs.eval()([image]), ours.eval()([image])
    assert len(wanted["boxes"]) > 10
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_a_file_of_90_rows_is_taken_for_the_categories_of_coco(tmp_path: Path) -> None:
    numbered = card_of("detect", tuple(map(str, range(1, 91))))
    before = saved(tmp_path / "run", numbered)
    (tmp_path / "run" / "model.json").unlink()
    model, said = started(
        tmp_path / "run" / "model.safetensors", card_of("detect", ("unicorn", "toothbrush", "cat"))
    )
    rows, theirs = (
        each.state_dict()["roi_heads.box_predictor.cls_score.weight"] for each in (model, before)
    )
    assert torch.equal(rows[[0, 2, 3]], theirs[[0, 90, 17]])  # category numbers of COCO
    assert "its rows are taken as COCO's categories, in the order of their numbers" in said[0]
    assert said[1].endswith("2 of 3 classes are kept, 1 new: unicorn")
