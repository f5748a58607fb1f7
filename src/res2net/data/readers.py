"""``read(source)``: one reader per format, one table to find it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from res2net.data import cifar, csvfile, digits, folder, imagenet, shards
from res2net.data.labelled import (
    LabelledImages,
    Reader,
    ReadOptions,
    held_out,
    warn_shared_groups,
)
from res2net.data.scenes import single
from res2net.data.source import Source
from res2net.data.split import column_of, no_columns, note_unused
from res2net.errors import UserError

READERS: dict[str, Reader] = {
    "folder": folder.read,
    "csv": csvfile.read,
    "shards": shards.read,
    "imagenet": imagenet.read,
    "cifar10": cifar.read_cifar10,
    "cifar100": cifar.read_cifar100,
    "digits": digits.read,
    "images": folder.read_unlabelled,
    "scenes": single.read,
}
LOOKED_AT = ("folder", "csv")  # readers that check each file if faulty ones may be left out


def read(source: Source, options: ReadOptions | None = None) -> LabelledImages:
    """The labelled images of a source.

    Args:
        source: from ``parse_source``.
        options: the validation part to hold out; for folder, csv and shards: whether to drop
            unusable files, with one warning that counts and names them (otherwise empty files and
            faulty samples are an error here, other damage when it is decoded); for cifar10 and
            cifar100: whether to download the archive.

    Raises:
        UserError: faulty data, described in one line.
    """
    options = options or ReadOptions()
    if source.format not in READERS:
        raise UserError(
            f"{source}: annotated inside images, for --task detect, instances, segment, saliency "
            "or pose; classification needs a folder of each class or a .csv of path,label, "
            "pretraining images:FOLDER"
        )
    if options.multi_label and source.format != "csv":
        raise UserError(
            f"{source}: --input.multi-label true needs a table of images and labels, csv:FILE"
        )
    if column_of(options.group_by) and source.format != "csv":
        raise no_columns(source, options.group_by)
    found = READERS[source.format](source.path or Path(), options)
    if options.measured is None:
        found = _as_asked(source, found, options)
    return found


def _as_asked(source: Source, found: LabelledImages, options: ReadOptions) -> LabelledImages:
    """Keep a published test part for testing if a validation part is requested; note groups."""
    if found.validation == "test" and options.asked:
        train, val = held_out(found.train, options, classes=found.classes, where=str(source))
        found = replace(found, train=train, val=val, test=found.val, validation="train")
    if options.asked and found.validation == "given":
        note_unused(source, options)
    if options.group_by and not column_of(options.group_by):
        warn_shared_groups(str(source), options.group_by, found)
    return found
