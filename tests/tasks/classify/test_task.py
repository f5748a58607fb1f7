"""What a classification run is built from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from res2net.config import RunConfig
from res2net.data.labelled import LabelledImages, Split
from res2net.data.preprocess import CIFAR_MEAN, IMAGENET_MEAN
from res2net.errors import UserError
from res2net.machine import Processes
from res2net.tasks.classify.task import CLASSIFY, check_size, describe
from res2net.tasks.job import build, build_job
from res2net.tasks.job import describe as card_of
from res2net.tasks.losses import class_weights

ONE = Processes(devices=1, nodes=1, rank=0)


def _config(model="res2net29_small", data="digits", **groups):
    groups = {"net": {"depth": 11}, "input": {}, "train": {}, **groups}
    groups["input"] = {"workers": 0, **groups["input"]}
    return RunConfig.from_dict({"model": model, "data": data, "recipe": "smoke", **groups})


def _images(native_size, *, name="photos", labels=(0, 1)):
    split = Split(
        images=np.zeros((len(labels), 8, 8, 3), dtype=np.uint8), labels=np.array(labels, np.int64)
    )
    classes = tuple("abcdefghij"[: max(labels) + 1])
    return LabelledImages(
        name=name, classes=classes, train=split, val=split, native_size=native_size
    )


def _build(config, together=ONE):
    made = []

    def optimiser(module, steps):
        made.append(steps)
        return {"optimizer": torch.optim.SGD(module.parameters(), lr=0.1)}

    job = build_job(CLASSIFY, config, together, optimiser)
    job.module.configure_optimizers()
    assert made == [job.steps]
    return job


def _model(config, classes):
    card = card_of(CLASSIFY, config, _images(None, labels=tuple(range(classes))))
    return build(CLASSIFY, card, config.net.pretrained)


@pytest.mark.parametrize(
    ("model", "native", "asked", "size", "resize"),
    [
        ("res2net50_26w_4s", None, None, 224, 256),
        ("res2net50_26w_4s", None, 128, 128, 146),
        ("res2net50_26w_4s", 32, None, 32, 32),  # small images are seen whole
        ("res2net50_26w_4s", 8, None, 32, 32),  # enlarged to the least
        ("res2net50_26w_4s", 500, None, 224, 256),
        ("inception_v3", None, None, 299, 342),
        ("inception_v3", 32, None, 75, 75),
        ("res2net29_small", None, None, 32, 32),
    ],
)
def test_size(model, native, asked, size, resize):
    config = _config(model, net={}, input={"size": asked})
    _, found = describe(config, _images(native))
    assert (found.size, found.resize) == (size, resize)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("cifar100", CIFAR_MEAN),
        ("cifar10", CIFAR_MEAN),
        ("cifar_like_pets", IMAGENET_MEAN),
        ("digits", IMAGENET_MEAN),
    ],
)
def test_mean(name, mean):
    config = _config(input={"interpolation": "bicubic"})
    _, found = describe(config, _images(32, name=name))
    assert (found.mean, found.interpolation) == (mean, "bicubic")


@pytest.mark.parametrize(
    ("size", "network", "message"),
    [
        (31, "resnet50", "--x is 31; resnet50 needs images of at least 32 pixels"),
        (74, "inception_v3", "--x is 74; inception_v3 needs images of at least 75 pixels"),
        (32, "resnet50", None),
        (75, "inception_v3", None),
    ],
)
def test_least_size(size, network, message):
    if message is None:
        check_size(size, network, "--x")
        return
    with pytest.raises(UserError) as error:
        check_size(size, network, "--x")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        ([0, 1], [1, 1]),
        ([0, 0, 0, 1], [2 / 3, 2]),
        ([0, 0, 1, 1, 2, 2, 2, 2], [4 / 3, 4 / 3, 2 / 3]),
    ],
)
def test_balanced_weights(labels, weights):
    images = _images(8, labels=tuple(labels))
    found = class_weights(
        "balanced", images.classes, lambda: torch.from_numpy(images.class_counts())
    )
    assert found.tolist() == pytest.approx(weights)
    per_class = found * torch.bincount(torch.tensor(labels))
    assert per_class.tolist() == pytest.approx([len(labels) / len(weights)] * len(weights))


def test_options_reach_the_network():
    net = {"depth": 20, "width": 8, "scale": 3, "norm": "group", "global_pool": "max", "se": True}
    model = _model(_config(net=net), 7)
    assert model.num_classes == 7
    assert model.global_pool.kind == "max"
    assert any(isinstance(module, nn.GroupNorm) for module in model.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert any("SqueezeExcitation" in type(module).__name__ for module in model.modules())


def test_the_seed_decides_the_weights():
    first, again, other = (
        _build(RunConfig.from_dict({**_config().as_dict(), "seed": seed})).module.model.fc.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("batch", "accumulate", "batches", "steps"),
    [
        (5, 1, 3, 3),  # of 18 images: what is left over from whole batches waits an epoch
        (5, 2, 3, 2),  # the last batch makes a step by itself
        (18, 1, 1, 1),
        (100, 1, 1, 1),
        (6, 5, 3, 1),
    ],
)
def test_steps_of_an_epoch(photos, batch, accumulate, batches, steps):
    options = {"batch": batch, "accumulate": accumulate}
    job = _build(_config(data=f"folder:{photos}", train=options))
    assert (len(job.train_loader), job.steps) == (batches, steps)


def test_a_job(photos):
    config = _config(
        data=f"folder:{photos}",
        train={"class_weights": "balanced", "frozen_levels": 1, "gradient_checkpointing": "full"},
    )
    job = _build(config)
    assert job.module.model.gradient_checkpointing == "full"
    assert not any(p.requires_grad for p in job.module.model.conv1.parameters())
    assert job.module.class_weights.tolist() == [1, 1, 1]
    assert job.card.network == "res2net29_small"
    assert job.card.options == {"depth": 11}
    assert job.card.classes == ("ant", "bee", "cat")
    assert job.card.data == f"folder:{photos}"
    images, labels, indices = next(iter(job.val_loader))
    assert images.shape == (9, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert indices.tolist() == list(range(9))


def test_processes_share_a_batch(photos):
    config = _config(data=f"folder:{photos}", train={"batch": 6})
    job = _build(config, Processes(devices=2, nodes=1, rank=1))
    assert job.train_loader.batch_size == 3
    config = _config(data=f"folder:{photos}", train={"batch": 5})
    with pytest.raises(UserError, match="cannot be divided among 2 processes; use a multiple of 2"):
        _build(config, Processes(devices=2, nodes=1, rank=0))


@pytest.mark.parametrize(
    ("model", "net", "message"),
    [
        ("res2net29_small", {"depth": 12}, "--net.depth is 12; a CIFAR network"),
        ("res2net29_small", {"drop_path": 1.0}, "--net.drop-path is 1.0; it must be"),
        ("dla60", {"depth": 50}, "--model dla60: dla60 has no option 'depth'"),
        (
            "densenet161",
            {"norm": "group"},
            "--model densenet161: densenet161 has no option norm_layer",
        ),
        ("res2net50d", {"pretrained": "nowhere.pth"}, "pretrained='nowhere.pth': no such file"),
    ],
)
def test_networks_that_cannot_be(model, net, message):
    with pytest.raises(UserError) as error:
        _model(_config(model, net=net), 3)
    assert str(error.value).startswith(message)


def test_weights_to_start_from(tiny_run):
    model = _model(_config(net={"depth": 11, "width": 4, "pretrained": str(tiny_run)}), 10)
    from res2net.models.weights import load_target

    start = load_target(Path(tiny_run))[0].state_dict()
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
