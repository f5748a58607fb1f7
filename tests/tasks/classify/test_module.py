"""Loss and scores of a classifier in training."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net.card import ModelCard
from res2net.config import RunConfig, TrainOptions
from res2net.data.augment import Augment
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.models.factory import create_model
from res2net.tasks.classify.module import ClassifierModule, TopError, one_image_explained


def _module(model=None, classes=4, counts=None, augment=Augment(), **train):  # noqa: B008
    card = ModelCard(
        network="res2net29_small",
        classes=tuple(map(str, range(classes))),
        preprocess=default_preprocess(32),
    )
    model = model or create_model("res2net29_small", num_classes=classes, depth=11)
    config = RunConfig(
        model="res2net29_small",
        data="digits",
        recipe="smoke",
        augment=augment,
        train=TrainOptions(**train),
    )
    labels = np.repeat(np.arange(classes), counts or [1] * classes)
    images = SimpleNamespace(train=SimpleNamespace(labels=labels), classes=card.classes)
    module = ClassifierModule(model, card=card, images=images, config=config, optimiser=None)
    module.logged = {}
    module.log = lambda name, value, **_: module.logged.update({name: value})
    return module


class Constant(nn.Module):
    """Gives every image the same logits, several times over if asked."""

    def __init__(self, *logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[0].expand(len(x), -1)

    def training_outputs(self, x: Tensor) -> tuple[tuple[float, Tensor], ...]:
        shares = (1.0, 0.4)[: len(self.logits)]
        return tuple((s, y.expand(len(x), -1)) for s, y in zip(shares, self.logits, strict=True))


def _batch(targets):
    count = len(targets)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    return pixels, torch.tensor(targets), torch.arange(count)


@pytest.mark.parametrize(("k", "error"), [(1, 75.0), (2, 50.0), (3, 25.0), (4, 0.0), (9, 0.0)])
def test_top_error_in_percent(k, error):
    metric = TopError(4, k)
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]]).expand(4, -1)
    metric.update(logits[:1], torch.tensor([0]))
    metric.update(logits[1:], torch.tensor([1, 2, 3]))
    assert metric.compute().item() == pytest.approx(error)


def test_loss_of_a_training_step():
    module = _module(Constant([2.0, 0.0, 0.0, 0.0]))
    loss = module.training_step(_batch([0, 1]), 0)
    z = math.log(math.exp(2) + 3)
    assert loss.item() == pytest.approx(((z - 2) + z) / 2, rel=1e-6)
    assert module.logged["train/loss"] is loss
    assert module.train_error.compute().item() == pytest.approx(50)


def test_every_output_counts_with_its_weight():
    """As Inception's auxiliary classifier."""
    first, second = [2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
    losses = [_module(Constant(x)).training_step(_batch([1]), 0) for x in (first, second)]
    both = _module(Constant(first, second)).training_step(_batch([1]), 0)
    assert both.item() == pytest.approx((losses[0] + 0.4 * losses[1]).item(), rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"label_smoothing": 0.1}, {"class_weights": "balanced", "counts": [5, 1, 5, 5]}],
)
def test_the_loss_is_torchs(options):
    module = _module(Constant([2.0, 0.0, 0.0, 1.0]), **options)
    loss = module.training_step(_batch([0, 1, 3]), 0)
    weight = torch.tensor([0.8, 4.0, 0.8, 0.8]) if "counts" in options else None
    expected = F.cross_entropy(
        module.model.logits[0].expand(3, -1),
        torch.tensor([0, 1, 3]),
        weight=weight,
        label_smoothing=options.get("label_smoothing", 0),
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_class_weights_are_no_part_of_the_state():
    module = _module(class_weights="balanced")
    assert not any("class_weights" in name for name in module.state_dict())


def test_mixed_images_have_no_training_error():
    module = _module(augment=Augment(mixup=0.5))
    loss = module.training_step(_batch([0, 1, 2, 3]), 0)
    assert math.isfinite(loss.item())
    assert set(module.logged) == {"train/loss"}


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (4, {"val/loss", "val/top1_error"}),  # top-5 of four classes says nothing
        (6, {"val/loss", "val/top1_error", "val/top5_error"}),
    ],
)
def test_validation(classes, names):
    logits = [float(classes - i) for i in range(classes)]
    module = _module(Constant(logits), classes=classes)
    module.validation_step(_batch([0, classes - 1]), 0)
    module.validation_step(_batch([0]), 1)
    assert set(module.logged) == names
    z = torch.logsumexp(torch.tensor(logits), 0).item()
    losses = [z - logits[0], z - logits[-1], z - logits[0]]
    assert module.val_loss.compute().item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert module.val_top1.compute().item() == pytest.approx(100 / 3)
    if classes > 5:
        assert module.val_top5.compute().item() == pytest.approx(100 / 3)


@pytest.mark.parametrize(
    ("value", "word"), [(float("nan"), "nan"), (float("inf"), "nan"), (-1e38, None)]
)
def test_a_loss_that_is_not_finite(value, word):
    module = _module(Constant([value, 0.0, 0.0, 0.0]))
    if word is None:
        module.training_step(_batch([0]), 0)  # large, yet a number
        return
    with pytest.raises(UserError, match=f"^the loss became {word} at step 0 .epoch 1.: lower"):
        module.training_step(_batch([0]), 0)
    with pytest.raises(UserError, match=f"^the validation loss became {word} at step 0"):
        module.validation_step(_batch([0]), 0)


def test_a_single_value_a_channel():
    norm = nn.BatchNorm2d(3)
    with (
        pytest.raises(UserError, match="a batch of one image is too small"),
        one_image_explained(),
    ):
        norm(torch.ones(1, 3, 1, 1))
    with one_image_explained():
        norm(torch.ones(1, 3, 2, 1))
    with pytest.raises(ValueError, match="other"), one_image_explained():
        raise ValueError("other")


def test_the_input_is_normalised_and_channels_last():
    module = _module()
    x = module.prepare(torch.full((2, 3, 32, 32), 255, dtype=torch.uint8))
    assert x.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, std) in enumerate(
        zip(module.preprocess.mean, module.preprocess.std, strict=True)
    ):
        assert x[0, channel, 0, 0].item() == pytest.approx((1 - mean) / std, rel=1e-5)
    assert (
        module.double().prepare(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).dtype == torch.double
    )


def test_a_checkpoint_names_the_card():
    module = _module()
    assert module.hparams["card"]["network"] == "res2net29_small"
    assert {name.partition(".")[0] for name in module.state_dict()} == {"model"}
