"""A run that starts from another (``--init``): all weights, the head's rows by class name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from res2net.card import CARD_NAME, ModelCard
from res2net.config import NetOptions
from res2net.errors import UserError, counted, option
from res2net.files import at_home
from res2net.models.weights import read_weights
from res2net.paper.networks import find_variant
from res2net.tasks.open import open_target
from res2net.tasks.task import Task
from res2net.weights.catalogue import names
from res2net.weights.fetch import PREFIX
from res2net.weights.fit import fit
from res2net.weights.layouts import detector_of_now
from res2net.weights.pretrained import IN1K
from res2net.weights.read import card_of, read_content

State = dict[str, Tensor]
COCO_ROWS = 90  # rows of torchvision's detectors: COCO's category numbers, 80 of them in use
# options of training alone, or stored under other names
_APART = ("drop_path", "zero_init", "regions", "long_side", "keypoints", "in_channels")
_NET = {each.name for each in fields(NetOptions)}


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights to start from.

    Attributes:
        card: their description; None for a bare file of weights.
    """

    given: str
    state: State
    card: ModelCard | None

    def settle(self, card: ModelCard) -> ModelCard:
        """The card of a run that starts here, with the first-block rule and normalisation kept.

        Raises:
            UserError: another task or network.
        """
        old = self.card
        if old is None:
            return replace(card, notes=f"started from {Path(self.given).name}")
        if old.task != card.task:
            raise UserError(
                f"--init {self.given}: trained with --task {old.task}, this run has --task "
                f"{card.task}; --net.pretrained {self.given} loads only its backbone"
            )
        if old.network != card.network:
            raise UserError(
                f"--init {self.given}: its network is {old.network}, --model is {card.network}; "
                f"use --model {old.network}"
            )
        if old.preprocess.channels == card.preprocess.channels:
            mean, std = old.preprocess.mean, old.preprocess.std
            card = replace(card, preprocess=replace(card.preprocess, mean=mean, std=std))
        started = f"started from {Path(self.given).name}"
        notes = f"{started}: {old.notes}" if old.notes else started
        return following(card, old.options, notes)

    def load_into(self, task: Task, model: nn.Module, card: ModelCard) -> list[str]:
        """Load the weights into the network of a run; rows of new classes are unchanged.

        Returns:
            In words, the kept and the new weights.

        Raises:
            UserError: they do not fit; the message names the option that differs.
        """
        rows = class_rows(task, card)
        old, said = self._labels(rows, labels_of(card))
        state = dict(self.state)
        own = model.state_dict()
        for name, (before, each) in rows.items():
            if name in state and state[name].shape[1:] == own[name].shape[1:]:
                state[name] = matched(state[name], own[name], old, labels_of(card), before, each)
        try:
            said += fit(model, state, f"--init {self.given}", head="")
        except UserError:
            differ = self._differences(card)
            if not differ:
                raise
            raise UserError(f"--init {self.given}: {differ[0]}; use the same") from None
        if rows:
            said.append(kept(old, labels_of(card)))
        said += self._differences(card)
        if self.card and self.card.preprocess.range != card.preprocess.range:
            was, now = (each.preprocess.range or "8 bits" for each in (self.card, card))
            said.append(f"trained on values of {was}, these are of {now}")
        return [f"--init {self.given}: {line}" for line in said]

    def _labels(
        self, rows: Mapping[str, tuple[int, int]], now: Sequence[str]
    ) -> tuple[Sequence[str], list[str]]:
        """The names of the rows in the file, and a remark if it has none."""
        if self.card is not None:
            return labels_of(self.card), []
        found = next((name for name in rows if name in self.state), None)
        if found is None:
            return (), []
        before, each = rows[found]
        count = (len(self.state[found]) - before) // each
        if before and count == COCO_ROWS:
            coco = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:]
            return coco, ["its rows are taken as COCO's categories, in the order of their numbers"]
        if count == len(now):
            return now, ["its classes have no names: taken in the order of this run's"]
        return [""] * count, [f"its {counted(count, 'class')} have no names, so no row is kept"]

    def _differences(self, card: ModelCard) -> list[str]:
        """In words, the options of the network that differ, with their old values."""
        before, now = (_structure(each) for each in (self.card or card, card))
        return [
            f"trained with {option(('net.' if name in _NET else 'head.') + name)} "
            f"{before.get(name, 'left out')}, this run has {now.get(name, 'left it out')}"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        ]


