"""Every option means something where it is typed, or is refused; the line says where it does."""

from __future__ import annotations

import importlib
import json
import re
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from res2net.cli import evaluate, predict
from res2net.cli.main import module_of
from res2net.cli.train import make_parser, resolve
from res2net.config import (
    READ_BY,
    HeadOptions,
    InputOptions,
    NetOptions,
    RunConfig,
    TrainOptions,
)
from res2net.data.augment import Augment
from res2net.errors import UserError
from res2net.errors import option as spelled
from res2net.paper.tasks import TASKS, readers
from res2net.training import run as training
from res2net.training.configure import NEEDS

GROUPS = {"net": NetOptions, "head": HeadOptions, "input": InputOptions, "augment": Augment,
          "train": TrainOptions}  # fmt: skip
OPTIONS = [f"{group}.{each.name}" for group, kind in GROUPS.items() for each in fields(kind)]


def words(task: str, *more: str) -> list[str]:
    data = "digits" if task in ("classify", "pretrain") else "scenes"
    return ["--task", task, "--model", "res2net18", "--data", data, "--out", "run", *more]


def typed(option: str) -> tuple[str, str]:
    """An option with its default's value, as somebody might type it."""
    group, _, name = option.partition(".")
    value = getattr(GROUPS[group](), name)
    return spelled(option), json.dumps(value).strip('"')


