"""What a served network answers for an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from res2net.data.photo import RGB, Pixels
from res2net.data.preprocess import Reading


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One network's answer for one image."""

    found: dict[str, Any]  # plain types, for JSON: {"classes": [...]} or the task's own
    line: str  # a summary for people
    probabilities: tuple[tuple[str, float], ...]  # most likely first; () for other tasks
    picture: RGB | None  # (H, W, 3): the activation map, or the drawn predictions
    shows: str  # what the picture shows, or why there is none
    milliseconds: float  # of inference, preprocessing included


class Served(Protocol):
    """A loaded network."""

    @property
    def name(self) -> str:
        """The name used in requests; fits in a URL."""

    @property
    def task(self) -> str:
        """Its task: classify, detect, ..."""

    @property
    def title(self) -> str:
        """Network, data and engine in one line."""

    @property
    def reading(self) -> Reading:
        """Channels and value range of its input images."""

    def describe(self) -> dict[str, Any]:
        """Plain types, for JSON."""

    def predict(self, pixels: Pixels, *, top: int, picture: bool) -> Answer:
        """Predict an image, uint8 (H, W, C).

        Args:
            top: number of classes.
            picture: whether to draw one.
        """
