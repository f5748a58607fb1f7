"""Recipes and rows against what was published: typed anew from the paper and its bases."""

from __future__ import annotations

import re

import pytest

from res2net.config import RunConfig
from res2net.paper.networks import NETWORKS
from res2net.paper.recipes import RECIPES, find_recipe
from res2net.paper.variant import ResNetVariant

# (task, recipe) → epochs, batch, optimiser, learning rate, momentum, weight decay, schedule,
# milestones, factor, pixels
SCHEDULES = {
    ("classify", "imagenet"): (100, 256, "sgd", 0.1, 0.9, 1e-4, "step", (30, 60, 90), 0.1, None),
    ("classify", "imagenet299"): (100, 256, "sgd", 0.1, 0.9, 1e-4, "step", (30, 60, 90), 0.1, 299),
    ("classify", "biglittle"): (110, 256, "sgd", 0.1, 0.9, 1e-4, "cosine", (), 0.1, None),
    ("classify", "cifar"): (300, 128, "sgd", 0.1, 0.9, 5e-4, "step", (150, 225), 0.1, None),
    ("detect", "paper"): (10, 16, "sgd", 0.01, 0.9, 1e-4, "step", (8,), 0.1, 600),
    ("detect", "paper-coco"): (10, 16, "sgd", 0.01, 0.9, 1e-4, "step", (4, 8), 0.1, 600),
    ("detect", "fpn"): (12, 16, "sgd", 0.02, 0.9, 1e-4, "step", (8, 11), 0.1, 800),
    ("instances", "paper"): (24, 16, "sgd", 0.02, 0.9, 1e-4, "step", (16, 22), 0.1, 800),
    ("segment", "paper"): (50, 16, "sgd", 0.007, 0.9, 5e-4, "poly", (), 0.1, 513),
    ("pose", "paper"): (140, 128, "adamw", 1e-3, 0.9, 0.0, "step", (90, 120), 0.1, 256),
}
FURTHER = {  # what a schedule does not show
    ("classify", "imagenet"): {
        "train.label_smoothing": 0.1,  # the authors' code, not the paper
        "train.decay_norms": True,
        "augment.crop": "random_resized",
        "augment.color_jitter": 0.0,
    },
    ("classify", "biglittle"): {
        "train.nesterov": True,
        "train.label_smoothing": 0.0,
        "augment.color_jitter": 0.4,
        "net.zero_init": True,
    },
    ("classify", "cifar"): {
        "train.nesterov": True,
        "train.label_smoothing": 0.0,
        "augment.crop": "pad",
        "augment.pad": 4,
        "augment.hflip": 0.5,
    },
    ("detect", "paper"): {"head.form": "c4", "head.anchors": (128, 256, 512)},
    ("detect", "paper-coco"): {"head.form": "c4", "head.anchors": (64, 128, 256, 512)},
    ("instances", "paper"): {"net.norm": "frozen", "train.frozen_levels": 2},
    ("segment", "paper"): {"head.lr_factor": 10.0, "head.output_stride": 16},
    ("saliency", "paper"): {
        "train.batch": 10,
        "train.epochs": 48,  # 12,000 steps of 10 images out of 2,500
        "train.milestones": (30,),  # 7,500 steps
        "train.gamma": 0.1,
        "train.momentum": 0.9,
    },
}


def _resolved(task, name):
    """Every option of a run that starts from a recipe, by its full name."""
    settings = find_recipe(name, task).settings
    groups: dict[str, dict[str, object]] = {}
    for option, value in settings.items():
        group, _, field = option.partition(".")
        groups.setdefault(group, {})[field] = value
    named = {"model": "resnet50", "data": "digits", "recipe": name, "task": task}
    config = RunConfig.from_dict({**named, **groups})
    return {
        f"{group}.{field}": tuple(value) if isinstance(value, list) else value
        for group, fields in config.as_dict().items()
        if isinstance(fields, dict)
        for field, value in fields.items()
    }


@pytest.mark.parametrize(("task", "name"), SCHEDULES)
def test_schedules_are_the_published_ones(task, name):
    found = _resolved(task, name)
    options = ("epochs", "batch", "optimizer", "lr", "momentum", "weight_decay", "schedule")
    options += ("milestones", "gamma")
    assert (*(found[f"train.{o}"] for o in options), found["input.size"]) == SCHEDULES[task, name]
    assert found["train.lr_batch"] in (0, found["train.batch"])  # the rate is of this batch


@pytest.mark.parametrize(("task", "name"), FURTHER)
def test_other_facts_of_recipes(task, name):
    found = _resolved(task, name)
    assert {option: found[option] for option in FURTHER[task, name]} == FURTHER[task, name]


def test_every_recipe_of_the_paper_is_held():
    classify = RECIPES["classify"].items()
    ours = {("classify", name) for name, recipe in classify if recipe.source != "this project"}
    ours |= {(task, name) for task, own in RECIPES.items() for name in own if "paper" in name}
    ours -= {("classify", "cifar-short"), ("classify", "cifar-fast")}  # ours, not the paper's
    assert ours <= SCHEDULES.keys() | FURTHER.keys()


@pytest.mark.parametrize("name", [n for n, row in NETWORKS.items() if type(row) is ResNetVariant])
def test_a_row_is_what_its_name_says(name):
    """res2net50_26w_4s is 50 deep, 26 wide, 4 splits; 6c24w has 6 groups, 32x4d is 32 of 4."""
    row = NETWORKS[name]
    if found := re.search(r"(?:net|next)(\d+)", name):
        depth = int(found.group(1))
        assert row.depth == depth
    if found := re.search(r"(\d+)w", name):
        assert row.width == int(found.group(1))
    if found := re.search(r"_(\d+)s(?:_|$)", name):
        assert row.scale == int(found.group(1))
    if found := re.search(r"_(\d+)c\d+w", name):
        assert row.cardinality == int(found.group(1))
    if found := re.search(r"_(\d+)x(\d+)d", name):
        assert (row.cardinality, row.width) == (int(found.group(1)), int(found.group(2)))
    assert row.se == (name.endswith("_se") or name.startswith("se"))
    assert (
        (row.stem == "deep")
        == row.average_down
        == bool(re.search(r"\dd$", name) and "x" not in name)
    )
    assert (row.size == 32) == (row.stem == "cifar") == ("29" in name)


def test_rows_whose_names_do_not_say():
    """Sections 3.2.1 and 4.2.1, and the authors' code for Res2NeXt and DLA."""
    facts = {
        "resnet50": (64, 1, 1),
        "res2next50": (4, 4, 8),
        "seres2net50_26w_4s": (26, 4, 1),
        "dla60": (64, 1, 1),
        "dla60x": (4, 1, 32),
        "dla60_res2net": (28, 4, 1),
        "dla60_res2next": (4, 4, 8),
        "blresnet50": (64, 1, 1),
        "blres2net50": (26, 4, 1),
        "resnext29_8c64w": (64, 1, 8),
    }
    rows = {name: NETWORKS[name] for name in facts}
    assert {n: (row.width, row.scale, row.cardinality) for n, row in rows.items()} == facts
