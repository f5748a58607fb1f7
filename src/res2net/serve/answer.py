"""What a served network says of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from res2net.data.photo import RGB, Pixels
from res2net.data.preprocess import Reading


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of one network about one image."""

    found: dict[str, Any]  # plain types, for JSON: {"classes": [...]} or as the task says
    line: str  # for people
    probabilities: tuple[tuple[str, float], ...]  # likeliest first; () of other tasks
    picture: RGB | None  # (H, W, 3): the activation map, or what was found drawn
    shows: str  # what the picture shows, or why there is none
    milliseconds: float  # that the network took, with the shaping of the image


class Served(Protocol):
    """A network that is ready."""

    @property
    def name(self) -> str:
        """By which it is asked for; fits in an address."""

    @property
    def task(self) -> str:
        """What it learnt: classify, detect, ..."""

    @property
    def title(self) -> str:
        """Network, data, engine: a line for people."""

    @property
    def reading(self) -> Reading:
        """Channels and range of values of the images that it takes."""

    def describe(self) -> dict[str, Any]:
        """Plain types, for JSON."""

    def predict(self, pixels: Pixels, *, top: int, picture: bool) -> Answer:
        """What is in uint8 (H, W, C).

        Args:
            top: classes to name.
            picture: draw one.
        """
