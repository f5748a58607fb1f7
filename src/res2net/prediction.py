"""A network's prediction for one image: the base of every task's result. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from res2net.data import photo
from res2net.data.preprocess import AS_RGB, Reading
from res2net.drawing.marks import colour_of, draw_legend
from res2net.errors import UserError
from res2net.files import write_bytes

Pixels = str | Path | Image.Image | np.ndarray[Any, Any]


class Prediction(ABC):
    """The result of one image; each task has its own (``Classification``, ``Detections``, ...)."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""

    @abstractmethod
    def line(self) -> str:
        """The prediction in a line of text."""

    @abstractmethod
    def pictures(self) -> Mapping[str, Any]:
        """Suffix of the file's name → the picture; "": the drawn prediction, uint8 (H, W, 3).

        Maps are uint8 (H, W), or Pillow images of mode "P" if their values have colours.
        """

    def plot(self) -> Image.Image:
        """The image with the prediction drawn on it, in the image's own pixels."""
        return Image.fromarray(np.ascontiguousarray(self.pictures()[""]))

    def save(self, path: str | Path) -> Path:
        """Write what ``plot`` draws; the suffix of the name decides the format.

        Raises:
            UserError: a suffix that Pillow does not write, or a file that cannot be written.
        """
        path = Path(path)
        kind = Image.registered_extensions().get(path.suffix.lower())
        if kind not in Image.SAVE:
            raise UserError(f"{path}: not a suffix of an image format; use .png or .jpg")
        data = BytesIO()
        self.plot().save(data, kind)
        write_bytes(path, data.getvalue())
        return path


@dataclass(frozen=True)
class Classification(Prediction):
    """The most likely classes of one image.

    Attributes:
        top: (class, probability), most likely first.
        image: the image as given, which ``plot`` draws on; None if unknown.
    """

    top: tuple[tuple[str, float], ...]
    image: Pixels | None = field(default=None, repr=False, compare=False)
    reading: Reading = field(default=AS_RGB, repr=False, compare=False)  # of its values

    @property
    def label(self) -> str:
        """The most likely class."""
        return self.top[0][0]

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.top[0][1]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Multi-label networks: the predicted classes; else None."""
        return None

    def as_dict(self) -> dict[str, Any]:
        return {"classes": [{"class": name, "probability": p} for name, p in self.top]}

    def line(self) -> str:
        return f"{self.label} {100 * self.probability:.1f} %"

    def pictures(self) -> Mapping[str, Any]:
        """The image with its classes in the upper left corner.

        Raises:
            UserError: the file of the image can no longer be read.
            ValueError: the image is unknown.
        """
        if self.image is None:
            raise ValueError("the prediction was made from preprocessed pixels: no image to draw")
        picture = photo.shown(photo.any_to_pixels(self.image, reading=self.reading))
        lines = [f"{name} {100 * p:.1f} %" for name, p in self.top]
        colours = [colour_of(0), *[(90, 90, 90)] * (len(lines) - 1)]
        return {"": draw_legend(picture, lines, colours)}


@dataclass(frozen=True)
class Labels(Classification):
    """The classes that a multi-label network predicts for one image.

    Attributes:
        above: the classes whose probability reaches their threshold, most likely first.
    """

    above: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return self.above

    def as_dict(self) -> dict[str, Any]:
        return {"labels": list(self.above), **super().as_dict()}

    def line(self) -> str:
        return ", ".join(self.above) or "no class"
