"""The two kinds of training data: images with a class each, and annotated images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from res2net.config import NO_WEIGHTS, RunConfig
from res2net.data.faults import usable_images
from res2net.data.files import some
from res2net.data.index import indexed
from res2net.data.labelled import LabelledImages, ReadOptions, Split, check_labelled, counts_of
from res2net.data.looked import Say
from res2net.data.readers import LOOKED_AT, read
from res2net.data.scene import Scene, Scenes
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import check_trainable, read_scenes
from res2net.data.source import parse_source
from res2net.data.split import Holdout
from res2net.errors import UserError, counted
from res2net.files import at_home

Images = LabelledImages | Scenes
WEIGHTED = ("classes", "salient")  # marks whose classes may have weights
SKIP_BAD = "--input.skip-bad true"


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect warnings in a list too; they are shown when the block ends."""
    notes: list[str] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield notes
            notes.extend(dict.fromkeys(str(each.message) for each in caught))
    finally:
        for each in {str(each.message): each for each in caught}.values():
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


class Labelled:
    """Whole images with a class each."""

    def read(self, data: str, holdout: Holdout, *, skip_bad: bool = False) -> LabelledImages:
        """The images of FORMAT:PATH (see ``data.readers.read``)."""
        found = read(parse_source(data), ReadOptions(**vars(holdout), skip_bad=skip_bad))
        self.check_classes(data, found)
        return found

    def of_run(self, config: RunConfig, say: Say | None = None) -> LabelledImages:
        """The images to train on; ``say`` is called with lines of progress.

        Raises:
            UserError: data that cannot be read, or all their faulty files at once.
        """
        given = config.input
        options = ReadOptions(
            **vars(config.holdout), skip_bad=given.skip_bad, download=given.download
        )
        source = parse_source(config.data)

        def listed() -> LabelledImages:
            images = read(source, options)
            if given.skip_bad and source.format in LOOKED_AT:
                return images
            return usable_images(
                config.data,
                images,
                None,
                skip_bad=given.skip_bad,
                option=SKIP_BAD,
                say=say,
            )

        with noted() as notes:
            index = at_home(given.index)
            images = indexed(index, source, options, listed) if given.index else listed()
            self.check_classes(config.data, images)
            if images.classes:
                weighted = config.train.class_weights != NO_WEIGHTS
                check_labelled(str(source), images, weighted=weighted)
        return replace(images, notes=tuple(notes))

    def check_classes(self, data: str, images: LabelledImages) -> None:
        """Refuse images without classes.

        Raises:
            UserError: there are none.
        """
        if not images.classes:
            raise UserError(f"{data}: images without labels are for --task pretrain alone")

    def in_order_of(
        self,
        images: LabelledImages,
        classes: tuple[str, ...],
        target: str,  # noqa: ARG002  passed to both kinds
        data: str,  # noqa: ARG002
    ) -> LabelledImages:
        """Labels by the network's numbers of its classes; the data may have fewer classes.

        Raises:
            UserError: classes that the network does not have.
        """
        numbers = {name: label for label, name in enumerate(classes)}
        unknown = [name for name in images.classes if name not in numbers]
        if unknown:
            raise UserError(
                f"{images.name} has classes that the network does not have: {some(unknown)}; its "
                f"classes are {some(classes)}"
            )
        order = np.array([numbers[name] for name in images.classes], dtype=np.int64)

        def renumbered(part: Split) -> Split:
            if part.labels.ndim == 1:
                return replace(part, labels=order[part.labels])
            labels = np.zeros((len(part), len(classes)), np.int64)
            labels[:, order] = part.labels
            return replace(part, labels=labels)

        return replace(
            images,
            classes=classes,
            train=renumbered(images.train),
            val=renumbered(images.val),
            test=images.test and renumbered(images.test),
        )


class Unlabelled(Labelled):
    """Whole images, with or without classes."""

    def check_classes(self, data: str, images: LabelledImages) -> None:
        """Images without classes are welcome."""


