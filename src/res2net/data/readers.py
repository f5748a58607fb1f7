"""``read(source)``: one reader per format, one table to find it."""

from __future__ import annotations

from pathlib import Path

from res2net.data import cifar, csvfile, digits, folder, imagenet
from res2net.data.labelled import LabelledImages, Reader, ReadOptions
from res2net.data.scenes import single
from res2net.data.source import Source
from res2net.errors import UserError

READERS: dict[str, Reader] = {
    "folder": folder.read,
    "csv": csvfile.read,
    "imagenet": imagenet.read,
    "cifar10": cifar.read_cifar10,
    "cifar100": cifar.read_cifar100,
    "digits": digits.read,
    "scenes": single.read,
}


def read(
    source: Source,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    skip_bad: bool = False,
    download: bool = False,
) -> LabelledImages:
    """The labelled images of a source.

    Args:
        source: from ``parse_source``.
        val_fraction: share of each class held out where the data has no validation split; 0 holds
            nothing out.
        seed: of that split.
        skip_bad: folder and csv: drop unreadable files, with one warning that counts and names
            them. Otherwise empty files are an error here, other damage when it is decoded.
        download: cifar10 and cifar100: fetch the archive into the path if it is not there.

    Raises:
        UserError: what is wrong with the data, in one line.
    """
    options = ReadOptions(
        val_fraction=val_fraction, seed=seed, skip_bad=skip_bad, download=download
    )
    if source.format not in READERS:
        raise UserError(
            f"{source}: has marks inside images, for --task detect, instances, segment, saliency "
            f"or pose; classifying needs one of {', '.join(READERS)}"
        )
    return READERS[source.format](source.path or Path(), options)
