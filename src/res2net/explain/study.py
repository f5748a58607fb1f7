"""Measure maps on annotated images, by network and object size (paper 4.5).

Legend: H, W pixels of an image · N objects
"""

from __future__ import annotations

import csv
import io
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from res2net.config import RunConfig
from res2net.data.scene import IGNORED, Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.options import Marks
from res2net.data.scenes.single import LENGTHS, TRAIN, length_of, scene_of
from res2net.data.scenes.transforms import as_it_is
from res2net.data.source import HOLDS, LABELS, NONE
from res2net.errors import UserError
from res2net.explain.concentration import box_mask, concentration, half_area
from res2net.explain.subject import (
    Explained,
    Subject,
    UnexplainedError,
    open_subject,
    reading_of,
)
from res2net.metrics.sizes import SIZES, size_index
from res2net.tasks.network import in_colours

# format → annotations to measure on: masks, but boxes of YOLO, whose labels rarely have outlines
MARKS: dict[str, Marks] = {
    name: cast(Marks, "masks" if "masks" in held and name != "yolo" else held[0])
    for name, held in HOLDS.items()
    if not {LABELS, NONE}.issuperset(held)
}
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """The objects of a class in an image, or all of its annotations."""

    name: str | None  # class name; None: any class
    masks: tuple[npt.NDArray[np.bool_], ...]  # (H, W) each, at least one

    def by_size(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Masks (H, W) of all objects, and of the small, medium and large ones if present."""
        sizes = size_index(np.array([float(mask.sum()) for mask in self.masks]))
        parts = {"all": np.logical_or.reduce(self.masks)}
        for k, size in enumerate(SIZES):
            if (sizes == k).any():
                chosen = [m for m, which in zip(self.masks, sizes, strict=True) if which == k]
                parts[size] = np.logical_or.reduce(chosen)
        return parts


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """An annotation of an image and the map of each network, to be drawn."""

    name: str  # name of the image
    image: Tensor  # uint8 (3, H, W)
    inside: npt.NDArray[np.bool_]  # (H, W), all objects of the annotation
    maps: tuple[Explained, ...]  # in the order of the networks


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Measures of one map."""

    image: str
    network: str
    explained: str  # class
    score: float
    size: str  # of the objects: all, small, medium or large, as in COCO
    area: float  # share of the input pixels that they cover
    energy: float  # share of the map on them
    hit: bool  # the maximum is on them
    half_area: float  # share of the input pixels with half of the map's sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Means over the maps of a network and an object size."""

    network: str
    size: str
    count: int
    area: float  # mean share
    energy: float  # mean share
    energy_error: float  # standard error of that mean; 0 of a single row
    pointing: float  # share of hits
    half_area: float  # mean share


def study(
    subjects: Sequence[Subject],
    scenes: Scenes,
    chosen: Sequence[Scene],
    marks: Marks,
    *,
    level: str | None = None,
    wanted: str | None = None,
    track: Track | None = None,
    show: Callable[[Case], None] | None = None,
    gather: Callable[[str, list[tuple[Mark, tuple[Explained, ...]]]], None] | None = None,
) -> list[Row]:
    """Explain all images and measure the maps.

    If the data and all networks share classes, each such class in an image is explained and
    measured on its own objects; otherwise each network's top class is measured on all objects.

    Args:
        chosen: images of ``scenes``.
        wanted: explain only this class, on all objects unless the data have it too.
        show: called with the first measurable annotation of each image.
        gather: gets the name of each image, and all its marks with a map of each network.

    Raises:
        UserError: nothing could be measured.
    """
    common = known_by_all(subjects, scenes, marks)
    dataset = SceneDataset(
        *(chosen, marks, len(scenes.classes), as_it_is),
        legend=scenes.legend,
        reading=reading_of(subjects),
    )
    numbers: Iterable[int] = range(len(chosen))
    rows: list[Row] = []
    for i in track(numbers, len(chosen), "explaining") if track else numbers:
        image, target = dataset.load(i)
        found = marks_of(target, scenes.classes if marks != "salient" else ())
        if wanted is not None:
            found = [m for m in found if m.name == wanted] if wanted in common else together(found)
        else:
            found = [m for m in found if m.name in common] if common else together(found)
        shown = False
        gathered: list[tuple[Mark, tuple[Explained, ...]]] = []
        for mark in found:
            maps = _maps(chosen[i].name, image, mark, subjects, level, wanted)
            measured = list(_measured(chosen[i].name, mark, subjects, maps))
            rows += measured
            gathered += [(mark, maps)] if maps else []
            if show and measured and not shown:
                inside = mark.by_size()["all"]
                show(Case(name=chosen[i].name, image=in_colours(image), inside=inside, maps=maps))
                shown = True
        if gather and gathered:
            gather(chosen[i].name, gathered)
    if not rows:
        raise UserError(
            f"{scenes.name}: none of {len(chosen)} images has an annotation inside the "
            "network's input that does not fill the image"
        )
    return rows


def known_by_all(subjects: Sequence[Subject], scenes: Scenes, marks: Marks) -> tuple[str, ...]:
    """Names of classes shared by the data and all networks; none for saliency data."""
    if marks == "salient":
        return ()
    return tuple(name for name in scenes.classes if all(name in s.classes for s in subjects))


def _maps(
    name: str,
    image: Tensor,
    mark: Mark,
    subjects: Sequence[Subject],
    level: str | None,
    wanted: str | None,
) -> tuple[Explained, ...]:
    """A map of each network, or none if one of them has nothing to explain."""
    asked = mark.name if wanted is None else wanted
    maps: list[Explained] = []
    for subject in subjects:
        number = None if asked is None else subject.number_of(asked)
        try:
            maps.append(subject.explain(image, wanted=number, level=level))
        except UnexplainedError as error:
            warnings.warn(f"left out: {name}: {error}", stacklevel=1)
            return ()
    return tuple(maps)


def _measured(
    name: str, mark: Mark, subjects: Sequence[Subject], maps: Sequence[Explained]
) -> Iterator[Row]:
    """A row for each size and network; none if one of them cannot be measured."""
    if not maps:
        return
    for size, inside in mark.by_size().items():
        found = [concentration(each.heat, inside, each.seen) for each in maps]
        for subject, each, measured in zip(subjects, maps, found, strict=True):
            if measured is None or None in found:
                break
            yield Row(
                image=name,
                network=subject.name,
                explained=each.label,
                score=each.score,
                size=size,
                area=measured.area,
                energy=measured.energy,
                hit=measured.hit,
                half_area=half_area(each.heat, each.seen),
            )


def marks_of(target: dict[str, Any], classes: Sequence[str]) -> list[Mark]:
    """The annotations of an image by class, from ``SceneDataset``, without crowds and void.

    Args:
        target: boxes, masks or a map; a map of 0 and 1 if there are no ``classes``.
    """
    if "map" in target:
        values = target["map"].numpy()
        if not classes:
            return [Mark(name=None, masks=(values == 1,))] if (values == 1).any() else []
        there = [k for k in np.unique(values).tolist() if k != IGNORED]
        return [Mark(name=classes[k], masks=(values == k,)) for k in there]
    height, width = target["boxes"].canvas_size
    parts: dict[int, list[npt.NDArray[np.bool_]]] = {}
    for i, label in enumerate(target["labels"].tolist()):
        if target["ignored"][i]:
            continue
        if "masks" in target:
            inside = target["masks"][i].numpy().astype(bool)
        else:
            left, top, right, bottom = (round(v) for v in target["boxes"][i].tolist())
            inside = box_mask((left, top, right, bottom), height, width)
        parts.setdefault(label, []).append(inside)
    return [Mark(name=classes[k], masks=tuple(masks)) for k, masks in sorted(parts.items())]


def together(marks: Sequence[Mark]) -> list[Mark]:
    """All annotations as one; none if there are none."""
    if not marks:
        return []
    return [Mark(name=None, masks=tuple(mask for mark in marks for mask in mark.masks))]


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """All objects first, then by size; networks in the order of the rows."""
    networks = list(dict.fromkeys(row.network for row in rows))
    found = []
    for size in ("all", *SIZES):
        for network in networks:
            here = [r for r in rows if r.network == network and r.size == size]
            if here:
                found.append(_summary(network, size, here))
    return found


def _summary(network: str, size: str, rows: Sequence[Row]) -> Summary:
    energies = [row.energy for row in rows]
    error = statistics.stdev(energies) / len(rows) ** 0.5 if len(rows) > 1 else 0.0
    return Summary(
        network=network,
        size=size,
        count=len(rows),
        area=statistics.fmean(row.area for row in rows),
        energy=statistics.fmean(energies),
        energy_error=error,
        pointing=statistics.fmean(row.hit for row in rows),
        half_area=statistics.fmean(row.half_area for row in rows),
    )


def as_csv(rows: Sequence[Any]) -> str:
    """A line for each of these dataclasses, all of one kind."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = asdict(row).items()
        writer.writerow({k: round(v, 6) if isinstance(v, float) else v for k, v in values})
    return text.getvalue()


COVERED = 0.2  # threshold relative to a map's maximum (Zhou et al. 2016)


def single_objects(
    seed: int, per_length: int
) -> Iterator[tuple[float, Tensor, npt.NDArray[np.bool_], int]]:
    """Length, image uint8 (3, H, W), mask (H, W) and class of generated validation objects."""
    for index in range(per_length * len(LENGTHS)):
        scene = scene_of(TRAIN + index, seed)
        assert scene.objects is not None
        assert scene.objects.segments is not None
        image = torch.from_numpy(np.asarray(scene.image)).permute(2, 0, 1).contiguous()
        inside = np.asarray(scene.objects.segments[0])
        yield length_of(index), image, inside, int(scene.objects.labels[0])


def on_single_objects(run: Path, per_length: int) -> dict[float, dict[str, float]]:
    """Measure maps of a classifier trained on generated single-object images, by object length.

    Each map is for the true class at the network's last level, whether or not it is the predicted
    class, so that all maps answer the same question.

    Args:
        run: run folder of ``--data scenes``.
        per_length: number of validation images of each length.

    Returns:
        Length in pixels → means in percent: ``area`` (of the image that the object covers, the
        value of a uniform map), ``energy`` (of the map on the object), ``pointing`` (of maps with
        their maximum on it), ``covered`` (of the object where the map has at least a fifth of its
        maximum) and ``iou`` (of those pixels with the object).

    Raises:
        UserError: a damaged run.
    """
    subject = open_subject(str(run))
    seed = RunConfig.read(run / "config.yaml").seed
    rows: dict[float, list[dict[str, float]]] = {}
    for length, image, inside, label in single_objects(seed, per_length):
        each = dict.fromkeys(("energy", "pointing", "covered", "iou"), 0.0)  # for a map of zeros
        each["area"] = float(inside.mean())
        with suppress(UnexplainedError):
            found = subject.explain(image, wanted=label)
            measured = concentration(found.heat, inside, found.seen)
            assert measured is not None  # the object neither fills the image nor is left out
            hot = found.heat >= COVERED
            each |= {
                "area": measured.area,
                "energy": measured.energy,
                "pointing": float(measured.hit),
                "covered": float(hot[inside].mean()),
                "iou": float((hot & inside).sum() / (hot | inside).sum()),
            }
        rows.setdefault(length, []).append(each)
    return {
        length: {name: 100 * statistics.fmean(row[name] for row in own) for name in own[0]}
        for length, own in rows.items()
    }
