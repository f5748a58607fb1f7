"""The artifact folder that ``res2net export`` writes: model, ``model.json``, ``report.md``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from res2net.errors import UserError
from res2net.models.card import ModelCard

CARD_NAME = "model.json"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What is in the folder, by its ``model.json``."""

    folder: Path
    card: ModelCard
    engine: str  # openvino, onnx, torch-export, native
    precision: str  # fp32, bf16, int8
    file: str  # of the model
    files: dict[str, str]  # name → SHA-256
    batch: int | None  # images the graph takes at once; None: any number
    height: int  # pixels
    width: int  # pixels
    outputs: tuple[str, ...]  # "logits", or the names of levels
    structure_only: bool  # weights are random: nothing was trained

    @classmethod
    def read(cls, folder: str | Path) -> Artifact:
        """The artifact in a folder, its files checked against their hashes.

        Raises:
            UserError: no such folder, no artifact, or a file that is missing or damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name one that `res2net export` wrote")
        path = folder / CARD_NAME
        if not is_artifact(folder):
            raise UserError(f"{folder}: not an artifact; make one with `res2net export`")
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record = values.pop("artifact")
        card = ModelCard.from_dict(values, str(path))
        try:
            artifact = cls(
                folder=folder,
                card=card,
                engine=record["engine"],
                precision=record["precision"],
                file=record["file"],
                files=dict(record["files"]),
                batch=record["input"]["batch"],
                height=record["input"]["height"],
                width=record["input"]["width"],
                outputs=tuple(output["name"] for output in record["outputs"]),
                structure_only=bool(record["structure_only"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: the description is damaged ({error}); export again") from None
        artifact.check_files()
        return artifact

    def check_files(self) -> None:
        """Refuse a model that is not the one that was verified.

        Raises:
            UserError: names the file.
        """
        for name, sha256 in self.files.items():
            path = self.folder / name
            if Path(name).name != name or not path.is_file():
                raise UserError(f"{path}: missing from the artifact; copy the whole folder again")
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise UserError(
                        f"{path}: changed since it was exported (its hash differs); "
                        "copy or export it again"
                    )

    @property
    def rows_vary(self) -> bool:
        """Whether the outputs have a row for each thing found: those of detectors."""
        return "boxes" in self.outputs

    @property
    def path(self) -> Path:
        """The model."""
        return self.folder / self.file


def is_artifact(folder: str | Path) -> bool:
    """Whether a folder holds what ``res2net export`` wrote."""
    path = Path(folder) / CARD_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and isinstance(values.get("artifact"), dict)
