"""What a classifier says of one image. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """What the network sees in one image."""

    top: tuple[tuple[str, float], ...]  # (class, probability), most likely first

    @property
    def label(self) -> str:
        """The most likely class."""
        return self.top[0][0]

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.top[0][1]
