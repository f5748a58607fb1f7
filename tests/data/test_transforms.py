"""Transforms: sizes, equality with torchvision's plain recipe, mixing."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from res2net.data.augment import Augment
from res2net.data.preprocess import default_preprocess
from res2net.data.sampler import seeded
from res2net.data.transforms import eval_transform, mix, normalise, train_transform

ALL = Augment(randaugment=2, color_jitter=0.4, random_erasing=1.0)
SMALL = replace(default_preprocess(24), resize=28)


def picture(height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    crop=st.sampled_from(["random_resized", "pad", "none"]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
def test_any_size_comes_out_square(height: int, width: int, crop, interpolation) -> None:
    preprocess = replace(SMALL, interpolation=interpolation)
    for transform in (
        train_transform(replace(ALL, crop=crop), preprocess),
        eval_transform(preprocess),
    ):
        out = transform(picture(height, width))
        assert out.shape == (3, 24, 24)
        assert out.dtype == torch.uint8


@pytest.mark.parametrize("crop", ["random_resized", "pad", "none"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (5000, 3), (1, 5000)])
def test_strips_survive(shape: tuple[int, int], crop) -> None:
    preprocess = default_preprocess(224)
    assert train_transform(Augment(crop=crop), preprocess)(picture(*shape)).shape[-2:] == (224, 224)
    assert eval_transform(preprocess)(picture(*shape)).shape == (3, 224, 224)


def test_evaluation_is_the_usual_resize_and_crop() -> None:
    usual = v2.Compose([v2.Resize(28, antialias=True), v2.CenterCrop(24)])
    for shape in ((40, 50), (50, 40), (28, 28), (10, 60)):
        image = picture(*shape)
        assert torch.equal(eval_transform(SMALL)(image), usual(image))


def test_small_images_pass_evaluation_untouched() -> None:
    image = picture(32, 32)
    assert torch.equal(eval_transform(default_preprocess(32, cifar=True))(image), image)


def test_pad_shifts_by_at_most_the_pad() -> None:
    transform = train_transform(Augment(crop="pad", pad=4, hflip=0), default_preprocess(32))
    image = torch.full((3, 32, 32), 200, dtype=torch.uint8)
    kept = [int((transform(image) == 200).sum()) // 3 for _ in range(50)]
    assert min(kept) >= 28 * 28
    assert len(set(kept)) > 5


def test_flip_and_none() -> None:
    image = picture(24, 24)
    whole = replace(SMALL, resize=24)
    flipped = train_transform(Augment(crop="none", hflip=1.0), whole)(image)
    assert torch.equal(flipped, image.flip(-1))
    assert torch.equal(train_transform(Augment(crop="none", hflip=0), whole)(image), image)


def test_erasing_leaves_the_mean_color() -> None:
    transform = train_transform(
        Augment(crop="none", hflip=0, random_erasing=1.0), replace(SMALL, resize=24)
    )
    out = transform(torch.full((3, 24, 24), 255, dtype=torch.uint8))
    erased = normalise(out[None], SMALL)[0][out != 255]
    assert erased.numel() > 0
    assert erased.abs().max() < 0.01


def test_seed_decides_the_augmentation() -> None:
    transform = pickle.loads(pickle.dumps(train_transform(ALL, SMALL)))
    image = picture(40, 50)

    def drawn(seed: int) -> torch.Tensor:
        with seeded(seed):
            return transform(image)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_normalise(dtype: torch.dtype) -> None:
    batch = picture(4, 5)[None].repeat(2, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    out = normalise(batch, SMALL, dtype)
    mean, std = (torch.tensor(v).view(3, 1, 1).double() for v in (SMALL.mean, SMALL.std))
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    expected = (batch.double() / 255 - mean) / std
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


def test_mix_off_is_one_hot() -> None:
    images, targets = torch.rand(2, 3, 4, 4), torch.tensor([2, 0])
    mixed, soft = mix(images, targets, Augment(), 3)
    assert mixed is images
    assert soft.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("augment", [Augment(mixup=1.0), Augment(cutmix=1.0)])
def test_mixed_targets_say_how_much_of_each_image(augment: Augment) -> None:
    images = torch.stack([torch.full((3, 16, 16), float(i)) for i in range(4)])
    with seeded(1):
        mixed, soft = mix(images, torch.arange(4), augment, 5)
    assert soft.shape == (4, 5)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(4))
    assert not torch.equal(mixed, images)
    share = (soft[:, :4] * torch.arange(4.0)).sum(dim=1)
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), share)


def test_mixup_or_cutmix_at_random() -> None:
    images = torch.stack([torch.full((3, 16, 16), float(i)) for i in range(4)])
    both = Augment(mixup=1.0, cutmix=1.0)
    kinds = set()
    for seed in range(10):
        with seeded(seed):
            mixed = mix(images, torch.arange(4), both, 4)[0]
        kinds.add(bool((mixed == mixed.round()).all()))  # CutMix keeps every pixel's value
    assert kinds == {True, False}


def test_a_reflected_border_brings_no_black() -> None:
    image = torch.full((3, 32, 32), 200, dtype=torch.uint8)
    reflected = Augment(crop="pad", pad=8, border="reflect", hflip=0)
    transform = train_transform(reflected, default_preprocess(32))
    assert all(bool((transform(image) == 200).all()) for _ in range(20))


def test_flips_that_alternate_are_not_drawn_too() -> None:
    image = picture(32, 32)
    still = Augment(crop="none", flip="alternate", hflip=1.0)
    assert torch.equal(train_transform(still, default_preprocess(32))(image), image)
