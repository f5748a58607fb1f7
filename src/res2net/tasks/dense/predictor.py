"""A trained network of a dense task in use, in PyTorch or exported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from res2net.card import ModelCard
from res2net.data.decode import as_rgb
from res2net.prediction import Prediction
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.task import DenseTask
from res2net.tasks.predictor import Picture, Predictor


class DensePredictor(Predictor):
    """A network that marks what is in an image.

    Attributes:
        row: its task.
        network: what the functions of the task take: ``model``, or the artifact as one.
    """

    def __init__(self, row: DenseTask, card: ModelCard, **what: Any) -> None:
        super().__init__(card, **what)
        self.row = row
        self.network = Deployed(self.runtime) if self.runtime else self.model

    def _results(
        self, images: Iterable[Picture], *, top: Any, boxes: Any, batch: Any, precision: str
    ) -> Iterator[Prediction]:
        del top, batch
        own = None if boxes is None or self.row.places is None else self.row.places(boxes)
        for number, image in enumerate(images):
            places = () if own is None else (own(number, image, self.classes),)
            yield self.row.predict(self.network, self.card, as_rgb(image), precision, *places)
