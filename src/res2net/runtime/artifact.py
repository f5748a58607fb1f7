"""The artifact folder that ``res2net export`` writes: model, ``model.json``, ``report.md``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from res2net.card import CARD_NAME, LARGEST_SIDE, ModelCard
from res2net.data.foreign import check_file, is_count, is_texts, read_json
from res2net.errors import UserError

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
LARGEST_BATCH = 4096  # maximum batch size of a graph


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The content of the folder, from its ``model.json``."""

    folder: Path
    card: ModelCard
    engine: str  # openvino, onnx, torch-export, native
    precision: str  # fp32, bf16, fp16, int8
    file: str  # of the model
    files: dict[str, str]  # name → SHA-256
    batch: int | None  # batch size of the graph; None: any
    height: int  # pixels
    width: int  # pixels
    outputs: tuple[str, ...]  # "logits", or the names of levels
    structure_only: bool  # random, untrained weights

    @classmethod
    def read(cls, folder: str | Path) -> Artifact:
        """Read the artifact in a folder and verify the hashes of its files.

        Raises:
            UserError: no such folder, not an artifact, or a missing or damaged file.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give an artifact of `res2net export`")
        path = folder / CARD_NAME
        if not is_artifact(folder):
            raise UserError(f"{folder}: not an artifact; create one with `res2net export`")
        values: dict[str, Any] = read_json(path, "a model description")
        record = values.pop("artifact")
        card = ModelCard.from_dict(values, str(path))
        try:
            artifact = cls(folder=folder, card=card, **_described(record))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: the description is damaged ({error}); export again") from None
        artifact.check_files()
        return artifact

    def check_files(self) -> None:
        """Refuse a model that differs from the verified one.

        Raises:
            UserError: a file is missing or changed.
        """
        for name, sha256 in self.files.items():
            path = self.folder / name
            try:
                check_file(path)
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except (UserError, OSError):
                found = ""
            if Path(name).is_absolute() or ".." in Path(name).parts or not found:
                raise UserError(f"{path}: missing from the artifact; copy the whole folder again")
            if found != sha256:
                raise UserError(
                    f"{path}: changed since it was exported (its hash differs); "
                    "copy or export it again"
                )

    @property
    def rows_vary(self) -> bool:
        """Whether the outputs have one row per detection."""
        return "boxes" in self.outputs

    @property
    def path(self) -> Path:
        """The model."""
        return self.folder / self.file


def is_artifact(folder: str | Path) -> bool:
    """Whether a folder is an artifact of ``res2net export``."""
    try:
        values = read_json(Path(folder) / CARD_NAME, "a model description")
    except UserError:
        return False
    return isinstance(values, dict) and isinstance(values.get("artifact"), dict)


def _described(record: dict[str, Any]) -> dict[str, Any]:
    """The record of the files in ``model.json``, with the types of entries checked.

    Raises:
        KeyError, TypeError, ValueError: names the entry.
    """
    for name in ("engine", "precision", "file"):
        if not isinstance(record[name], str):
            raise TypeError(f"{name} is no text")
    if record["precision"] not in PRECISIONS:
        raise ValueError(f"precision is {record['precision']!r}")
    files, size, outputs = record["files"], record["input"], record["outputs"]
    if not isinstance(files, dict) or not is_texts([*files, *files.values()]):
        raise TypeError("files does not hold hashes by name")
    for name in _needed(record["engine"], record["file"]):
        if name not in files:
            raise ValueError(f"{name!r} is not among the files whose hashes are kept")
    if not isinstance(size, dict) or not isinstance(outputs, list):
        raise TypeError("input or outputs is of another kind")
    if size["batch"] is not None and not is_count(size["batch"], LARGEST_BATCH):
        raise ValueError(f"input.batch must be null or a whole number of 1..{LARGEST_BATCH}")
    for name in ("height", "width"):
        if not is_count(size[name], LARGEST_SIDE):
            raise ValueError(f"input.{name} must be a whole number of 1..{LARGEST_SIDE}")
    names = [output["name"] for output in outputs]
    if not names or not is_texts(names) or len(set(names)) < len(names):
        raise ValueError("outputs must have names, each its own")
    return {
        **{name: record[name] for name in ("engine", "precision", "file")},
        "files": dict(files),
        **{name: size[name] for name in ("batch", "height", "width")},
        "outputs": tuple(names),
        "structure_only": bool(record["structure_only"]),
    }


def _needed(engine: str, file: str) -> tuple[str, ...]:
    """The files that an engine reads, including OpenVINO's weights beside its graph."""
    if engine == "coreml":  # a folder
        return (f"{file}/Manifest.json",)
    beside = {"openvino": (".bin",), "native": (".xml", ".bin")}.get(engine, ())
    return (file, *(str(Path(file).with_suffix(ending)) for ending in beside))
