"""What a request asks of a served network, and what the network answers for an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from res2net.data.photo import RGB, Pixels
from res2net.data.preprocess import Reading

Drawn = Literal["", "marks", "photo"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked of a network, whatever the image."""

    top: int | None = None  # classifiers: classes to name; 5 where it is None
    picture: Drawn = ""  # "marks": with the activation map or the predictions; "photo": without
    side: int | None = None  # longest side of the picture; None is the image's own
    embedding: bool = False  # whether ``Answer.found`` has one: float (C,), as ``embed`` writes it
    finding: Mapping[str, Any] = field(default_factory=dict)  # by the names of ``tasks.finding``


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One network's answer for one image."""

    found: dict[str, Any]  # plain types, for JSON: {"classes": [...]} or the task's own
    line: str  # a summary for people
    size: tuple[int, int]  # width, height of the upright image: what boxes are measured in
    picture: RGB | None  # (H, W, 3)
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

    def check(self, query: Query) -> None:
        """Refuse what means nothing for this network.

        Raises:
            UserError: names the parameter as ``--option``.
        """

    def predict(self, pixels: Pixels, query: Query) -> Answer:
        """Predict an image, uint8 (H, W, C); the query was checked.

        Raises:
            UserError: an image that the network does not take.
        """
