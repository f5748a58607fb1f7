"""A recipe: what a run starts from before anybody changes an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A named starting point."""

    summary: str  # one line for --help
    source: str  # where it was published
    promise: str  # what it reaches, and who says so; "" where nobody measured it
    settings: Settings  # option → value
