"""The two kinds of data that tasks learn from: images with a class each, annotated images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from res2net.config import RunConfig
from res2net.data.faults import usable_images
from res2net.data.labelled import LabelledImages, Split
from res2net.data.looked import Say
from res2net.data.readers import read
from res2net.data.scene import Scenes
from res2net.data.scenes.options import Marks, SceneOptions
from res2net.data.scenes.readers import check_trainable, read_scenes
from res2net.data.source import parse_source
from res2net.errors import UserError

Images = LabelledImages | Scenes
SKIP_BAD = "--input.skip-bad true"


class Labelled:
    """Whole images with a class each."""

    def read(
        self, data: str, *, val_fraction: float, seed: int, skip_bad: bool = False
    ) -> LabelledImages:
        """The images of FORMAT:PATH (see ``data.readers.read``)."""
        source = parse_source(data)
        return read(source, val_fraction=val_fraction, seed=seed, skip_bad=skip_bad)

    def of_run(self, config: RunConfig, say: Say | None = None) -> LabelledImages:
        """The images to train on; ``say`` takes lines of progress.

        Raises:
            UserError: data that cannot be read, or all their faulty files at once.
        """
        given = config.input
        images = read(
            parse_source(config.data),
            val_fraction=given.val_fraction,
            seed=config.seed,
            skip_bad=given.skip_bad,
            download=given.download,
        )
        return usable_images(
            config.data, images, None, skip_bad=given.skip_bad, option=SKIP_BAD, say=say
        )

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
                f"{images.name} has classes that the network does not know: "
                f"{', '.join(unknown[:5])}"
                f"{f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''}; it knows "
                f"{', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''}"
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
        *,
        val_fraction: float,
        seed: int,
        skip_bad: bool = False,  # noqa: ARG002  annotated images are decoded when they are used
    ) -> Scenes:
        """The images of FORMAT:PATH with the annotations that the task learns from."""
        options = SceneOptions(marks=self.marks, val_fraction=val_fraction, seed=seed)
        return read_scenes(parse_source(data), options)

    def of_run(self, config: RunConfig, say: Say | None = None) -> Scenes:
        """The images to train on; ``say`` takes lines of progress.

        Raises:
            UserError: none to train on or to validate on, annotations without use, or all faulty
                files at once.
        """
        if config.train.class_weights != "none" or config.train.label_smoothing:
            raise UserError(
                "--train.class-weights and --train.label-smoothing are for --task classify"
            )
        given = config.input
        images = self.read(config.data, val_fraction=given.val_fraction, seed=config.seed)
        images = usable_images(
            config.data, images, self.marks, skip_bad=given.skip_bad, option=SKIP_BAD, say=say
        )
        source = parse_source(config.data)
        check_trainable(source, images, self.marks, skip_bad=given.skip_bad)
        return images

    def in_order_of(
        self, images: Scenes, classes: tuple[str, ...], target: str, data: str
    ) -> Scenes:
        """Objects numbered by the names of a network's classes; maps have their own numbers.

        Raises:
            UserError: classes that the network does not have.
        """
        fault = f"{data}: classes differ from {target}'s"
        if self.marks in ("classes", "salient"):
            strange = sorted(set(images.classes) ^ set(classes)) or ["another order"]
            raise UserError(f"{fault}: {', '.join(strange[:5])}")
        try:
            return images.in_order_of(classes)
        except ValueError as error:
            raise UserError(f"{fault}: it has no {error}") from None
