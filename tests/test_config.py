"""The configuration of a run."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.cli.parser import field_comments
from res2net.config import (
    InputOptions,
    NetOptions,
    RunConfig,
    TrainOptions,
    option_error,
)
from res2net.data.augment import Augment
from res2net.data.split import Holdout
from res2net.errors import UserError, option
from res2net.optionfile import read_yaml
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
        ({**PLAIN, "train": {"lr": "fast"}}, "--train.lr must be a number or 'auto', not 'fast'"),
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
        with pytest.raises(UserError, match=rf"^{option(f'{group}.{name}')} is "):
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


# ---- the file


def _whole(**values):
    return RunConfig(**{**PLAIN, "seed": 7, "train": TrainOptions(lr=1e-5, epochs=30), **values})


def test_a_configuration_that_is_cut_anywhere_is_refused(tmp_path):
    path, text = tmp_path / "config.yaml", _whole().as_text().encode()
    for length in range(len(text)):
        path.write_bytes(text[:length])
        if length == len(text) - 1:  # less the end of the last line
            assert RunConfig.read(path) == _whole()
            continue
        with pytest.raises(UserError):
            RunConfig.read(path)
        with pytest.raises(UserError):  # of ``--config``
            read_yaml(path)


def test_a_whole_configuration_is_read_and_edited_by_hand(tmp_path):
    path, text = tmp_path / "config.yaml", _whole().as_text()
    for each in (text, text.replace("\n", "\r\n"), f"\ufeff{text}", f"{text}\n# of mine\n"):
        path.write_bytes(each.encode())
        assert RunConfig.read(path) == _whole()
    path.write_text(text.replace("lr: 1.0e-05", "lr: 2e-4  # as in the table"))
    assert RunConfig.read(path).train.lr == 2e-4


def test_a_configuration_from_before_there_were_marks(tmp_path):
    path, lines = tmp_path / "config.yaml", yaml.safe_dump(_whole().as_dict(), sort_keys=False)
    path.write_text(lines)
    assert RunConfig.read(path) == _whole()
    path.write_text("".join(line for line in lines.splitlines(True) if "early_stop" not in line))
    assert RunConfig.read(path) == _whole()  # an option that it could not have known
    kept = lines.splitlines(keepends=True)
    for number in range(len(kept)):
        path.write_text("".join(kept[:number]))
        with pytest.raises(UserError, match=r"cut off|is missing|by name"):
            RunConfig.read(path)


def test_a_run_of_before_keeps_its_rule_of_splits(tmp_path):
    path, text = tmp_path / "config.yaml", _whole().as_text()
    path.write_text(text)
    assert RunConfig.read(path).holdout == Holdout(seed=7, split_rule="v2")
    path.write_text(re.sub(r"\n  (split_rule|group_by): .*", "", text))
    assert RunConfig.read(path).holdout == Holdout(seed=7, split_rule="v1")


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(_whole().as_text().replace("format 1", "format 2"))
    with pytest.raises(UserError, match=r"its format is '2', and this .* reads 1; update res2net"):
        RunConfig.read(path)


@pytest.mark.parametrize(
    ("group", "name", "value", "takes"),
    [
        ("", "compile", "no", "true or false or 'default' or 'reduce-overhead' or 'max-autotune'"),
        ("", "task", "detct", "'classify' or 'detect' or"),
        ("", "model", 3, "a text, not 3"),
        ("train", "batch", True, "a whole number or 'auto', not True"),
        ("train", "batch", 2.5, "a whole number or 'auto', not 2.5"),
        ("train", "batch", [1], "a whole number or 'auto', not a list"),
        ("train", "optimizer", "rmsprop", "'sgd' or 'adam' or 'adamw' or 'lamb', not"),
        ("train", "milestones", 3, "a list, not 3"),
        ("train", "milestones", ["a"], "a number, not 'a'"),
        ("net", "se", "yes", "true or false or null, not 'yes'"),
    ],
)
def test_types(group, name, value, takes):
    values = {**PLAIN, **({group: {name: value}} if group else {name: value})}
    with pytest.raises(UserError) as error:
        RunConfig.from_dict(values)
    typed = option(f"{group}.{name}" if group else name)
    assert str(error.value).startswith(f"{typed} must be {takes}")


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text("aé1", max_size=5)
_NAMES = st.sampled_from(["model", "data", "recipe", "seed", "task", "train", "net", "lr", "batch"])
_VALUES = _SCALARS | st.lists(_SCALARS, max_size=3) | st.dictionaries(_NAMES, _SCALARS, max_size=4)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(_NAMES, _VALUES, max_size=6))
def test_values_of_any_type_are_options_or_a_mistake(values):
    with contextlib.suppress(UserError):
        assert isinstance(RunConfig.from_dict({**PLAIN, **values}), RunConfig)


@settings(deadline=None, max_examples=60)
@given(
    st.binary(max_size=200)
    | st.text(alphabet="ab:[]{}&*!?|>-'\"#%@`,\n\t 0123456789", max_size=60).map(str.encode)
    | st.dictionaries(_NAMES, _VALUES).map(lambda values: yaml.dump(values).encode())
)
def test_any_bytes_are_a_configuration_or_a_mistake(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            RunConfig.read(path)