@dataclass(frozen=True)
class Annotated:
    """Images with annotations of one kind."""

    marks: Marks

    def read(self, data: str, holdout: Holdout, *, skip_bad: bool = False) -> Scenes:
        """The images of FORMAT:PATH with the annotations that the task uses."""
        options = SceneOptions(marks=self.marks, skip_bad=skip_bad, **vars(holdout))
        return read_scenes(parse_source(data), options)

    def of_run(self, config: RunConfig, say: Say | None = None) -> Scenes:
        """The images to train on; ``say`` is called with lines of progress.

        Raises:
            UserError: none to train on or to validate on, annotations without use, or all faulty
                files at once.
        """
        weighted = config.train.class_weights != NO_WEIGHTS and self.marks not in WEIGHTED
        if weighted or config.train.label_smoothing:
            raise UserError(
                "--train.label-smoothing is for --task classify, --train.class-weights for --task "
                "classify, segment, saliency"
            )
        given = config.input
        source = parse_source(config.data)
        partners = given.partners if self.marks == "keypoints" else ""
        pastes = self.marks == "boxes" and config.augment.copy_paste
        marks: Marks = "masks" if pastes else self.marks
        options = SceneOptions(
            marks=marks, partners=partners, skip_bad=given.skip_bad, **vars(config.holdout)
        )
        with noted() as notes:
            try:
                found = read_scenes(source, options)
            except UserError as error:
                raise UserError(
                    f"{'--augment.copy-paste needs masks: ' * bool(pastes)}{error}"
                ) from None
            images = usable_images(
                *(config.data, found, marks), skip_bad=given.skip_bad, option=SKIP_BAD, say=say
            )
            check_trainable(source, images, marks, skip_bad=given.skip_bad)
        return replace(images, notes=tuple(notes))

    def in_order_of(
        self, images: Scenes, classes: tuple[str, ...], target: str, data: str
    ) -> Scenes:
        """Objects and maps numbered by the names of a network's classes.

        Raises:
            UserError: classes that the network does not have.
        """
        fault = f"{data}: classes differ from {target}'s"
        try:
            if self.marks in ("classes", "salient"):
                return images.with_maps_in_order_of(classes)
            return images.in_order_of(classes)
        except ValueError as error:
            raise UserError(f"{fault}: it has no {error}") from None


def repeat_factors(
    part: Split | Sequence[Scene], classes: int, power: float
) -> npt.NDArray[np.float64] | None:
    """How often each image of a part is drawn, 1 or more: (n,); None: all equally often.

    For an image, the largest (most frequent class / class)^power of its classes, counted in
    images that have the class: repeat factors of Gupta et al. 2019, with power one half.
    """
    if not power:
        return None

    def of(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray((counts.max() / counts.clip(min=1)) ** power)

    if isinstance(part, Split):
        factors, labels = of(counts_of(part.labels, classes)), part.labels
        return factors[labels] if labels.ndim == 1 else np.where(labels, factors, 1.0).max(axis=1)
    learnt = (scene.objects and scene.objects.of(scene.objects.learnable()) for scene in part)
    held = [np.unique(each.labels if each else np.zeros(0, np.int64)) for each in learnt]
    factors = of(np.bincount(np.concatenate(held), minlength=classes))
    return np.array([factors[own].max(initial=1.0) for own in held])


MOST_ROWS = 50  # classes in a report


def data_section(images: Images) -> str:
    """The training data in a run's report: counts by part and class, and notes."""
    named = {"training": images.train, "validation": images.val, "test": images.test}
    parts = {name: part for name, part in named.items() if part is not None and len(part)}
    counts = {name: _counted(part, len(images.classes)) for name, part in parts.items()}
    heads = ("images", "without objects", "objects", "not counted")
    columns = [k for k in range(4) if any(row[k] for row, _ in counts.values())]
    rows = [(name, *(f"{row[k]:,}" for k in columns)) for name, (row, _) in counts.items()]
    blocks = ["## Data", _table(("part", *(heads[k] for k in columns)), rows)]
    if all(held.any() for _, held in counts.values()):
        order = np.argsort(-next(iter(counts.values()))[1], kind="stable")
        what = "images" if isinstance(images, LabelledImages) else "objects"
        rows = [
            (images.classes[k], *(f"{held[k]:,}" for _, held in counts.values()))
            for k in order[:MOST_ROWS]
        ]
        blocks.append(_table(("class", *(f"{what} {name}" for name in counts)), rows))
    if len(images.classes) > MOST_ROWS:
        blocks.append(f"... and {counted(len(images.classes) - MOST_ROWS, 'class')} more.")
    if images.notes:
        blocks.append("Notes before the first step:")
        blocks.append("\n".join(f"- {note}" for note in images.notes))
    return "\n\n".join(blocks)


def _counted(
    part: Split | Sequence[Scene], classes: int
) -> tuple[tuple[int, int, int, int], npt.NDArray[np.int64]]:
    """Images, those without objects, objects, ignored objects; number of each class (C,).

    Class maps and salient objects are not counted.
    """
    if isinstance(part, Split):
        return (len(part), 0, 0, 0), counts_of(part.labels, classes)
    objects = [scene.objects for scene in part if scene.objects is not None]
    labels = [each.labels[each.learnable()] for each in objects]
    held = np.bincount(np.concatenate([[], *labels]).astype(np.int64), minlength=classes)
    every, counting = sum(map(len, objects)), int(held.sum())
    without = sum(not len(each) for each in objects)
    return (len(part), without, counting, every - counting), held


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    safe = ([cell.replace("|", "\\|") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in safe)
