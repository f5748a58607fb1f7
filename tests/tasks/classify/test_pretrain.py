"""Pretraining without labels: views, loss, probe, runs, and the networks that start from it."""

from __future__ import annotations

import csv
import json
import math
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import res2net
from res2net.card import ModelCard
from res2net.config import HeadOptions, RunConfig
from res2net.data.augment import Augment
from res2net.data.labelled import Split
from res2net.data.preprocess import default_preprocess
from res2net.data.sampler import seeded
from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.tasks.classify import pretrain
from res2net.tasks.classify.pretrain import FeatureScores, PretrainModule, Views, measure
from res2net.tasks.scores import Measuring
from res2net.tasks.selection import described

NETWORK = ("--model", "res2net18", "--net.width", "2", "--net.scale", "2")
SMALL = ("--train.threads", "1", "--input.workers", "0", "--head.channels", "16")


# ---- views, loss, probe


def test_views_follow_from_torchs_seed_alone() -> None:
    image = torch.randint(256, (3, 90, 120), dtype=torch.uint8)
    views = Views(Augment(color_jitter=0.5), 72)
    found = []
    for own, of_numpy in ((1, 0), (1, 5), (2, 0)):
        np.random.seed(of_numpy)
        before = np.random.get_state()[1].tolist()
        with seeded(own):
            found.append(torch.stack([views(image) for _ in range(4)]))  # blur in half of them
        assert np.random.get_state()[1].tolist() == before
    assert found[0].shape == (4, 2, 3, 72, 72)
    assert found[0].dtype == torch.uint8
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0][:, 0], found[0][:, 1])


def test_options_of_the_augmentation_are_those_of_the_views() -> None:
    views = Views(Augment(crop_scale=0.3, color_jitter=0.5, hflip=0.25), 64).views
    steps = views.transforms[0].transform.transforms
    assert (tuple(steps[0].scale), steps[1].p) == ((0.3, 1.0), 0.25)
    assert tuple(steps[4].transforms[0].brightness) == (0.6, 1.4)  # 0.8 times the strength
    assert steps[7].prob == 0  # a blur would leave nothing of so small an image


def module_of(channels: int = 8) -> PretrainModule:
    card = ModelCard(network="res2net29_small", classes=(), preprocess=default_preprocess(32))
    config = RunConfig(
        model="res2net29_small",
        data="images:photos",
        recipe="smoke",
        task="pretrain",
        head=HeadOptions(channels=channels),
    )
    torch.manual_seed(0)
    model = create_model("res2net29_small", num_classes=0, depth=11)
    images = SimpleNamespace(classes=())
    return PretrainModule(model, card=card, images=images, config=config, optimiser=None)


def vicreg(a: Tensor, b: Tensor) -> float:
    """The formulas of Bardes et al. 2022, with their weights 25, 25, 1."""
    total = 25 * ((a - b) ** 2).mean()
    for z in (a, b):
        total += 25 / 2 * (1 - (z.var(0) + 1e-4).sqrt()).clamp(min=0).mean()
        covariance = torch.cov(z.T)
        total += (covariance.fill_diagonal_(0) ** 2).sum() / z.shape[1]
    return float(total)


def test_the_loss_is_that_of_the_paper_and_of_lightly() -> None:
    from lightly.loss import VICRegLoss

    module = module_of().eval()
    batch = (torch.randint(256, (6, 2, 3, 32, 32), dtype=torch.uint8), *torch.zeros(2, 6))
    (x,) = module.inputs(batch)
    with torch.no_grad():
        first = module.projector(module.model(module.prepare(batch[0][:, 0])))
        second = module.projector(module.model(module.prepare(batch[0][:, 1])))
        (loss,) = module.learn(x)
    assert float(loss) == pytest.approx(vicreg(first, second), rel=1e-4)
    assert float(loss) == pytest.approx(float(VICRegLoss()(first, second)), rel=1e-5)


def scores_of(
    monkeypatch: pytest.MonkeyPatch, features: Tensor, labels: list[int], classes: int
) -> FeatureScores:
    known = (torch.eye(2).repeat_interleave(3, 0), torch.tensor([0, 0, 0, 1, 1, 1]))

    def features_of(_: Any, part: str, *__: Any) -> tuple[Tensor, Tensor, Tensor]:
        values, own = known if part == "train" else (features, torch.tensor(labels))
        return torch.nn.functional.normalize(values), own, torch.arange(len(own))

    monkeypatch.setattr(pretrain, "features_of", features_of)
    images: Any = SimpleNamespace(classes=("a", "b")[:classes], train="train")
    card: Any = None
    return measure(None, card, images, "val", Measuring(batch=3))  # type: ignore[arg-type]


def test_the_probe_takes_the_class_of_the_nearest_training_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = torch.tensor([[1.0, 0.1], [0.9, 0.0], [0.1, 1.0], [0.0, 0.7]])
    found = scores_of(monkeypatch, near, [0, 1, 1, 1], 2)  # the second looks like class 0
    assert found.summary()["probe_error"] == 25
    assert found.headline == "probe error 25.00 %"


