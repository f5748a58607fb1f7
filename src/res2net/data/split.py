"""Hold out validation images by seed, class and group. No torch.

A patient's slices, a video's frames or a scene's views are near-duplicates: if some are in training
and others in validation, the validation score is too high.
"""

from __future__ import annotations

import random
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any, Literal

from res2net.errors import UserError

SplitRule = Literal["v2", "v1"]
USUAL = 0.2  # default share to hold out
Keys = Sequence[str | None]  # group of each image; None: a group of its own
_PLACES = re.compile(  # folders of the parts and kinds of a data set, which are not groups
    r"(train|training|val|valid|validation|test|testing)\d*|images?|imgs?|jpegimages", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Options for holding out a validation part of the training images."""

    val_fraction: float | None = None  # None: ``USUAL`` without such a part; 0: none
    seed: int = 0
    group_by: str = ""  # see ``check_grouping``
    split_rule: SplitRule = "v2"  # v1: annotated images purely at random, as in old runs
    multi_label: bool = False  # whole images with any number of classes each
    fold: str = ""  # k/K: hold out the k-th of K parts that share no image; val_fraction is 1/K
    measured: str | None = None  # part to evaluate ("val", "test"); None: read all parts

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise UserError(f"--val-fraction is {self.val_fraction}; it must lie between 0 and 1")
        if self.fold:
            fold_of(self.fold)

    def as_dict(self) -> dict[str, Any]:
        """The parameters of the split, for the card of a network."""
        names = ("val_fraction", "seed", "group_by", "split_rule", *(["fold"] if self.fold else []))
        return {name: getattr(self, name) for name in names}

    @property
    def fraction(self) -> float:
        """The share of the training images to hold out if there is no validation part."""
        return USUAL if self.val_fraction is None else self.val_fraction

    @property
    def asked(self) -> bool:
        """Whether a share was given: then a published test part is not used for validation."""
        return bool(self.val_fraction) and self.split_rule != "v1"

    def needed(self, parts: Iterable[str]) -> list[str]:
        """Which parts of the data ("train", "val", "test") must be read."""
        named = list(parts)
        if self.measured in named and not self.asked:
            return [str(self.measured)]
        return named


def fold_of(text: str) -> tuple[int, int]:
    """The k and the K of ``k/K``.

    Raises:
        UserError: not two whole numbers with 1 <= k <= K and K >= 2.
    """
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise UserError(f"--input.fold is {text!r}; it must be k/K, such as 2/5 for 2 of 5 parts")
    return number, count


def check_grouping(by: str, option: str = "--input.group-by") -> None:
    """Check the value of the grouping option.

    Args:
        option: the option of this command, as typed.

    Raises:
        UserError: not ``folder``, ``column:NAME`` or ``pattern:REGEX`` with one group.
    """
    kind, _, rest = by.partition(":")
    if by in ("", "folder") or (kind == "column" and rest):
        return
    if kind != "pattern" or not rest:
        raise UserError(
            f"{option} is {by!r}; it can be folder, column:NAME (of a CSV) or "
            "pattern:REGEX, such as 'pattern:(patient[0-9]+)'"
        )
    try:
        groups = re.compile(rest).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{option} {by}: not a regular expression ({error})") from None
    if groups != 1:
        raise UserError(
            f"{option} {by}: has {groups} groups; put parentheses around the one part "
            "of the path that identifies the patient, video or scene, and (?:...) around others"
        )


def column_of(by: str) -> str:
    """The CSV column to group images by; "" for other groupings."""
    kind, _, rest = by.partition(":")
    return rest.strip().lower() if kind == "column" else ""


def keys_of(names: Sequence[str], by: str, classes: Sequence[str] | None = None) -> Keys:
    """The group of each image; None for images without a group.

    Args:
        names: paths within the data set.
        by: ``folder`` or ``pattern:REGEX``.
        classes: class of each image, if it is given by a folder name.
    """
    paths = [name.replace("\\", "/") for name in names]
    if by == "folder":
        own = classes or [""] * len(paths)
        return [_folder(path, each) for path, each in zip(paths, own, strict=True)]
    pattern = re.compile(by.removeprefix("pattern:"))
    return [match[1] if (match := pattern.search(path)) else None for path in paths]


def check_keys(where: object, by: str, keys: Keys, names: Sequence[str]) -> None:
    """Warn of images without a group, each of which becomes its own group.

    Raises:
        UserError: no image has a group.
    """
    fault = {"folder": "are in no group folder", "column": "have no value in that column"}.get(
        by.partition(":")[0], "do not match"
    )
    alone = [name for name, key in zip(names, keys, strict=True) if not key]
    if alone and len(alone) == len(names):
        raise UserError(
            f"{where}: --input.group-by {by}: all {len(names)} images {fault}; the first: "
            f"{alone[0]}"
        )
    if alone:
        warnings.warn(
            f"{where}: --input.group-by {by}: {len(alone)} of {len(names)} images {fault} and "
            f"count as single-image groups; the first: {alone[0]}",
            stacklevel=4,
        )


def _folder(name: str, own: str) -> str | None:
    """The folders above an image, without those of its part, its kind and its class."""
    parts = [part for part in PurePosixPath(name).parts[:-1] if not _PLACES.fullmatch(part)]
    if own in parts:
        parts.remove(own)
    return "/".join(parts) or None


def no_columns(where: object, by: str) -> UserError:
    """The error for a column of data that are not a CSV."""
    return UserError(
        f"{where}: --input.group-by {by}: only a CSV has columns; give folder or pattern:REGEX"
    )


def note_unused(where: object, options: Holdout) -> None:
    """Note that a share to hold out means nothing.

    Raises:
        UserError: a fold was requested.
    """
    if options.fold:
        raise UserError(
            f"{where}: the data have a validation part; --folds and --input.fold need data without"
        )
    warnings.warn(
        f"{where}: the data have a validation part, so --input.val-fraction is not used",
        stacklevel=3,
    )


def one_group(where: object, by: str, classes: Sequence[str] = ()) -> UserError:
    """The error that all images, or those of a class, are in one group."""
    of_which = f" of class {classes[0]}" if classes else ""
    return UserError(
        f"{where}: --input.group-by {by}: all images{of_which} are in one group, so no validation "
        "part can be held out"
    )


def note_shared(where: object, by: str, parts: Mapping[str, Keys]) -> None:
    """Note groups with images in two parts.

    Args:
        parts: name of a part, such as "training" → the groups of its images.
    """
    counts = {part: Counter(key for key in keys if key) for part, keys in parts.items()}
    for one, other in combinations(counts, 2):
        both = [key for key in counts[one] if key in counts[other]]
        if both:
            first, second = (sum(counts[part][key] for key in both) for part in (one, other))
            warnings.warn(
                f"{where}: --input.group-by {by}: {len(both)} groups are in both parts, {one} "
                f"({first} images) and {other} ({second} images); the first: {both[0]}",
                stacklevel=3,
            )


def hold_out(
    held: Sequence[Collection[int]], options: Holdout, keys: Keys | None = None
) -> list[int]:
    """Sorted indices of the validation images: the fraction of the images of each class.

    Classes are drawn in turn, the rarest first, so that each class with images in at least two
    groups is in both parts if possible; a class loses its last training image only if no other
    image can be drawn.

    Args:
        held: classes in each image.
        keys: group of each image; None: every image is its own group.

    Raises:
        UserError: a fold without an image.
    """
    if options.fold:
        return _fold(held, options, keys)
    if not options.fraction or len(held) < 2:
        return []
    units = _units(keys if keys is not None else [None] * len(held))
    if len(units) < 2:
        return []
    draw = _Draw(units, held, options)
    for label in sorted(draw.holding, key=lambda label: (len(draw.holding[label]), label)):
        draw.serve(label)
    if not draw.chosen:  # every class is in one unit
        draw.take(min(range(len(units)), key=lambda unit: len(units[unit])))
    return sorted(i for unit in draw.chosen for i in units[unit])


def _fold(held: Sequence[Collection[int]], options: Holdout, keys: Keys | None) -> list[int]:
    """The k-th of K parts: each is an equal share of what those before it leave, the last all."""
    number, count = fold_of(options.fold)
    left, parts = list(range(len(held))), []
    for k in range(1, count + 1):
        part = list(range(len(left)))
        if k < count:
            share = replace(options, fold="", val_fraction=1 / (count - k + 1))
            own = [keys[i] if keys else None for i in left]
            drawn = {*hold_out([held[i] for i in left], share, own if keys else None)}
            units = _units(own)
            most = max(1, len(units) - (count - k))  # leaves one for each part behind it
            part = sorted(i for unit in [u for u in units if u[0] in drawn][:most] for i in unit)
        if not part:  # of any: known before the first network is trained
            raise UserError(f"{count} folds: part {k} would be empty; use fewer")
        parts.append([left[i] for i in part])
        left = sorted({*left} - {*parts[-1]})
    return parts[number - 1]


def _units(keys: Keys) -> list[list[int]]:
    """Groups of images, in the order of their first images."""
    units: dict[object, list[int]] = {}
    for i, key in enumerate(keys):
        units.setdefault(key or i, []).append(i)
    return list(units.values())


class _Draw:
    """Units drawn for validation, class by class."""

    def __init__(
        self, units: Sequence[Sequence[int]], held: Sequence[Collection[int]], options: Holdout
    ) -> None:
        self.fraction = options.fraction
        # images of each class in a unit; -1: of no class
        self.counts = [
            Counter(label for i in unit for label in (set(held[i]) or {-1})) for unit in units
        ]
        order = list(range(len(units)))
        random.Random(options.seed).shuffle(order)
        self.holding: dict[int, list[int]] = defaultdict(list)  # class → its units in drawn order
        for unit in order:
            for label in self.counts[unit]:
                self.holding[label].append(unit)
        self.left = {label: len(own) for label, own in self.holding.items()}  # for training
        self.chosen: set[int] = set()
        self.served: set[int] = set()
        self.images: Counter[int] = Counter()  # held-out images per class

    def serve(self, label: int) -> None:
        """Hold out the share of a class, at least one unit."""
        own = self.holding[label]
        wanted = self.fraction * sum(self.counts[unit][label] for unit in own)
        fresh = [unit for unit in own if not self.served & self.counts[unit].keys()]
        for unit in fresh:
            count = self.counts[unit][label]
            if self.images[label] + count / 2 <= wanted and self._spares(unit):
                self.take(unit)
        self.served.add(label)
        if self.images[label] or len(own) < 2:
            return
        free = [unit for unit in own if unit not in self.chosen]
        spared = [unit for unit in free if self._spares(unit)]
        # as a last resort, the only unit of a class
        spared = spared or [unit for unit in free if self._spares(unit, least=2)]
        if spared:
            self.take(min(spared, key=lambda unit: self.counts[unit].total()))

    def take(self, unit: int) -> None:
        """Hold out a unit."""
        self.chosen.add(unit)
        self.images.update(self.counts[unit])
        for label in self.counts[unit]:
            self.left[label] -= 1

    def _spares(self, unit: int, *, least: int = 1) -> bool:
        """Whether every class of a unit with at least ``least`` units keeps a training unit."""
        labels = self.counts[unit]
        return all(self.left[k] > 1 or len(self.holding[k]) < least for k in labels)