def _structure(card: ModelCard) -> dict[str, Any]:
    """The options that determine what a network computes."""
    rule = getattr(find_variant(card.network), "first_block", None)
    options = {"first_block": rule and str(rule), "norm": "batch", **card.options}
    return {name: each for name, each in options.items() if each and name not in _APART}


def open_start(given: str) -> Start:
    """Read what ``--init`` names.

    Raises:
        UserError: the target is absent or has no weights of a PyTorch network.
    """
    path = at_home(given)
    if not path.exists() and (given == IN1K or given in names()):
        raise UserError(f"--init {given}: published weights are for --net.pretrained {given}")
    try:
        beside = path.with_name(CARD_NAME).is_file()
        if path.is_file() and not beside and not card_of(read_content(path), path):
            return Start(given=given, state=detector_of_now(read_weights(path)[0]), card=None)
        opened = open_target(given if given.startswith(PREFIX) else path)
        if opened.kind in ("name", "artifact"):
            what = "a network without weights" if opened.kind == "name" else "an exported network"
            raise UserError(f"{given}: {what}; give a run folder, a checkpoint or weights")
    except UserError as error:
        raise UserError(f"--init: {error}") from None
    return Start(given=given, state=opened.state, card=opened.card)


def following(card: ModelCard, options: Mapping[str, Any], notes: str) -> ModelCard:
    """The card with the first-block rule of other weights, if no rule was requested."""
    rule = {name: options[name] for name in ("first_block",) if options.get(name)}
    return replace(card, options={**rule, **card.options}, notes=notes)


def labels_of(card: ModelCard) -> tuple[str, ...]:
    """The meaning of a head's rows: classes or, for pose networks, key-points."""
    names: Sequence[str] = card.marks.get("skeleton", {}).get("names", ())
    return tuple(names) if "keypoints" in card.options else card.classes


def class_rows(task: Task, card: ModelCard) -> dict[str, tuple[int, int]]:
    """The tensors with rows for classes: name → (rows before the first class, rows per class).

    They are found as the tensors that grow when a class is added.
    """
    more = {"keypoints": card.options["keypoints"] + 1} if "keypoints" in card.options else {}
    larger = replace(card, classes=(*card.classes, ""), options={**card.options, **more})
    with torch.device("meta"):
        now, then = (task.build(each, None).state_dict() for each in (card, larger))
    number = len(labels_of(card))
    return {
        name: (len(value) - (len(then[name]) - len(value)) * number, len(then[name]) - len(value))
        for name, value in now.items()
        if value.ndim and len(then[name]) != len(value)
    }


def matched(
    there: Tensor, here: Tensor, old: Sequence[str], new: Sequence[str], before: int, each: int
) -> Tensor:
    """The rows of a head: those of classes with the same name out of ``there``, others as here.

    Args:
        there, here: (before + each·classes, ...) of the file and of the network.
        before: rows before the first class (the background).
        each: rows per class.
    """
    found = here.detach().clone()
    found[:before] = there[:before].to(found)
    for i, name in enumerate(new):
        if name in old:
            at, here_at = before + each * old.index(name), before + each * i
            found[here_at : here_at + each] = there[at : at + each].to(found)
    return found


def kept(old: Sequence[str], new: Sequence[str]) -> str:
    """How many classes keep their rows, and which are new."""
    fresh = [name for name in new if name not in old]
    if not fresh:
        return f"the head's rows of all {counted(len(new), 'class')} are kept"
    some = ", ".join(fresh[:5]) + (", ..." if len(fresh) > 5 else "")
    same = len(new) - len(fresh)
    return f"the head's rows of {same} of {len(new)} classes are kept, {len(fresh)} new: {some}"
