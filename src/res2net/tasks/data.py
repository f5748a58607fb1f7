"""The two kinds of data that tasks learn from: images with a class each, annotated images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from res2net.config import RunConfig
from res2net.data.files import some
from res2net.data.labelled import LabelledImages, ReadOptions, Split
from res2net.data.readers import read
from res2net.data.scene import Scenes
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import check_trainable, read_scenes
from res2net.data.source import parse_source
from res2net.data.split import Holdout
from res2net.errors import UserError

Images = LabelledImages | Scenes


class Labelled:
    """Whole images with a class each."""

    def read(self, data: str, holdout: Holdout, *, skip_bad: bool = False) -> LabelledImages:
        """The images of FORMAT:PATH (see ``data.readers.read``)."""
        return read(parse_source(data), ReadOptions(**vars(holdout), skip_bad=skip_bad))

    def of_run(self, config: RunConfig) -> LabelledImages:
        """The images to train on."""
        given = config.input
        options = ReadOptions(
            **vars(config.holdout), skip_bad=given.skip_bad, download=given.download
        )
        return read(parse_source(config.data), options)

    def in_order_of(
        self,
        images: LabelledImages,
        classes: tuple[str, ...],
        target: str,  # noqa: ARG002  both kinds are given it
        data: str,  # noqa: ARG002
    ) -> LabelledImages:
        """Labels as a network numbers its classes; the data may have fewer of them.

        Raises:
            UserError: classes that the network does not have.
        """
        unknown = [name for name in images.classes if name not in classes]
        if unknown:
            raise UserError(
                f"{images.name} has classes that the network does not have: {some(unknown)}; its "
                f"classes are {some(classes)}"
            )
        order = np.array([classes.index(name) for name in images.classes], dtype=np.int64)

        def renumbered(part: Split) -> Split:
            return replace(part, labels=order[part.labels])

        return replace(
            images,
            classes=classes,
            train=renumbered(images.train),
            val=renumbered(images.val),
            test=images.test and renumbered(images.test),
        )


@dataclass(frozen=True)
class Annotated:
    """Images with annotations of one kind."""

    marks: Marks

    def read(
        self,
        data: str,
        holdout: Holdout,
        *,
        skip_bad: bool = False,  # noqa: ARG002  annotated images are decoded when they are used
    ) -> Scenes:
        """The images of FORMAT:PATH with the annotations that the task learns from."""
        options = SceneOptions(marks=self.marks, **vars(holdout))
        return read_scenes(parse_source(data), options)

    def of_run(self, config: RunConfig) -> Scenes:
        """The images to train on.

        Raises:
            UserError: none to train on or to validate on, or annotations without use.
        """
        if config.train.class_weights != "none" or config.train.label_smoothing:
            raise UserError(
                "--train.class-weights and --train.label-smoothing are for --task classify"
            )
        given = config.input
        images = self.read(config.data, config.holdout)
        source = parse_source(config.data)
        check_trainable(source, images, self.marks, skip_bad=given.skip_bad)
        return images

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