def test_a_limit_takes_images_of_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Split(
        images=np.zeros((90, 4, 4, 3), np.uint8), labels=np.arange(90, dtype=np.int64) // 30
    )

    def outputs(_: Any, own: Split, *__: Any) -> list[tuple[Tensor, Tensor, Tensor]]:
        count = len(own)
        return [(torch.ones(count, 2), torch.from_numpy(own.labels), torch.arange(count))]

    monkeypatch.setattr(pretrain, "outputs", outputs)
    card: Any = SimpleNamespace(preprocess=None)
    _, labels, rows = pretrain.features_of(None, part, card, Measuring(limit=2, batch=3))
    assert labels.bincount().tolist() == [2, 2, 2]
    assert (rows[0], rows[-1]) == (0, 89)


def test_the_spread_shows_a_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    for features, wanted in ((torch.randn(400, 32), 1.0), (torch.ones(400, 32), 0.0)):
        found = scores_of(monkeypatch, features, [0] * 400, 0)
        assert found.spread == pytest.approx(wanted, abs=0.02)
        assert found.summary().keys() == {"spread"}
        assert "no labels, so no probe" in found.headline


def test_a_metric_that_is_no_error_has_no_unit() -> None:
    rows = [{"epoch": 1.0, "val/loss": 3.0}, {"epoch": 2.0, "val/loss": 2.5}]
    assert described("last", rows, "val/loss", "train").endswith("epoch 2, val/loss 2.50")


# ---- runs


