"""Each loss against values by hand, and against another library's."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from res2net.config import RunConfig, TrainOptions
from res2net.errors import UserError
from res2net.tasks.losses import class_weights, dice, focal, hardest, lovasz, of_labels, of_pixels

SHARES = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]])
TRUE = torch.tensor([0, 0, 1, 1])


def test_dice_by_hand():
    first, second = 2 * 1.5 / (2.6 + 2), 2 * 0.9 / (1.4 + 2)
    assert dice(SHARES, TRUE).item() == pytest.approx(1 - (first + second) / 2)
    three = F.pad(SHARES, (0, 1))  # a class that is not there does not count
    assert dice(three, TRUE).item() == pytest.approx(1 - (first + second) / 2)


def test_lovasz_by_hand():
    """Errors of either class 0.8, 0.4, 0.3, 0.1; the Jaccard loss of the first 1, 2, 3, 4 wrong.

    Class 0: wrong are one extra (1/3), a miss (2/3), an extra (3/4), a miss (1).
    Class 1: a miss (1/2), an extra (2/3), a miss (1), an extra (1).
    """
    first = 0.8 * 1 / 3 + 0.4 * 1 / 3 + 0.3 * (3 / 4 - 2 / 3) + 0.1 * 1 / 4
    second = 0.8 * 1 / 2 + 0.4 * (2 / 3 - 1 / 2) + 0.3 * 1 / 3
    assert lovasz(SHARES, TRUE).item() == pytest.approx((first + second) / 2)


def test_lovasz_of_hard_predictions_is_the_share_of_the_union_that_is_missed():
    hard = F.one_hot(torch.tensor([0, 1, 1, 1]), 2).float()
    assert lovasz(hard, TRUE).item() == pytest.approx(1 - (1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("name", ["dice", "lovasz"])
def test_they_are_those_of_segmentation_models_pytorch(name):
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    torch.manual_seed(0)
    logits, maps = torch.randn(2, 4, 9, 7), torch.randint(0, 4, (2, 9, 7))
    maps[0, :3] = 255
    theirs = {
        "dice": losses.DiceLoss("multiclass", ignore_index=255),
        "lovasz": losses.LovaszLoss("multiclass", ignore_index=255),
    }[name](logits, maps)
    ours = of_pixels(logits, maps, name, None)
    plain = F.cross_entropy(logits, maps, ignore_index=255)
    assert (ours - plain).item() == pytest.approx(theirs.item(), abs=1e-5)


def test_the_hardest_pixels():
    p = torch.tensor([[0.9, 0.75, 0.6, 0.1]])
    assert hardest(-p.log(), torch.ones_like(p, dtype=torch.bool)).tolist() == [
        [False, False, True, True]
    ]
    sure = torch.linspace(0.8, 0.95, 32)  # all likely: the two least likely count
    assert (
        hardest(-sure.log(), torch.ones(32, dtype=torch.bool)).tolist() == [True] * 2 + [False] * 30
    )
    counting = torch.tensor([False] * 2 + [True] * 30)
    assert hardest(-sure.log(), counting).nonzero()[:, 0].tolist() == [2]


def test_weighted_cross_entropy_is_torchs_and_nothing_counts_as_zero():
    torch.manual_seed(1)
    logits, maps = torch.randn(2, 3, 5, 4), torch.randint(0, 3, (2, 5, 4))
    maps[1, 2:] = 255
    weights = torch.tensor([1.0, 5.0, 0.25])
    found = of_pixels(logits, maps, "cross_entropy", weights)
    assert found.item() == pytest.approx(
        F.cross_entropy(logits, maps, weights, ignore_index=255).item(), rel=1e-6
    )
    for loss in ("cross_entropy", "dice", "lovasz", "ohem"):
        none = torch.full((2, 5, 4), 255)
        logits.requires_grad_()
        result = of_pixels(logits, none, loss, weights)
        result.backward()
        assert result.item() == 0
        assert logits.grad.abs().sum().item() == 0


def test_focal_by_hand():
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    goal = F.one_hot(torch.tensor([0, 0]), 2).float()
    each = [-(0.1**2) * math.log(0.9), -(0.8**2) * math.log(0.2)]
    assert focal(logits, goal, None).item() == pytest.approx(sum(each) / 2, rel=1e-5)
    weighted = focal(logits, torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([3.0, 1]))
    expected = (3 * each[0] - 0.2**2 * math.log(0.8)) / 4
    assert weighted.item() == pytest.approx(expected, rel=1e-5)


def test_losses_of_several_labels_by_hand():
    logits = torch.logit(torch.tensor([[0.9, 0.2, 0.04]]))
    goal = torch.tensor([[1.0, 0, 0]])
    plain = -math.log(0.9) - math.log(0.8) - math.log(0.96)
    assert of_labels(logits, goal, "cross_entropy", None).item() == pytest.approx(plain / 3)
    weighed = -(0.1**2) * math.log(0.9) - 0.2**2 * math.log(0.8) - 0.04**2 * math.log(0.96)
    assert of_labels(logits, goal, "focal", None).item() == pytest.approx(weighed / 3, rel=1e-5)
    asymmetric = -math.log(0.9) - 0.15**4 * math.log(0.85)  # 0.04 is below the margin
    found = of_labels(logits, goal, "asymmetric", None).item()
    assert found == pytest.approx(asymmetric / 3, rel=1e-5)
    double = of_labels(logits, goal, "cross_entropy", torch.tensor([2.0, 1, 1]))
    assert double.item() == pytest.approx((plain - math.log(0.9)) / 3)


def test_weights_by_name():
    none = torch.zeros(3)
    assert class_weights("none", "abc", lambda: none) is None
    assert class_weights("c:3, a:0.5", "abc", lambda: none).tolist() == [0.5, 1, 3]
    found = class_weights("balanced", "abc", lambda: torch.tensor([6, 3, 0]))
    assert found.tolist() == [0.5, 1, 3]
    with pytest.raises(UserError, match=r"'cart', which is not a class.* Did you mean 'car'\?"):
        class_weights("cart:2", ("car", "road"), lambda: none)


@pytest.mark.parametrize("text", ["car", "car:0", "car:-1", "car:nan", "car:inf", "a:1,,b:2", ":2"])
def test_numbers_that_cannot_be(text):
    with pytest.raises(UserError, match="--train.class-weights has .*such as car:2,road:0.5"):
        TrainOptions(class_weights=text)


def test_names_twice_and_losses_of_other_tasks():
    with pytest.raises(UserError, match="--train.class-weights names 'a' twice"):
        TrainOptions(class_weights="a:1,a:2")
    for task, loss in (("classify", "dice"), ("segment", "focal")):
        with pytest.raises(UserError, match=f"--train.loss {loss} is not for --task {task}"):
            RunConfig(
                model="resnet50", data="x", recipe="y", task=task, train=TrainOptions(loss=loss)
            )