@pytest.mark.parametrize("task", TASKS)
def test_what_a_task_does_not_read_is_refused_even_with_its_default(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for option in OPTIONS:
        tasks = READ_BY.get(option, TASKS)
        if task in tasks:
            continue
        with pytest.raises(UserError) as error:
            resolve(words(task, *typed(option)))
        assert str(error.value) == (
            f"{spelled(option)} does not apply to --task {task}; it is for "
            f"--task {', '.join(tasks)}"
        )


# ---- what is left is read


class Record:
    """Which options are read while it is on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: set[str] = set()
        self.on = False
        for group, kind in GROUPS.items():
            names = {each.name for each in fields(kind)}

            def noting(self_: Any, name: str, group: str = group, names: set[str] = names) -> Any:
                if self.on and name in names:
                    self.read.add(f"{group}.{name}")
                return object.__getattribute__(self_, name)

            monkeypatch.setattr(kind, "__getattribute__", noting, raising=False)


def fitted(config: RunConfig, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a run but its training and what is written."""

    def train(config: RunConfig, job: Any, run: Path, together: Any, *_: Any) -> Any:
        history: Any = SimpleNamespace(rows=[], say=lambda _: None)
        training.make_trainer(config, job, run, together, history, [])  # type: ignore[arg-type]
        made = job.module.configure_optimizers()
        made["lr_scheduler"]["scheduler"].lr_lambdas[0](10**6)
        return history, ""

    def changed(config: Any, **values: Any) -> Any:
        record.on = False  # a copy reads every field
        try:
            return replace(config, **values)
        finally:
            record.on = True

    for name, stand_in in {
        "replace": changed,
        "finish": lambda *_, **__: None,
        "train": train,
        "check_folder": lambda *_, **__: True,
        "undone_where_it_fails": lambda *_, **__: nullcontext(),
        "write_config": lambda *_: None,
    }.items():
        monkeypatch.setattr(training, name, stand_in)
    monkeypatch.setattr(training.pl, "Trainer", lambda **_: None)
    record.on = True
    try:
        training.fit(config, Path("run"), resume=False, say=lambda _: None)
    finally:
        record.on = False


@pytest.mark.parametrize("task", TASKS)
def test_what_a_task_reads_is_read(task, tmp_path, monkeypatch):
    """By the code between the configuration and the training, with every switch on once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("res2net.data.scenes.generated.TRAIN", 8)
    monkeypatch.setattr("res2net.data.scenes.generated.VAL", 4)
    given = ["--train.schedule", "step", "--train.milestones", "[1]", "--train.optimizer", "sgd"]
    given += ["--train.ema", "0.9", "--train.early-stop", "1", "--train.threads", "1"]
    given += ["--net.pretrained", "null", "--recipe", "smoke"]
    some = {"crop": "random_resized", "randaugment": 1, "color_jitter": 0.1, "random_erasing": 0.1}
    config = resolve(words(task, *given))[0]
    record = Record(monkeypatch)
    for changed in (some, {**some, "crop": "pad"}):
        fitted(replace(config, augment=Augment(**changed)), record, monkeypatch)
    if task == "detect":
        fitted(replace(config, head=replace(config.head, form="c4")), record, monkeypatch)
    meant = {option for option in OPTIONS if task in READ_BY.get(option, TASKS)}
    assert meant - record.read == set()
    looked_at = {"train.label_smoothing", "train.class_weights"}  # to refuse them in old files
    looked_at |= {"train.loss", "input.multi_label"}
    if task == "pretrain":  # described like a classifier
        looked_at |= {"input.interpolation"}
    looked_at |= {"head.form", "head.lr_factor"}  # of every run, where they are what they must be
    refused = {option for option in OPTIONS if task not in READ_BY.get(option, TASKS)}
    assert record.read & refused <= looked_at


# ---- options that hang on others


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--recipe", "digits", "--train.momentum", "0.9"), "it needs --train.optimizer sgd"),
        (("--recipe", "digits", "--train.nesterov", "false"), "it needs --train.optimizer sgd"),
        (("--train.schedule", "cosine", "--train.gamma", "0.1"), "it needs --train.schedule step"),
        (("--train.schedule", "poly", "--train.milestones", "[3]"), "it needs --train.schedule"),
        (("--augment.crop", "none", "--augment.pad", "4"), "it needs --augment.crop pad"),
        (("--augment.crop", "pad", "--augment.crop-scale", "0.1"), "it needs --augment.crop rand"),
        (("--augment.crop", "none", "--augment.border", "reflect"), "it needs --augment.crop pad"),
        (("--augment.flip", "alternate", "--augment.hflip", "0.5"), "it needs --augment.flip rand"),
        (("--recipe", "cifar-fast", "--augment.hflip", "0"), "it needs --augment.flip random"),
        (("--input.decode", "gpu"), "it needs data of image files"),
        (("--net.norm", "frozen", "--train.norm-bias-factor", "2"), "it needs trainable norms"),
        (("--augment.randaugment-magnitude", "9"), "it needs --augment.randaugment 1 or more"),
        (("--input.download", "true"), "it needs cifar10 or cifar100 data"),
        (("--model", "resnet18", "--net.first-block", "paper"), "it needs a network of several"),
        (("--task", "detect", "--data", "scenes", "--augment.crop", "pad"), "it needs random_res"),
        (
            ("--task", "detect", "--data", "scenes", "--head.form", "c4", "--head.channels", "9"),
            "it needs --head.form fpn",
        ),
    ],
)
def test_an_option_without_the_one_that_it_hangs_on(more, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        resolve([*words("classify"), *more])
    assert re.fullmatch(rf"--[\w.-]+ does not apply here; {re.escape(message)}.*", str(error.value))


def test_what_hangs_on_another_is_an_option():
    assert set(NEEDS) | set(READ_BY) <= set(OPTIONS)
    assert set(OPTIONS) <= {name.replace("-", "_") for name in make_parser().names()}


# ---- files of options


def test_files_may_carry_defaults_and_a_saved_run_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve(words("segment"))[0]
    import yaml

    Path("all.yaml").write_text(yaml.safe_dump({**config.as_dict(), "recipe": "scratch"}))
    assert resolve(["--config", "all.yaml", "--out", "run"])[0] == config  # momentum with adamw
    strange = config.as_dict()
    strange["augment"]["mixup"] = 0.2
    Path("old.yaml").write_text(yaml.safe_dump(strange))
    with pytest.raises(UserError) as error:
        resolve(["--config", "old.yaml", "--out", "run"])
    assert str(error.value) == (
        "old.yaml: --augment.mixup 0.2 does not apply to --task segment; it is for --task classify"
    )
    Path("run").mkdir()
    Path("old.yaml").rename("run/config.yaml")
    assert resolve(["--out", "run", "--resume"])[0].augment.mixup == 0.2


@pytest.mark.parametrize("task", TASKS)
def test_recipes_set_what_their_task_reads(task):
    from res2net.paper.recipes import recipes_of

    for name, recipe in recipes_of(task).items():
        strangers = [o for o in recipe.settings if task not in READ_BY.get(o, TASKS)]
        assert strangers == [], name


# ---- other commands


class Reached(BaseException):
    """Work would begin."""


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_refuses_what_it_does_not_read(command, task, monkeypatch, tmp_path):
    def reached(*_: Any, **__: Any) -> None:
        raise Reached

    monkeypatch.chdir(tmp_path)
    Path("net").mkdir()
    net = SimpleNamespace(
        task=task,
        runtime=None,
        check_precision=lambda _: None,
        trained=True,
        network=None,
        card=None,
    )
    net.predictor = lambda **_: net
    net.finding = lambda _: None
    for where in ("evaluate", "open"):  # evaluate imports the function of open
        monkeypatch.setattr(f"res2net.tasks.{where}.open_target", lambda *_, **__: net)
    for where in ("cli.predict.images_in", "tasks.evaluate.find_task",
                  "tasks.pose.crops.read_boxes"):  # fmt: skip
        monkeypatch.setattr(f"res2net.{where}", reached)
    module = {"predict": predict, "evaluate": evaluate}[command]
    means = readers(command)
    usual = ["net", "a.png"] if command == "predict" else ["net", "--data", "digits"]
    for option, tasks in means.items():
        option = option.replace("_", "-")
        values = {
            "scales": "[1]",
            "tiles": "64",
            "crops": "5",
            **dict.fromkeys(("flip", "class-agnostic", "yolo")),
        }
        shares = dict.fromkeys(("score", "iou", "overlap"), "0.5")
        value = (values | shares).get(option, "3")
        line = [*usual, f"--{option}", *([value] if value else [])]
        line += ["--tiles", "64"] if option == "overlap" and task in tasks else []
        if task in tasks:
            with pytest.raises(Reached):
                module.main(line)
            continue
        with pytest.raises(UserError) as error:
            module.main(line)
        assert str(error.value) == (
            f"--{option} does not apply to a network of --task {task}; it is for a network of "
            f"--task {', '.join(tasks)}"
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("explain net a.png --split val", "--split does not apply here; it needs --data"),
        ("explain net a.png --limit 3", "--limit does not apply here; it needs --data"),
        ("info resnet50 --time true", "--time does not apply here; it needs --compare"),
        ("info resnet50 --out x", "--out does not apply here; it needs --compare"),
        ("study --data x", "--data does not apply here; it needs the name of a study"),
        ("study --trial", "--trial does not apply here; it needs the name of a study"),
        ("study cifar-twins --trial --results x", "--results does not apply here; it needs a stu"),
        ("receptive-field resnet50 --measure false --seed 0", "--seed does not apply here; it ne"),
        ("weights list --out x", "--out only applies to `res2net weights convert`"),
        ("reproduce fig6 --runs a,b", "--runs does not apply here; it needs one of fig4, fig6"),
        (
            "reproduce fig6 a.png",
            "images can be given for one of fig4, fig6 and fig7, with --out or --scale",
        ),
        ("reproduce table4 --workers 0", "--workers does not apply here; it needs --scale small"),
    ],
)
def test_other_commands(line, message):
    command, *rest = line.split()
    with pytest.raises(UserError) as error:
        importlib.import_module(module_of(command)).main(rest)
    assert str(error.value).startswith(message)
