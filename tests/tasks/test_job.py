"""What an option builds in a dense task: the backbone's reach the backbone, the head's the head."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from res2net.card import ModelCard
from res2net.config import HeadOptions, NetOptions, RunConfig
from res2net.data.scene import COCO_PERSON
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.heads.detector import make_detector
from res2net.heads.dss import SaliencyNet
from res2net.heads.pose import PoseNet
from res2net.models.backbone import create_backbone
from res2net.models.factory import norm_by_name
from res2net.paper.recipes import RECIPES
from res2net.tasks.job import build, describe
from res2net.tasks.table import find_task

TASKS = tuple(task for task in RECIPES if task not in ("classify", "pretrain"))
NETWORK = "res2net26_26w_4s"
pytestmark = pytest.mark.usefixtures("shapes_only")
NET: dict[str, dict[str, Any]] = {  # option → values that build something
    "width": {"width": 14},
    "scale": {"scale": 3},
    "cardinality": {"cardinality": 2},
    "depth": {"depth": 50},
    "se": {"se": True},
    "drop_path": {"drop_path": 0.1},
    "first_block": {"first_block": "paper"},
    "zero_init": {"zero_init": True},
    "norm": {"norm": "group"},
}


def card_of(task: str, net: dict[str, Any], head: dict[str, Any]) -> ModelCard:
    config = RunConfig(
        model=NETWORK,
        data="scenes",
        recipe="scratch",
        task=task,  # type: ignore[arg-type]
        net=NetOptions(**net),
        head=HeadOptions(**head),
    )
    images: Any = SimpleNamespace(classes=("a", "b"), palette=(), skeleton=COCO_PERSON, train=())
    return describe(find_task(task), config, images)


def counts(task: str, net: dict[str, Any], head: dict[str, Any]) -> tuple[int, int]:
    """Parameters of backbone and head."""
    with torch.device("meta"):
        model = build(find_task(task), card_of(task, net, head))
    body = count(find_task(task).body(model))
    return body, count(model) - body


@cache
def plain(task: str) -> tuple[int, int]:
    return counts(task, {}, {})


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("option", NET)
@pytest.mark.parametrize("task", TASKS)
def test_an_option_of_the_network_changes_the_backbone_alone(task: str, option: str) -> None:
    levels = {"saliency": ("c1", "c2", "c3", "c4", "c5"), "segment": ("c2", "c5"), "pose": ("c5",)}
    stride = {"saliency": 16, "segment": 16}.get(task)
    options = dict(NET[option])
    if norm := options.pop("norm", None):
        options["norm_layer"] = norm_by_name(norm)
    with torch.device("meta"):
        alone = create_backbone(
            NETWORK,
            out_levels=levels.get(task, ("c2", "c3", "c4", "c5")),
            output_stride=stride,
            **options,
        )
    body, head = counts(task, NET[option], {})
    assert body == count(alone)
    assert head == plain(task)[1]


@pytest.mark.parametrize("task", TASKS)
def test_an_option_of_the_head_changes_the_head_alone(task: str) -> None:
    wide = counts(task, {}, {"channels": 64})
    assert wide[0] == plain(task)[0]
    assert wide[1] < plain(task)[1]


def test_every_option_of_the_network_is_tried() -> None:
    elsewhere = {"pretrained", "global_pool", "whiten"}  # weights; of a classifier
    assert NET.keys() == {f.name for f in fields(NetOptions)} - elsewhere


@pytest.mark.parametrize("head", [SaliencyNet, DeepLabV3Plus, PoseNet, make_detector])
def test_heads_and_backbones_share_no_name(head: Any) -> None:
    """What a head takes for itself cannot be meant for the backbone."""
    own = {n for n, p in inspect.signature(head).parameters.items() if p.kind is p.KEYWORD_ONLY}
    body = {f.name for f in fields(NetOptions)} | set(inspect.signature(create_backbone).parameters)
    passed_on = {"output_stride", "frozen_norm"}  # the same thing in both
    assert (own & body) - passed_on == set()


def test_an_old_card_of_saliency_says_its_sides_by_a_factor() -> None:
    """Cards written before heads and backbones had names of their own: ``width`` was the head's."""
    task = find_task("saliency")
    now = card_of("saliency", {}, {"channels": 128})
    old = replace(now, options={"width": 0.25})
    with torch.device("meta"):
        assert [(n, p.shape) for n, p in build(task, old).named_parameters()] == [
            (n, p.shape) for n, p in build(task, now).named_parameters()
        ]
