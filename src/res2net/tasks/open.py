"""Opens targets: the same for every command, for the page and for ``res2net.load``.

A target is a run folder, a checkpoint, a ``.safetensors`` file with its ``model.json``, an artifact
of ``res2net export``, a Hugging Face Hub repository (``hf-hub:OWNER/NAME``), "shipped" (the
network that comes with the package) or the name of a network.
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
from res2net.paper.tasks import PRETRAIN
from res2net.runtime.artifact import is_artifact
from res2net.runtime.engines import AUTO
from res2net.runtime.session import Runtime
from res2net.runtime.session import load as load_artifact
from res2net.tasks.predictor import Predictor
from res2net.tasks.table import find_task
from res2net.weights.catalogue import shipped
from res2net.weights.fetch import PREFIX, fetch_from_hub, parse_address

Kind = Literal["run", "checkpoint", "artifact", "name"]
SEED = 0  # of the random weights of a bare name
SHIPPED = "shipped"  # the network of the package
CLASSES = 1000  # of a bare name, the default of `create_model`


@dataclass(kw_only=True, eq=False)
class Opened:
    """A target with its card and weights."""

    given: str  # as the user gave it
    kind: Kind
    card: ModelCard
    path: Path  # for a Hub repository, its folder in the cache
    file: Path | None = None  # the file of weights
    runtime: Runtime | None = None  # for an artifact
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> str:
        """The task that it was trained for: classify, detect, ...; "features" for a backbone."""
        return self.card.task

    @property
    def trained(self) -> bool:
        """Whether it has trained weights: those of a bare name are random."""
        return self.kind != "name"

    @cached_property
    def run(self) -> RunConfig | None:
        """The configuration of the run that it is, or is a file of; None for any other."""
        return run_of(self.path) if self.trained else None

    @cached_property
    def network(self) -> Any:
        """The network with its weights: evaluation mode, on the CPU.

        Raises:
            UserError: an artifact, which has no PyTorch network.
        """
        if self.runtime is not None:
            raise UserError(f"{self.given} is already exported; give the original run")
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
        """Hash of the file of weights; of a bare name, of its random weights."""
        if self.file is None:
            return hashlib.sha256(save(self.network.state_dict())).hexdigest()
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def home(self) -> Path:
        """The folder that contains it."""
        return self.path if self.path.is_dir() else self.path.parent

    def predictor(
        self,
        device: str | torch.device | None = None,
        *,
        capture: str = "auto",
        compiled: str | None = None,
    ) -> Predictor:
        """The network for inference; on a GPU captured (see ``res2net.capture.capture``).

        Raises:
            UserError: a bare name, or an exported backbone: neither predicts; a device, capture or
                compilation for an artifact, or one that this machine does not have.
        """
        if self.kind == "name":
            raise weights.no_weights(self.given)
        if self.task == "features":
            raise UserError(
                f"{self.given} outputs maps of a backbone and predicts nothing; "
                "res2net.runtime.load(DIR) takes images"
            )
        if self.task == PRETRAIN:
            raise UserError(
                f"{self.given} has pretrained features and predicts nothing; train a network from "
                f"it: --net.pretrained {self.given}"
            )
        if self.runtime is not None and device is not None:
            raise UserError(f"--device {device}: {self.given} is an artifact; its engine decides")
        if self.runtime is not None and (capture != "auto" or compiled is not None):
            given = "--compile" if compiled is not None else "--capture"
            raise UserError(f"{given}: {self.given} is an artifact; its engine decides")
        what: dict[str, Any] = {"runtime": self.runtime, "device": device}
        if self.runtime is None:
            what |= {"model": self.network, "capture": capture, "compiled": compiled}
        row = find_task(self.task)
        return row.predictor(row, self.card, **what)


def open_target(target: str | Path, *, stream: bool = False) -> Opened:
    """Identify a target and read its card and its weights, once.

    Args:
        stream: tune an artifact for throughput over many images, not for latency.

    Raises:
        UserError: the target is absent or unreadable; the message says what to do.
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
    """The function that builds the network of a card.

    Raises:
        UserError: a task that this version does not have.
    """
    return partial(find_task(card.task).build, card, None)


def _structure(name: str) -> ModelCard:
    """The card of an untrained model."""
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
    """The folder in the cache of a repository that ``HubModel.save_pretrained`` wrote."""
    repository, revision = parse_address(address)
    for file in (weights.CARD_NAME, weights.WEIGHTS_NAME):
        found = fetch_from_hub(repository, revision=revision, files=(file,))
    return found.path.parent
