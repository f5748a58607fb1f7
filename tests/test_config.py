"""The configuration of a run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from res2net.cli.parser import field_comments
from res2net.config import (
    InputOptions,
    NetOptions,
    RunConfig,
    TrainOptions,
    option_error,
    read_yaml,
)
from res2net.data.augment import Augment
from res2net.errors import UserError
from res2net.paper.variant import FirstBlock

PLAIN = {"model": "resnet50", "data": "digits", "recipe": "smoke"}


def test_round_trip():
    config = RunConfig(
        **PLAIN,
        seed=3,
        net=NetOptions(depth=11, se=False),
        input=InputOptions(size=64),
        augment=Augment(mixup=0.2),
        train=TrainOptions(milestones=(1.0, 2.5), devices=2),
    )
    values = config.as_dict()
    assert values["train"]["milestones"] == [1.0, 2.5]
    assert RunConfig.from_dict(values) == config
    assert RunConfig.from_dict(yaml.safe_load(yaml.safe_dump(values))) == config


@given(
    lr=st.floats(1e-12, 1e3),
    milestones=st.lists(st.floats(0, 300), max_size=4).map(sorted),
    seed=st.integers(0, 2**32 - 1),
    devices=st.none() | st.integers(1, 64),
)
def test_values_survive_yaml(lr, milestones, seed, devices):
    train = TrainOptions(lr=lr, milestones=tuple(milestones), devices=devices)
    config = RunConfig(**PLAIN, seed=seed, train=train)
    assert RunConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.as_dict()))) == config


def test_groups_may_be_left_out():
    assert RunConfig.from_dict(PLAIN) == RunConfig(**PLAIN)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": "x"}, "unknown key 'modle'. Did you mean 'model'?"),
        ({**PLAIN, "train": {"lrr": 1}}, "unknown key 'train.lrr'. Did you mean 'lr'"),
        ({**PLAIN, "train": 3}, "'train' must hold options by name, not 3"),
        ({"model": "resnet50", "recipe": "x"}, "key 'data' is missing"),
        ({**PLAIN, "augment": {"hflip": 2}}, "--augment.hflip is 2; a probability"),
        ({**PLAIN, "train": {"lr": "fast"}}, "--train.lr must be a number, not 'fast'"),
        ({**PLAIN, "seed": -1}, "--seed is -1; it must lie in 0..2^32-1"),
        ({**PLAIN, "seed": 2**32}, "--seed is 4294967296; it must lie in"),
    ],
)
def test_mistakes_name_the_key(values, message):
    with pytest.raises(UserError) as error:
        RunConfig.from_dict(values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (TrainOptions, "epochs", [0, -1]),
        (TrainOptions, "batch", [0]),
        (TrainOptions, "accumulate", [0]),
        (TrainOptions, "lr", [0, -0.1, float("nan"), float("inf")]),
        (TrainOptions, "gamma", [0, float("nan")]),
        (TrainOptions, "momentum", [-0.1, 1, float("nan")]),
        (TrainOptions, "label_smoothing", [-0.1, 1]),
        (TrainOptions, "ema", [-0.1, 1]),
        (TrainOptions, "weight_decay", [-1, float("nan")]),
        (TrainOptions, "warmup", [-1]),
        (TrainOptions, "clip", [-1, float("inf")]),
        (TrainOptions, "early_stop", [-1]),
        (TrainOptions, "frozen_levels", [-1]),
        (TrainOptions, "max_steps", [0, -2]),
        (TrainOptions, "val_batches", [0, -1]),
        (TrainOptions, "devices", [0, -1]),
        (TrainOptions, "threads", [0]),
        (TrainOptions, "milestones", [(3.0, 1.0)]),
        (InputOptions, "size", [0, -1]),
        (InputOptions, "workers", [-1]),
        (InputOptions, "val_fraction", [0, 1, -0.5, float("nan")]),
    ],
)
def test_ranges(kind, name, values):
    group = "train" if kind is TrainOptions else "input"
    for value in values:
        with pytest.raises(UserError, match=rf"^--{group}\.{name} is "):
            kind(**{name: value})


def test_nesterov_needs_momentum():
    with pytest.raises(UserError, match=r"--train\.nesterov needs --train\.momentum"):
        TrainOptions(nesterov=True, momentum=0.0)
    TrainOptions(nesterov=True, momentum=0.9)


@pytest.mark.parametrize("name", ["epochs", "optimiser", "lr "])
def test_options_are_frozen_and_known(name):
    options = TrainOptions()
    with pytest.raises((AttributeError, TypeError)):
        setattr(options, name, 3)
    if name != "epochs":
        with pytest.raises(TypeError):
            TrainOptions(**{name: 3})


def test_first_blocks_are_those_of_the_paper_room():
    named = get_args(get_type_hints(NetOptions)["first_block"])[0]
    assert set(get_args(named)) == {str(rule) for rule in FirstBlock}


def test_variant_holds_what_is_set():
    assert NetOptions().variant() == {}
    assert NetOptions(depth=11, se=False, norm="group").variant() == {"depth": 11, "se": False}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("depth is 3; no", "--net.depth is 3; no"),
        ("resnet50 has no option 'x'", "options --net.*: resnet50 has no option 'x'"),
    ],
)
def test_option_error(text, line):
    assert str(option_error(ValueError(text), "net", NetOptions)) == line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2\n", "x.yaml: not YAML (line 2: "),
        (b"\x89PNG\xff", "x.yaml: not YAML"),
        (b"- 1\n", "x.yaml: must hold options by name"),
        (None, "x.yaml: cannot be read (No such file"),
    ],
)
def test_read_yaml(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_yaml(Path("x.yaml"))
    assert str(error.value).startswith(message)
    with pytest.raises(UserError) as error:
        RunConfig.read(Path("x.yaml"))
    assert str(error.value).startswith(message)


def test_every_field_is_explained_by_its_comment():
    for kind in (NetOptions, InputOptions, TrainOptions, Augment):
        comments = field_comments(kind)
        assert [f.name for f in fields(kind) if not comments.get(f.name)] == []
