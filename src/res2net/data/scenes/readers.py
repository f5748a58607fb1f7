"""``read_scenes(source)``: one reader per format, one table to find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from res2net.data.scene import Scenes
from res2net.data.scenes import (
    boxlists,
    coco,
    cvat,
    generated,
    instances,
    labelme,
    labelstudio,
    maps,
    via,
    voc,
    yolo,
)
from res2net.data.scenes.checks import check_objects, check_sizes, note_groups, split
from res2net.data.scenes.maps import check_maps
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.source import HOLDS, LABELS, Source
from res2net.data.split import column_of, no_columns, note_unused
from res2net.errors import UserError

Reader = Callable[[Path, SceneOptions], Scenes]

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "voc": voc.read,
        "coco": coco.read,
        "yolo": yolo.read,
        "cvat": cvat.read,
        "labelme": labelme.read,
        "labelstudio": labelstudio.read,
        "via": via.read,
        "createml": boxlists.read_createml,
        "csv-boxes": boxlists.read_csv,
        "instance-maps": instances.read,
        "camvid": maps.read_camvid,
        "pairs": maps.read_pairs,
        "ecssd": maps.read_salient,
        "msra-b": maps.read_msra,
        "scenes": generated.read,
    }
)


def read_scenes(source: Source, options: SceneOptions) -> Scenes:
    """Read the images of a source with the annotations that a task needs.

    Raises:
        UserError: faulty data, described in one line.
    """
    if options.marks not in HOLDS[source.format]:
        formats = ", ".join(name for name, held in HOLDS.items() if options.marks in held)
        whole = "classes of whole images, no" if LABELS in HOLDS[source.format] else "no"
        named = {"classes": "class maps", "salient": "salient objects"}
        what = named.get(options.marks, options.marks)
        hint = ""
        if source.format == "pairs" and options.marks in HOLDS["instance-maps"]:
            hint = f"; if the values of its maps number objects, use instance-maps:{source.path}"
        raise UserError(f"{source}: has {whole} {what}; formats with them: {formats}{hint}")
    path, by = source.path or Path(), options.group_by
    if column_of(by):
        raise no_columns(source, by)
    if by and source.path is None:
        raise UserError(f"{source}: --input.group-by {by} is not possible; images have no files")
    found = READERS[source.format](path, options)
    if options.measured is None:
        found = _as_asked(source, found, options)
    if options.marks in ("boxes", "masks", "keypoints"):
        for part in (found.train, found.val, found.test):
            check_sizes(str(source), part)
    return found.stored()


def _as_asked(source: Source, found: Scenes, options: SceneOptions) -> Scenes:
    """Keep a published test part for testing if a validation part is requested; note groups."""
    path = source.path or Path()
    if found.validation == "test" and found.train and options.asked:
        train, val = split(path, found.train, options)
        test = (*found.val, *found.test)
        found = replace(found, train=train, val=val, test=test, validation="train")
    if found.validation == "given" and found.train and found.val and options.asked:
        note_unused(source, options)
    if options.group_by:
        note_groups(path, found, options.group_by)
    return found


def check_trainable(
    source: Source, images: Scenes, marks: Marks, *, skip_bad: bool = False
) -> None:
    """Before the first step, refuse images that cannot be used for training or evaluation.

    Args:
        source: the source, for messages; generated scenes have every class.
        skip_bad: unusable maps are ignored here, since the loader leaves them out.

    Raises:
        UserError: a part without images or without usable annotations.
    """
    if not images.train:
        raise UserError(f"{source}: no training images; this set is for `res2net evaluate` only")
    if not images.val:
        raise UserError(f"{source}: no images to validate on; add a val part")
    if source.path is not None:
        check_objects(str(source), images, marks)
    check_maps(str(source), images, marks, skip_bad=skip_bad)
