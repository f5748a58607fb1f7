"""Batches that are finished on the device are those of the plain data set."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.data import decode
from res2net.data.augment import Augment
from res2net.data.dataset import Batch, ImageDataset, batched
from res2net.data.feed import Feed, Gather, Sent, gathered, moves_pixels, sent
from res2net.data.labelled import Split
from res2net.data.loader import make_loader
from res2net.data.packed import as_file
from res2net.data.preprocess import default_preprocess
from res2net.data.transforms import train_transform
from res2net.errors import UserError

SIDE = 32
PREPROCESS = default_preprocess(SIDE)
CPU = torch.device("cpu")
SHIFTED = Augment(crop="pad")


def array(count: int = 30, side: int = SIDE) -> Split:
    chance = np.random.default_rng(0)
    pixels = chance.integers(1, 256, (count, side, side, 3), dtype=np.uint8)
    return Split(images=pixels, labels=np.arange(count) % 4)


def plain_of(split: Split, augment: Augment, size: int = SIDE, **more: object) -> ImageDataset:
    preprocess = default_preprocess(size)
    return ImageDataset(
        split,
        train_transform(augment, preprocess),
        min_side=preprocess.decode_side,
        alternate=augment.flip == "alternate",
        **more,  # type: ignore[arg-type]
    )


def assert_same(plain: ImageDataset, feed: Feed, *, workers: int = 0) -> None:
    """Two epochs of both, by the loader that trains."""
    loaders = [
        make_loader(dataset, collate, batch=7, shuffle=True, seed=3, workers=workers)
        for dataset, collate in ((plain, batched), (feed.dataset, feed.collate))
    ]
    for epoch in range(2):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for usual, unfinished in zip(*loaders, strict=True):
            assert not isinstance(unfinished, tuple | list)
            before = torch.get_rng_state()
            found: Batch = feed.finish(unfinished, CPU)
            assert torch.equal(torch.get_rng_state(), before)
            for one, other in zip(usual, found, strict=True):
                assert one.dtype == other.dtype
                assert torch.equal(one, other)


@pytest.mark.parametrize(
    "augment",
    [
        SHIFTED,
        Augment(crop="pad", pad=31, hflip=0.0),
        Augment(crop="pad", pad=5, border="reflect", hflip=0.9),
        Augment(crop="pad", pad=31, border="reflect"),
        Augment(crop="pad", pad=0),
        Augment(crop="none", hflip=1.0),
        Augment(crop="pad", flip="alternate"),
        Augment(crop="none", flip="alternate", hflip=0.3),
    ],
    ids=str,
)
def test_images_that_stay_on_the_device_are_the_plain_ones(augment: Augment) -> None:
    plain = plain_of(array(), augment)
    assert moves_pixels(plain, augment, PREPROCESS)
    assert_same(plain, gathered(plain, augment))


def test_loader_processes_draw_the_same() -> None:
    plain = plain_of(array(), SHIFTED)
    assert_same(plain, gathered(plain, SHIFTED), workers=2)


def test_one_channel_and_arrays_that_nobody_may_write_to() -> None:
    split = array(9)
    pixels = np.asarray(split.images)[..., :1]
    pixels.flags.writeable = False
    preprocess = replace(PREPROCESS, mean=(0.5,), std=(0.2,))
    plain = plain_of(Split(images=pixels, labels=split.labels), SHIFTED, reading=preprocess.reading)
    assert moves_pixels(plain, SHIFTED, preprocess)
    assert_same(plain, gathered(plain, SHIFTED))


@pytest.mark.parametrize(
    ("side", "size", "augment"),
    [
        (SIDE, SIDE, Augment()),
        (SIDE, SIDE, replace(SHIFTED, color_jitter=0.4)),
        (SIDE, SIDE, replace(SHIFTED, randaugment=1)),
        (SIDE, SIDE, replace(SHIFTED, random_erasing=0.5)),
        (SIDE, 40, SHIFTED),
        (48, SIDE, Augment(crop="none")),
    ],
    ids=str,
)
def test_what_is_more_than_a_shift_is_augmented_image_by_image(
    side: int, size: int, augment: Augment
) -> None:
    plain = plain_of(array(8, side), augment, size)
    assert not moves_pixels(plain, augment, default_preprocess(size))
    assert_same(plain, sent(plain, None))


def test_the_moving_average_of_a_network_copies_no_images() -> None:
    gather = Gather(np.asarray(array().images), 4, reflect=False)
    assert copy.deepcopy(gather) is gather


# ---- files


@pytest.fixture
def files(tmp_path: Path) -> Split:
    """JPEG files that a GPU may decode (0 to 3), and one of each kind that it may not."""
    chance = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    names = [*(f"{i}.jpg" for i in range(4)), "grey.jpg", "turned.jpg", "large.jpg", "a.png"]
    for i, name in enumerate(names):
        shape = (1100, 1060, 3) if name == "large.jpg" else (40 + i, 60, 3)
        image = Image.fromarray(chance.integers(0, 256, shape, dtype=np.uint8))
        image = image.convert("L") if name == "grey.jpg" else image
        image.save(tmp_path / name, exif=exif if name == "turned.jpg" else Image.Exif())
    return Split(
        images=[as_file(str(tmp_path / name)) for name in names], labels=np.arange(len(names)) % 3
    )


class Decoder:
    """Stands in for nvJPEG: takes bytes and keeps count of the files."""

    def __init__(self) -> None:
        self.files = 0

    def __call__(self, coded: list[torch.Tensor]) -> list[torch.Tensor]:
        self.files += len(coded)
        assert all(each.ndim == 1 and each.dtype == torch.uint8 for each in coded)
        return [torch.ops.image.decode_jpeg(each, 3, False) for each in coded]


def test_files_are_augmented_behind_the_loader_as_before_it(files: Split) -> None:
    augment = Augment(flip="alternate", color_jitter=0.3)
    plain = plain_of(files, augment)
    assert_same(plain, sent(plain, None))


@pytest.mark.parametrize("workers", [0, 1])
def test_only_plain_jpeg_files_are_decoded_on_the_device(files: Split, workers: int) -> None:
    plain, decoder = plain_of(files, Augment()), Decoder()
    assert_same(plain, sent(plain, decoder), workers=workers)
    assert decoder.files == 2 * 4


def test_a_file_that_the_device_cannot_decode_is_named_or_left_out(files: Split) -> None:
    broken = Path(str(files.images[1]))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    for skip_bad in (False, True):
        plain = plain_of(files, Augment(), skip_bad=skip_bad)
        feed = sent(plain, Decoder())
        samples = feed.dataset.__getitems__([0, 1, 2])
        batch = feed.collate(samples)  # type: ignore[arg-type]
        assert isinstance(batch, Sent)
        if not skip_bad:
            with pytest.raises(UserError, match=r"1\.jpg: "):
                feed.finish(batch, CPU)
        else:
            with pytest.warns(UserWarning, match=r"skipped: .*1\.jpg"):
                images, _, indices = feed.finish(batch, CPU)
            assert (len(images), indices.tolist()) == (2, [0, 2])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_there_is_no_decoder_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode.gpu_jpeg_decoder() == (None, "there is no GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def lacking(*_: object) -> list[torch.Tensor]:
        raise RuntimeError("not compiled with nvJPEG\nsupport")

    monkeypatch.setattr(torch.ops.image, "decode_jpegs_cuda", lacking, raising=False)
    decoder, reason = decode.gpu_jpeg_decoder()
    assert decoder is None
    assert "not compiled with nvJPEG" in reason
    monkeypatch.setattr(
        torch.ops.image, "decode_jpegs_cuda", lambda files, mode, device: files, raising=False
    )
    decoder, _ = decode.gpu_jpeg_decoder()
    assert decoder is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoder([torch.zeros(3)])[0].numel() == 3
