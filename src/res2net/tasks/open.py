"""What a target is: the one answer for every command, for the page and for ``res2net.load``.

A target is a run folder, a checkpoint, a ``.safetensors`` file with its ``model.json``, an artifact
of ``res2net export``, a repository of the hub (``hf-hub:OWNER/NAME``), "shipped" (the network that
comes with the package) or the name of a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from res2net import machine
from res2net.card import ModelCard
from res2net.config import RunConfig, run_of
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.models import weights
from res2net.models.factory import create_model
from res2net.paper.networks import NETWORKS
from res2net.runtime.artifact import is_artifact
from res2net.runtime.engines import AUTO
from res2net.runtime.session import Runtime
from res2net.runtime.session import load as load_artifact
from res2net.tasks.predictor import Predictor
from res2net.tasks.table import find_task
from res2net.weights.catalogue import shipped
from res2net.weights.fetch import PREFIX, fetch_from_hub, parse_address

Kind = Literal["run", "checkpoint", "artifact", "name"]
SEED = 0  # of the weights of a bare name
SHIPPED = "shipped"  # the network of the package
CLASSES = 1000  # of a bare name, as `create_model` builds it


@dataclass(kw_only=True, eq=False)
class Opened:
    """A target whose card and weights are read."""

    given: str  # as the user named it
    kind: Kind
    card: ModelCard
    path: Path  # a repository of the hub: its folder in the cache
    file: Path | None = None  # of the weights
    runtime: Runtime | None = None  # of an artifact
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> str:
        """What it was trained for: classify, detect, ...; "features" of an exported backbone."""
        return self.card.task

    @property
    def trained(self) -> bool:
        """Whether its weights mean something: those of a bare name are random."""
        return self.kind != "name"

    @cached_property
    def run(self) -> RunConfig | None:
        """The configuration of the run that it is, or is a file of; None for any other."""
        return run_of(self.path) if self.trained else None

    @cached_property
    def network(self) -> Any:
        """The network with its weights: evaluation mode, on the CPU.

        Raises:
            UserError: an artifact, which has none.
        """
        if self.runtime is not None:
            raise UserError(f"{self.given} is exported already; give the run that it came from")
        if self.kind == "name":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(SEED)
                return create_model(self.given).eval()
        network: nn.Module = _builder(self.card)()
        weights.apply_weights(network, self.state, str(self.file))
        self.state = {}
        return network.eval()

    @cached_property
    def sha256(self) -> str:
        """Of the file of weights; of a bare name, of its random ones."""
        if self.file is None:
            return hashlib.sha256(save(self.network.state_dict())).hexdigest()
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def home(self) -> Path:
        """The folder in which it lies."""
        return self.path if self.path.is_dir() else self.path.parent

    def predictor(
        self,
        device: str | torch.device | None = None,
        *,
        capture: str = "auto",
        compiled: str | None = None,
    ) -> Predictor:
        """The network in use; on a GPU captured (see ``res2net.capture.capture``).

        Raises:
            UserError: a bare name, or an exported backbone: neither predicts; a device, capture or
                compilation for an artifact, or one that this machine does not have.
        """
        if self.kind == "name":
            raise weights.no_weights(self.given)
        if self.task == "features":
            raise UserError(
                f"{self.given} gives maps of a backbone and predicts nothing; "
                "res2net.runtime.load(DIR) takes images"
            )
        if self.runtime is not None and device is not None:
            raise UserError(f"--device {device}: {self.given} is an artifact, its engine decides")
        if self.runtime is not None and (capture != "auto" or compiled is not None):
            given = "--compile" if compiled is not None else "--capture"
            raise UserError(f"{given}: {self.given} is an artifact, its engine decides")
        what: dict[str, Any] = {"runtime": self.runtime, "device": device}
        if self.runtime is None:
            what |= {"model": self.network, "capture": capture, "compiled": compiled}
        row = find_task(self.task)
        return row.predictor(row, self.card, **what)


def open_target(target: str | Path, *, stream: bool = False) -> Opened:
    """Say what a target is, and read its card and its weights, once.

    Args:
        stream: tune an artifact for the highest rate of many images, not for the least delay.

    Raises:
        UserError: nothing there, or nothing that can be read; says what to do.
    """
    given = str(target)
    if given.startswith(PREFIX):
        target = _fetched(given)
    path = Path(target)
    if given == SHIPPED and not path.exists():
        target = path = shipped()
    if given in NETWORKS and not path.exists():
        return Opened(given=given, kind="name", card=_structure(given), path=path)
    if is_artifact(path):
        runtime = load_artifact(path, engine=AUTO, stream=stream)
        card = runtime.artifact.card
        return Opened(given=given, kind="artifact", card=card, path=path, runtime=runtime)
    state, card, file, origin = weights.read_target(target)
    weights.check_description(_builder(card), origin, state, file)
    kind: Kind = "run" if path.is_dir() else "checkpoint"
    return Opened(given=given, kind=kind, card=card, path=path, file=file, state=state)


def _builder(card: ModelCard) -> Callable[[], nn.Module]:
    """What builds the network that a card describes.

    Raises:
        UserError: a task that this version does not have.
    """
    return partial(find_task(card.task).build, card, None)


def _structure(name: str) -> ModelCard:
    """The card of a row of the table that nobody trained."""
    row = NETWORKS[name]
    return ModelCard(
        network=name,
        classes=tuple(map(str, range(CLASSES))),
        preprocess=default_preprocess(row.size, cifar=row.size == 32),
        versions=machine.versions(),
        commit=machine.commit(),
        notes="structure only: the weights are random, nothing was trained",
    )


def _fetched(address: str) -> Path:
    """The folder of a repository that ``HubModel.save_pretrained`` wrote, in the cache."""
    repository, revision = parse_address(address)
    for file in (weights.CARD_NAME, weights.WEIGHTS_NAME):
        found = fetch_from_hub(repository, revision=revision, files=(file,))
    return found.path.parent
