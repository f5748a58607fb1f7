"""``res2net train``: options into a configuration, and a run from the command line."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml

from res2net.cli.train import make_help, make_parser, resolve
from res2net.config import READ_BY, HeadOptions, InputOptions, NetOptions, RunConfig, TrainOptions
from res2net.data.augment import Augment
from res2net.errors import UserError
from res2net.paper.recipes import RECIPES, find_recipe, recipe_for, recipes_of
from res2net.paper.tasks import TASKS
from res2net.training.configure import free_folder, last_folder, recipe_defaults

pytestmark = pytest.mark.usefixtures("undrawn")
DIGITS = ("--model", "res2net29_small", "--data", "digits")
GROUPS = {
    "net": NetOptions,
    "head": HeadOptions,
    "input": InputOptions,
    "augment": Augment,
    "train": TrainOptions,
}
ALL = {f"{group}.{each.name}" for group, kind in GROUPS.items() for each in fields(kind)}


# ---- options


def test_every_field_of_the_configuration_is_an_option():
    names = {
        "config",
        "help",
        "out",
        "folds",
        "logger",
        "preview",
        "resume",
        *(f.name for f in fields(RunConfig)),
    } - set(GROUPS)
    names |= ALL
    assert set(make_parser().names()) == {name.replace("_", "-") for name in names}


@pytest.mark.parametrize("task", TASKS)
def test_the_help_of_a_task_shows_what_it_reads_with_its_recipe(task):
    parser = make_help(["--task", task])
    shown = {name.replace("-", "_") for name in parser.names()}
    read = {name for name in ALL if task in READ_BY.get(name, (task,))}
    assert {name for name in shown if "." in name} == read
    text = parser.format_help()
    for name, recipe in recipes_of(task).items():
        assert f"  {name:<12} {recipe.summary}" in text
    usual = find_recipe(recipe_for("", task), task).settings
    for name, value in usual.items():
        assert parser.get_default(name) == value, name
    for other in set(TASKS) - {task}:
        assert f"{other} ({TASKS[other].learns})" in " ".join(text.split())
    assert f"--task {task}" in text


@pytest.mark.parametrize(
    ("words", "lr", "anchors"),
    [
        ((), 0.001, None),
        (("--recipe", "imagenet"), 0.1, None),
        (("--data", "digits"), 0.003, None),
        (("--data", "no/such/folder"), 0.001, None),
        (("--task=detect", "--recipe=paper"), 0.01, [128, 256, 512]),
        (("--task", "detect", "--data", "scenes", "--seed"), 0.001, ()),
    ],
)
def test_the_help_shows_the_defaults_of_a_named_recipe(words, lr, anchors):
    parser = make_help([*words, "--help"])
    assert parser.get_default("train.lr") == lr
    assert anchors is None or parser.get_default("head.anchors") == anchors


def test_help_comes_first_but_a_task_has_to_exist(cli, capsys):
    assert cli("train", "--help", "--task", "detct").line.startswith("--task is 'detct'; it can")
    assert cli("train", "--help", "--recipe", "fpn").line.startswith("recipe 'fpn' is not for cl")
    with pytest.raises(SystemExit):
        resolve(["--no-such-option", "--task", "--help"])
    assert "This is the help of --task classify" in capsys.readouterr().out


def test_a_later_file_takes_precedence(tmp_path):
    for name, lr in (("a", 0.5), ("b", 0.25)):
        (tmp_path / f"{name}.yaml").write_text(f"train: {{lr: {lr}}}\n")
    files = ("--config", str(tmp_path / "a.yaml"), f"--config={tmp_path / 'b.yaml'}")
    assert resolve([*DIGITS, *files])[0].train.lr == 0.25


def test_a_file_can_name_loggers_and_folds(tmp_path):
    file = tmp_path / "a.yaml"
    words = [*DIGITS, "--config", str(file)]
    file.write_text("logger: [wandb, mlflow]\nfolds: 3\n")
    assert resolve(words)[-2:] == (3, ["wandb", "mlflow"])
    assert resolve([*words, "--folds", "4", "--logger", "wandb"])[-2:] == (4, ["wandb"])
    file.write_text("logger: mlflow\n")
    assert resolve(words)[-2:] == (None, ["mlflow"])


def test_pretrained_none_means_none_over_a_recipe(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("net: {pretrained: none}\n")
    for words in (["--net.pretrained", "none"], ["--config", str(file)]):
        words += ["--model", "resnet50", "--data", "digits", "--recipe", "finetune"]
        assert resolve(words)[0].net.pretrained is None


EVERY_RECIPE = [(task, name) for task, known in RECIPES.items() for name in known]


@pytest.mark.parametrize(("task", "name"), EVERY_RECIPE)
def test_every_recipe_makes_a_configuration(task, name):
    words = () if task == "classify" else ("--task", task, "--data", "scenes")
    config, *_ = resolve([*DIGITS, *words, "--recipe", name])
    assert config.recipe == name
    flat = {f"{g}.{k}": v for g, values in config.as_dict().items() if g in GROUPS
            for k, v in values.items()}  # fmt: skip
    for option, value in find_recipe(name, task).settings.items():
        if (name, option) != ("smoke", "input.size"):
            held = flat[option]
            assert (list(held) if isinstance(held, tuple) else held) == value, option


@pytest.mark.parametrize(
    ("data", "recipe"),
    [("digits", "digits"), ("photos", "finetune"), ("cifar100:somewhere", "cifar")],
)
def test_the_recipe_follows_the_data(photos, monkeypatch, data, recipe):
    monkeypatch.chdir(photos.parent)
    config, *_ = resolve(["--model", "res2net29_small", "--data", data])
    assert config.recipe == recipe


@pytest.mark.parametrize(
    ("name", "given", "option", "value"),
    [
        ("imagenet", {}, "train.milestones", [30, 60, 90]),
        ("imagenet", {"train.epochs": "10"}, "train.milestones", [3, 6, 9]),
        ("imagenet", {"train.epochs": "ten"}, "train.milestones", [30, 60, 90]),
        ("imagenet", {"train.epochs": 10**400}, "train.milestones", [30, 60, 90]),
        ("cifar", {"train.epochs": 3}, "train.milestones", [1.5, 2.25]),
        ("imagenet", {}, "train.lr_batch", 256),
        ("imagenet", {"train.lr": "0.2"}, "train.lr_batch", 0),
        ("smoke", {}, "input.size", 96),
        ("imagenet299", {}, "input.size", 299),
    ],
)
def test_a_recipe_adapts_to_what_is_set_by_hand(name, given, option, value):
    assert recipe_defaults(name, given, usual_size=224)[option] == value


@pytest.mark.parametrize(
    ("model", "data", "size"),
    [
        ("res2net50_26w_4s", "photos", 96),
        ("res2net50_26w_4s", "digits", None),  # 32: the digits' own
        ("wideresnet28_10", "photos", None),  # 32: the network's own
        ("inception_v3", "photos", 96),
        ("inception_v3", "digits", None),  # 75: the least it takes
    ],
)
def test_smoke_enlarges_nothing(photos, monkeypatch, model, data, size):
    monkeypatch.chdir(photos.parent)
    config, *_ = resolve(["--model", model, "--data", data, "--recipe", "smoke"])
    assert config.input.size == size


def test_what_is_typed_goes_before_the_file_and_that_before_the_recipe(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("model: res2net29_small\ndata: digits\ntrain: {lr: 0.5, batch: 10}\n")
    for words in (
        ["--config", str(file), "--train.lr", "0.7"],
        ["--train.lr", "0.7", "--config", str(file)],  # wherever the file stands
        [f"--config={file}", "--train.lr=0.7"],
    ):
        config, *_ = resolve(words)
        assert (config.train.lr, config.train.batch) == (0.7, 10)
        assert config.train.optimizer == RECIPES["classify"]["digits"].settings["train.optimizer"]


def test_a_resolved_configuration_is_a_fixed_point(tmp_path):
    words = [
        *("--seed", "7", "--compile", "--net.depth", "11", "--net.width", "8", "--net.se", "true"),
        *("--net.first-block", "paper", "--net.drop-path", "0.1", "--input.workers", "0"),
        *("--augment.mixup", "0.2", "--train.milestones", "[1, 2.5]", "--train.devices", "1"),
        *("--train.epochs", "3", "--train.lr", "1e-2", "--train.val-batches", "2"),
    ]
    config, *_ = resolve([*DIGITS, "--recipe", "imagenet", *words])
    saved = tmp_path / "config.yaml"
    saved.write_text(yaml.safe_dump(config.as_dict()))
    again, *_ = resolve(["--config", str(saved)])
    assert again == config
    assert RunConfig.read(saved) == config
    assert config.train.milestones == (1.0, 2.5)


def test_a_guessed_format_is_said_once(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    config, *_ = resolve(["--model", "resnet50", "--data", "photos"])
    assert capsys.readouterr().out == "photos: recognised as folder data\n"
    assert config.data == "folder:photos"
    resolve(["--model", "resnet50", "--data", config.data])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("there", "free", "last"),
    [((), "a", "a"), (("a",), "a-2", "a"), (("a", "a-2"), "a-3", "a-2"), (("a-2",), "a", "a")],
)
def test_numbered_folders(tmp_path, there, free, last):
    for name in there:
        (tmp_path / name).mkdir()
    assert free_folder(tmp_path / "a").name == free
    assert last_folder(tmp_path / "a").name == last


def test_the_same_command_with_resume_finds_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs/res2net29_small-digits")
    assert resolve(DIGITS)[1] == run
    run.mkdir(parents=True)
    assert resolve(DIGITS)[1] == Path("runs/res2net29_small-digits-2")
    assert resolve([*DIGITS, "--resume"])[1:3] == (run, True)


def test_resume_takes_the_configuration_of_the_run(tmp_path):
    config, *_ = resolve([*DIGITS, "--train.lr", "0.25", "--seed", "4"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()))
    assert resolve(["--out", str(tmp_path), "--resume"])[:3] == (config, tmp_path, True)
    longer, *_ = resolve(["--out", str(tmp_path), "--resume", "--train.epochs", "20"])
    assert longer.train.epochs == 20
    assert longer.train.lr == 0.25


def test_resume_takes_nothing_from_a_recipe_that_has_grown(tmp_path):
    """A run of before the option keeps the form of before."""
    words = ("--task", "segment", "--model", "res2net18", "--data", "scenes", "--recipe", "paper")
    config, *_ = resolve(words)
    assert config.head.as_base
    saved = config.as_dict()
    del saved["head"]["as_base"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved))
    resumed, *_ = resolve(["--out", str(tmp_path), "--resume"])
    assert not resumed.head.as_base
    assert resumed.head.lr_factor == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--model is missing"),
        (("--model", "resnet50"), "--data is missing"),
        (("--out", "nowhere", "--resume"), "--resume: nowhere holds no run"),
        ((*DIGITS, "--train.nesterov", "true", "--train.momentum", "0"), "--train.nesterov needs"),
        ((*DIGITS, "--train.milestones", "[3, 1]"), "--train.milestones is [3.0, 1.0]; epochs"),
        ((*DIGITS, "--train.lr", "inf"), "--train.lr: must be a number or 'auto', not 'inf'"),
        ((*DIGITS, "--train.lr", ".inf"), "--train.lr is inf; it must be above 0"),
        ((*DIGITS, "--seed", "-1"), "--seed is -1"),
        ((*DIGITS, "--augment.hflip", "3"), "--augment.hflip is 3.0; a probability"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        resolve(words)
    assert str(error.value).startswith(message)


# ---- runs


def test_photos_from_the_first_command_to_the_report(cli, tiny, photos, tmp_path):
    run = tmp_path / "run"
    code, out, err = cli(*tiny, "--data", photos, "--train.batch", "6", "--out", run)
    assert (code, err) == (0, "")
    first, second, network, recipe, epoch, best = out.splitlines()
    assert first == f"{photos}: recognised as folder data"
    assert second == f"run folder: {run}"
    assert network.endswith(
        "on photos: 18 training and 9 validation images, 3 classes, 32x32 pixels"
    )
    assert "recipe smoke: 1 epoch of 3 steps, batch 6" in recipe  # which end before smoke's 8
    assert epoch.startswith("epoch 1/1  loss ")
    assert "top-5" not in epoch  # of three classes
    assert best.startswith("best checkpoint: top-1 error")
    with (run / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["epoch"], row["step"]) == ("1", "3")
    assert "val/top5_error" not in row
    card = json.loads((run / "model.json").read_text())
    assert card["classes"] == ["ant", "bee", "cat"]
    assert list(run.rglob("*.tmp")) == []


def test_a_run_stops_after_its_steps_with_a_validation_and_a_checkpoint(tiny_run):
    with (tiny_run / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "8"  # of 90 in the epoch
    assert 0 <= float(row["val/top1_error"]) <= 100
    for name in ("best.ckpt", "last.ckpt"):
        content = torch.load(tiny_run / "checkpoints" / name, weights_only=True)
        assert content["global_step"] == 8


def test_resume_goes_on_and_says_when_nothing_is_left(cli, tiny, photos, tmp_path):
    run = tmp_path / "run"
    words = (*tiny, "--data", f"folder:{photos}", "--out", run, "--train.max-steps", "-1")
    none = f"{run} has no checkpoint to resume from: training starts from the first epoch\n"
    assert cli(*words, "--resume").out.count(none) == 1
    taken = cli(*words).line
    assert taken == f"--out {run} exists; add --resume to resume it, or name another folder"
    out = cli("train", "--out", run, "--resume").out
    assert "nothing is left to train: all of --train.epochs 1 are done, raise it to continue" in out
    out = cli("train", "--out", run, "--resume", "--train.epochs", "2").out
    assert "epoch 2/2" in out
    assert "epoch 1/2" not in out
    line = cli("train", "--out", run, "--resume", "--train.lr", "3").line
    assert line.startswith(f"--resume {run}: the run has --train.lr 0.01, now it is 3.0")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("inception_v3", (), marks=pytest.mark.slow),
        pytest.param("densenet161", ("--data", "digits"), marks=pytest.mark.slow),
        ("dla60_res2net", ("--net.norm", "group", "--net.width", "4", "--input.size", "32")),
        ("res2net29_small", ("--net.scale", "3", "--net.global-pool", "avgmax")),
        ("res2net29_small", ("--net.norm", "frozen", "--train.precision", "fp64")),
    ],
)
def test_smoke_runs_any_family(cli, photos, tmp_path, name, options):
    words = [*options] if "--data" in options else ["--data", photos, *options]
    run = tmp_path / "run"
    quick = ("--recipe", "smoke", "--train.max-steps", "1", "--train.val-batches", "1")
    place = ("--train.threads", "1", "--out", run)
    code, _, err = cli("train", "--model", name, *words, *quick, *place)
    assert (code, err) == (0, "")
    assert cli("predict", run, photos / "val" / "ant", "--json").code == 0


def test_real_photos(cli, tiny, shared_data, tmp_path):
    run = tmp_path / "run"
    code, out, err = cli(*tiny, "--data", shared_data / "imagenette224", "--out", run)
    assert (code, err) == (0, "")
    assert "900 training and 250 validation images, 10 classes" in out
    shutil.rmtree(run)
    code, out, err = cli(*tiny, "--data", shared_data / "cifar100", "--out", run)
    assert (code, err) == (0, "")
    assert "100 classes, 32x32 pixels" in out
