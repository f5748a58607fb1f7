"""Real images for calibration and verification, as the deployed program's inputs.

Legend: B batch · N images · S side of the square image
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from res2net.config import RunConfig
from res2net.data.dataset import ImageDataset, batched
from res2net.data.files import image_names
from res2net.data.labelled import ReadOptions, Split
from res2net.data.loader import make_loader
from res2net.data.preprocess import Preprocess
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.data.transforms import eval_transform
from res2net.deploy.engine import Pixels
from res2net.errors import UserError

CALIBRATION = 300  # images: what NNCF uses by default
BATCH = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Images of one origin, preprocessed as in evaluation."""

    origin: str  # for the report
    split: Split
    labelled: bool  # False: the split's labels are meaningless
    preprocess: Preprocess
    skip_bad: bool = False  # skip images that cannot be read

    def __len__(self) -> int:
        return len(self.split)

    @property
    def steps(self) -> int:
        """Batches."""
        return -(-len(self) // BATCH)

    def batches(self) -> Iterator[tuple[Pixels, npt.NDArray[np.int64]]]:
        """uint8 (B, S, S, 3) and classes (B,), in order."""
        dataset = ImageDataset(
            self.split,
            eval_transform(self.preprocess),
            min_side=self.preprocess.decode_side,
            skip_bad=self.skip_bad,
            reading=self.preprocess.reading,
        )
        loader = make_loader(dataset, batched, batch=BATCH, shuffle=False)
        for images, labels, _ in loader:
            yield np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()), labels.numpy()


def of_run(
    run: RunConfig, classes: tuple[str, ...], preprocess: Preprocess, *, most: int
) -> tuple[Pictures, Pictures]:
    """Calibration from the run's training images, verification from its validation images.

    Args:
        most: largest number of images to verify with, spread evenly over the validation images.

    Raises:
        UserError: the data are not where they were, or have other classes now.
    """
    try:
        options = ReadOptions(**vars(run.holdout), skip_bad=run.input.skip_bad)
        data = read(parse_source(run.data), options)
    except UserError as error:
        raise data_gone(error) from None
    if data.classes != classes:
        raise other_classes(run)
    training = Pictures(
        origin=f"training images of {data.name}",
        split=_spread(data.train, CALIBRATION),
        labelled=True,
        preprocess=preprocess,
        skip_bad=run.input.skip_bad,
    )
    validation = replace(
        training, origin=f"validation images of {data.name}", split=_spread(data.val, most)
    )
    return training, validation


def of_folder(
    folder: Path, preprocess: Preprocess, *, most: int | None, calibrate: bool
) -> tuple[Pictures, Pictures]:
    """The images under a folder, as ``parts`` divides them.

    Args:
        most: largest number of images to verify with; None: all.
    """
    calibration, verification = (
        Pictures(
            origin=f"images in {folder}",
            split=_spread(Split(images=part, labels=np.zeros(len(part), np.int64)), count),
            labelled=False,
            preprocess=preprocess,
            skip_bad=True,
        )
        for part, count in zip(parts(folder, calibrate), (CALIBRATION, most), strict=True)
    )
    return calibration, verification


def parts(folder: Path, calibrate: bool) -> tuple[list[Path], list[Path]]:
    """The images under a folder for calibration and for verification: all of them, or, if some
    calibrate, every second one.

    Raises:
        UserError: no folder, or too few images in it.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder}: no such folder")
    paths = [folder / name for name in image_names(folder)]
    least = 2 if calibrate else 1
    if len(paths) < least:
        raise UserError(
            f"--images {folder}: {len(paths)} image(s) in it; at least {least} are needed, a few "
            "hundred are better"
        )
    return (paths[1::2], paths[::2]) if calibrate else ([], paths)


def data_gone(error: UserError) -> UserError:
    """The error for unreadable data of the run, with the remedy."""
    return UserError(
        f"the run's data cannot be read ({error}); put them back, or verify with other "
        "images: --images DIR"
    )


def other_classes(run: RunConfig) -> UserError:
    """The error for changed data of the run, with the remedy."""
    return UserError(f"{run.data}: its classes differ from those of the run; give --images DIR")


def of_samples(preprocess: Preprocess) -> Pictures:
    """Eight views of the two photographs shipped with scikit-learn."""
    from sklearn.datasets import load_sample_images

    views = [
        photo[y : y + 300, x : x + 300]
        for photo in load_sample_images().images  # uint8 (427, 640, 3)
        for y, x in ((0, 0), (0, 340), (127, 0), (127, 340))
    ]
    split = Split(images=np.stack(views), labels=np.zeros(len(views), np.int64))
    return Pictures(
        origin="views of scikit-learn's two photographs",
        split=split,
        labelled=False,
        preprocess=preprocess,
    )


def _spread(split: Split, most: int | None) -> Split:
    """At most this many images of a split, evenly spaced (splits may be sorted by class)."""
    if most is None or len(split) <= most:
        return split
    chosen = np.linspace(0, len(split) - 1, most).round().astype(np.int64)
    return split.of(chosen)
