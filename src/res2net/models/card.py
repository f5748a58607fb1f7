"""``model.json``: what a file of weights needs beside it to be used. No torch in here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from res2net.data.preprocess import Preprocess
from res2net.errors import UserError

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A trained network in words: enough to rebuild it and to feed it images."""

    network: str  # row of the model table
    options: dict[str, Any] = field(default_factory=dict)  # what create_model was given besides
    task: str = "classify"
    classes: tuple[str, ...]
    preprocess: Preprocess
    metrics: dict[str, float] = field(default_factory=dict)
    data: str = ""
    recipe: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""  # of this project, where it runs from a checkout
    marks: dict[str, Any] = field(default_factory=dict)  # colours of classes, bones of key-points
    notes: str = ""  # licence of the starting weights, and the like

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON and for checkpoints."""
        values = asdict(self)
        values["classes"] = list(self.classes)
        values["preprocess"] = self.preprocess.as_dict()
        return {"format": FORMAT, **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str) -> ModelCard:
        """The inverse of ``as_dict``.

        Raises:
            UserError: not a card of this format; names ``origin``.
        """
        values = dict(values)
        if values.pop("format", None) != FORMAT:
            raise UserError(f"{origin}: not a model description of this version (format {FORMAT})")
        try:
            values["preprocess"] = Preprocess.from_dict(values["preprocess"])
            values["classes"] = tuple(values["classes"])
            return cls(**values)
        except KeyError as error:
            raise UserError(f"{origin}: the model description lacks {error}") from None
        except (TypeError, ValueError) as error:
            raise UserError(f"{origin}: the model description is damaged ({error})") from None

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """The card in a ``model.json``.

        Raises:
            UserError: no such file, or not a card.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # ValueError: not JSON, not UTF-8
            raise UserError(f"{path}: cannot be read as a model description ({error})") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: not a model description")
        return cls.from_dict(values, str(path))
