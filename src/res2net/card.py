"""``model.json``: the description that a file of weights needs to be used. Imports no torch.

A description may be untrusted. It holds a network's structure and texts about it: nothing in it
names a file or an address to load from, and no number in it makes more modules than real
networks have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from res2net.data.foreign import is_count, is_number, is_texts, read_json
from res2net.data.preprocess import Preprocess
from res2net.data.split import check_grouping, fold_of
from res2net.errors import UserError
from res2net.paper.tasks import CLASSIFY
from res2net.paper.variant import FirstBlock

WEIGHTS_NAME, CARD_NAME = "model.safetensors", "model.json"  # of a run, beside each other
FORMAT = 1
MOST_CHANNELS = 1024  # image channels
LARGEST_SIDE = 8192  # pixels of an input; a map of 64 channels has 4 GiB at that size
# The strings that an option of a network may be; no other text is accepted.
_WORDS = {*map(str, FirstBlock), "batch", "group", "frozen", "fpn", "c4", "avg", "max", "avgmax"}
_MOST = {"depth": 2000, "scale": 256}  # they determine the number of modules
_MOST_ELSE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Description of a trained network: enough to rebuild it and to preprocess its inputs."""

    network: str  # name of a model
    options: dict[str, Any] = field(default_factory=dict)  # further arguments of create_model
    task: str = CLASSIFY
    classes: tuple[str, ...]
    preprocess: Preprocess
    metrics: dict[str, float] = field(default_factory=dict)
    data: str = ""
    recipe: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""  # of this project, where it runs from a checkout
    marks: dict[str, Any] = field(default_factory=dict)  # colours of classes, bones of key-points
    holdout: dict[str, Any] = field(default_factory=dict)  # how validation images were held out
    notes: str = ""  # such as the licence of the initial weights

    @property
    def multi_label(self) -> bool:
        """Whether an image has any number of the classes."""
        return "thresholds" in self.marks

    @property
    def thresholds(self) -> list[float]:
        """Multi-label networks: the probability from which each class is predicted."""
        return list(self.marks["thresholds"]) or [0.5] * len(self.classes)

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
        values = dict(values) if isinstance(values, dict) else {}
        if values.pop("format", None) != FORMAT:
            raise UserError(f"{origin}: not a model description of this version (format {FORMAT})")
        try:
            _check_kinds(values)
            values["preprocess"] = Preprocess.from_dict(values["preprocess"])
            values["classes"] = tuple(values["classes"])
            channels = values["preprocess"].channels
            if values.get("options", {}).get("in_channels", 3) != channels:
                taken = values.get("options", {}).get("in_channels", 3)
                raise ValueError(
                    f"preprocess.mean has {channels} values, the network takes {taken} channels"
                )
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
        values = read_json(path, "a model description")
        if not isinstance(values, dict):
            raise UserError(f"{path}: not a model description")
        return cls.from_dict(values, str(path))


def _check_kinds(values: Mapping[str, Any]) -> None:
    """Refuse invalid values before anything is built from them.

    Raises:
        TypeError, ValueError: names the entry.
        KeyError: a required entry is missing.
    """
    for name in ("network", "task", "data", "recipe", "commit", "notes"):
        if not isinstance(values.get(name, ""), str):
            raise TypeError(f"{name} is not text")
    for name in ("options", "metrics", "versions", "marks", "holdout"):
        held = values.get(name, {})
        if not isinstance(held, dict) or not is_texts(list(held)):
            raise TypeError(f"{name} does not hold values by name")
    if not is_texts(values["classes"]):
        raise TypeError("classes is not a list of names")
    for name, value in values.get("options", {}).items():
        _check_option(name, value)
    for name, value in values.get("metrics", {}).items():
        if not isinstance(value, int | float):
            raise TypeError(f"metrics.{name} is not a number")
    if not is_texts(list(values.get("versions", {}).values())):
        raise TypeError("versions holds a value that is not text")
    _check_sides(values["preprocess"])
    _check_marks(values.get("marks", {}), len(values["classes"]))
    _check_holdout(**values.get("holdout", {}))


def _check_option(name: str, value: object) -> None:
    most = _MOST.get(name, _MOST_ELSE)
    for item in value if isinstance(value, list | tuple) else [value]:
        if name == "pretrained" or (isinstance(item, str) and item not in _WORDS):
            raise ValueError(f"options.{name} is {item!r}; a description holds structure only")
        if item is not None and not isinstance(item, str | bool) and not is_number(item):
            raise TypeError(f"options.{name} holds a value that is not a number")
        if is_number(item) and not 0 <= item <= most:
            raise ValueError(f"options.{name} is {item}; it can be 0..{most}")


def _check_sides(preprocess: object) -> None:
    if not isinstance(preprocess, Mapping):
        raise TypeError("preprocess does not hold values by name")
    for name in ("size", "resize"):
        if name in preprocess and not is_count(preprocess[name], LARGEST_SIDE):
            raise ValueError(f"preprocess.{name} must be a whole number of 1..{LARGEST_SIDE}")
    for name in ("mean", "std", "range"):
        values = preprocess.get(name, ())
        if name == "range" and values is None:
            continue
        if not isinstance(values, list | tuple) or not all(map(is_number, values)):
            raise TypeError(f"preprocess.{name} is not a list of numbers")
        if len(values) > MOST_CHANNELS:
            raise ValueError(f"preprocess.{name} has more than {MOST_CHANNELS} values")


def _check_holdout(
    *,
    val_fraction: object = None,
    seed: object = 0,
    group_by: object = "",
    split_rule: object = "v1",
    fold: object = "",
) -> None:
    numbers = is_number(seed) and (val_fraction is None or is_number(val_fraction))
    if not numbers or not isinstance(group_by, str) or split_rule not in ("v1", "v2"):
        raise TypeError("holdout describes no validation part")
    check_grouping(group_by)
    if fold != "":
        fold_of(str(fold))


def _check_marks(marks: Mapping[str, Any], classes: int) -> None:
    """Colours and thresholds of the classes, key-points with bones and mirror partners."""
    palette = marks.get("palette", [[0, 0, 0]] * classes)
    if not isinstance(palette, list | tuple) or len(palette) < classes:
        raise ValueError("marks.palette must have a colour for each class")
    if not all(_is_row(row, 3, 256) for row in palette):
        raise ValueError("marks.palette must hold colours (red, green, blue) of 0..255")
    thresholds = marks.get("thresholds", [])
    if not isinstance(thresholds, list) or len(thresholds) not in (0, classes):
        raise ValueError("marks.thresholds must have a number for each class")
    if not all(is_number(value) and 0 <= value <= 1 for value in thresholds):
        raise ValueError("marks.thresholds must hold probabilities")
    skeleton = marks.get("skeleton")
    if skeleton is None:
        return
    names, sigmas = skeleton["names"], skeleton["sigmas"]
    if not is_texts(names) or len(sigmas) != len(names) or not all(map(is_number, sigmas)):
        raise ValueError("marks.skeleton must have names and a number in sigmas for each")
    for name in ("swaps", "bones"):
        if not all(_is_row(row, 2, len(names)) for row in skeleton[name]):
            raise ValueError(f"marks.skeleton.{name} must hold pairs of key-points")


def _is_row(row: object, length: int, below: int) -> bool:
    """Whether a value is a list of ``length`` whole numbers of 0..below - 1."""
    return (
        isinstance(row, list | tuple)
        and len(row) == length
        and all(type(item) is int and 0 <= item < below for item in row)
    )