def save_photos(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for i in range(count):
        pixels = chance.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on photos without labels, at any depth."""
    from res2net.cli.main import main

    place = tmp_path_factory.mktemp("pretrain")
    save_photos(place / "photos", 10)
    save_photos(place / "photos" / "2024" / "june", 10)
    words = ["pretrain", str(place / "photos"), *NETWORK, *SMALL, "--recipe", "smoke"]
    words += ["--input.val-fraction", "0.25", "--out", str(place / "run")]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(words)
    assert (code, err.getvalue()) == (0, "")
    assert "recognised as images data" in out.getvalue()
    assert "15 training and 5 validation images, 0 classes" in out.getvalue()
    return place / "run"


def test_without_labels_the_probe_is_blank_with_a_note(run: Path) -> None:
    (row,) = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    assert math.isfinite(float(row["val/loss"]))
    assert "val/probe_error" not in row
    assert json.loads((run / "metrics.json").read_text()).keys() == {"spread"}
    text = (run / "report.md").read_text()
    assert "| error of the 20 nearest neighbours | the images have no labels |" in text
    assert f"--net.pretrained {run} --data DATA" in text
    assert "Small is below" not in text


def test_the_weights_are_the_backbone_of_every_task(run: Path) -> None:
    written = load_file(run / "model.safetensors")
    assert not [name for name in written if name.startswith(("fc.", "projector."))]
    variant = {"width": 2, "scale": 2}
    classifier = create_model("res2net18", num_classes=5, pretrained=run, **variant)
    found = classifier.state_dict()
    assert found.keys() - written.keys() == {"fc.weight", "fc.bias"}
    assert all(torch.equal(found[name], value) for name, value in written.items())
    backbone = res2net.create_backbone("res2net18", pretrained=run, **variant)
    inside = backbone.state_dict()
    assert len(inside) == len(written)
    assert all(torch.equal(inside[name], value) for name, value in written.items())


@pytest.mark.parametrize("task", ["classify", "detect"])
@pytest.mark.usefixtures("few_scenes", "undrawn")
def test_other_trainings_start_from_it(run: Path, cli: Any, tmp_path: Path, task: str) -> None:
    data = "digits" if task == "classify" else "scenes"
    words = ("--task", task, "--data", data, *NETWORK, *SMALL[:4], "--recipe", "smoke")
    words += ("--train.max-steps", "1", "--train.val-batches", "1", "--train.batch", "2")
    words += ("--train.lr", "1e-12", "--train.weight-decay", "0")
    done = cli("train", *words, "--net.pretrained", run, "--out", tmp_path / "next")
    assert done.code == 0, done
    before = load_file(run / "model.safetensors")
    after = load_file(tmp_path / "next" / "model.safetensors")
    kernels = [name for name, value in before.items() if value.ndim == 4]
    ends = {name: next(n for n in after if n.endswith(name)) for name in kernels}
    assert all(torch.allclose(before[name], after[end], atol=1e-6) for name, end in ends.items())
    assert (
        "trained by this project"
        in json.loads((tmp_path / "next" / "model.json").read_text())["notes"]
    )


def test_its_features_are_embedded_and_it_predicts_nothing(
    run: Path, cli: Any, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    assert res2net.embed(run, image).shape == (1, 512)
    with pytest.raises(UserError, match=f"predicts nothing; .*net.pretrained {run}"):
        res2net.load(run)
    for words in (("predict", run, tmp_path), ("evaluate", run, "--data", "digits")):
        assert "predicts nothing; train a network from it" in cli(*words).line
    done = cli("export", run, "--to", "torch-export", "--out", tmp_path / "x")
    assert "export their maps: --features c5" in done.line


@pytest.mark.usefixtures("undrawn")
def test_stopped_in_an_epoch_and_resumed_it_ends_in_the_same_weights(
    photos: Path, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("pretrain", photos, "--model", "res2net29_small", "--net.depth", "11", *SMALL)
    words += ("--net.width", "4", "--net.drop-path", "0.2", "--input.size", "40")
    words += ("--train.epochs", "3", "--train.batch", "6", "--train.ema", "0.9", "--seed", "3")
    assert cli(*words, "--out", tmp_path / "whole").code == 0
    note = PretrainModule.note

    def interrupted(self: PretrainModule, *found: Any) -> None:
        note(self, *found)
        if self.global_step == 4:  # the second of three steps of the second epoch
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainModule, "note", interrupted)
        assert cli(*words, "--out", tmp_path / "broken").code == 130
    assert len((tmp_path / "broken" / "metrics.csv").read_text().splitlines()) == 2
    np.random.seed(99)  # no draw depends on it
    torch.manual_seed(99)
    done = cli("pretrain", "--out", tmp_path / "broken", "--resume", "--input.workers", "1")
    assert done.code == 0
    assert "epoch 1/3" not in done.out
    first, second = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "broken")
    )
    assert any("projector." in name for name in first["state_dict"])
    for part in ("state_dict", "current_model_state"):
        assert first[part].keys() == second[part].keys()
        assert [k for k, v in first[part].items() if not torch.equal(v, second[part][k])] == []
    rows = [
        [{**row, "seconds": ""} for row in csv.DictReader(file.read_text().splitlines())]
        for file in (tmp_path / name / "metrics.csv" for name in ("whole", "broken"))
    ]
    assert rows[0] == rows[1]
    kept = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert float(rows[0][-1]["val/probe_error"]) == pytest.approx(kept["probe_error"], rel=1e-4)


# ---- what is refused


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--augment.mixup", "0.2"), "--augment.mixup does not apply to --task pretrain"),
        (("--train.label-smoothing", "0.1"), "--train.label-smoothing does not apply"),
        (("--task", "classify"), "--task: pretrain sets it; leave it out"),
        (("--data", "digits"), "--data: pretrain sets it; leave it out"),
        (
            ("--train.batch", "1"),
            "it needs 2 images in --train.batch (2 for each process)",
        ),
        (("--input.channels", "1"), "takes images of 3 channels, these have 1"),
    ],
)
def test_what_means_nothing_is_refused(
    cli: Any, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    base = ("pretrain", "digits", *NETWORK, *SMALL, "--recipe", "smoke", "--out", tmp_path / "run")
    assert message in cli(*base, *more).line
    assert not (tmp_path / "run").exists()


def test_without_lightly_it_names_the_extra(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "res2net.tasks.classify.pretrain")
    monkeypatch.delattr("res2net.tasks.classify.pretrain")
    monkeypatch.setitem(sys.modules, "lightly", None)
    monkeypatch.setitem(sys.modules, "lightly.loss", None)
    words = ("pretrain", "digits", *NETWORK, *SMALL, "--recipe", "smoke", "--out", tmp_path / "run")
    line = cli(*words).line
    assert line == "--task pretrain needs lightly: pip install 'res2net[pretrain]'"
    assert not (tmp_path / "run").exists()


def test_images_without_labels_are_for_pretraining_alone(cli: Any, tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", 4)
    data = f"images:{tmp_path / 'photos'}"
    words = ("--model", "res2net18", "--recipe", "smoke", "--out", tmp_path / "run")
    line = cli("train", "--data", data, *words).line
    assert line == f"{data}: images without labels are for --task pretrain alone"
    shutil.rmtree(tmp_path / "photos")
    save_photos(tmp_path / "photos", 1)
    assert "fewer than 2 images" in cli("pretrain", data, *words).line
    annotated = f"voc:{tmp_path / 'photos'}"
    assert cli("pretrain", annotated, *words).line.endswith("pretraining images:FOLDER")


def test_nothing_reaches_for_an_address() -> None:
    code = """
import sys

def refuse(event, _):
    assert not event.startswith(("socket.connect", "socket.getaddrinfo", "urllib")), event

sys.addaudithook(refuse)
import torch
from res2net.data.augment import Augment
from res2net.tasks.classify.pretrain import PretrainModule, Views
print(Views(Augment(), 32)(torch.zeros(3, 40, 40, dtype=torch.uint8)).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "torch.Size([2, 3, 32, 32])", done.stderr
