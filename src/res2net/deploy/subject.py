"""What is exported: a trained network with its card, or a row of the model table as it starts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save

from res2net import machine
from res2net.config import RunConfig, run_of
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.models.backbone import as_backbone
from res2net.models.card import ModelCard
from res2net.models.factory import create_model
from res2net.models.network import Network
from res2net.models.weights import find_weights, load_target
from res2net.paper.networks import NETWORKS, find_variant
from res2net.runtime.artifact import is_artifact
from res2net.tasks.classify.evaluate import resized
from res2net.tasks.classify.job import check_size

SEED = 0  # of the weights of a bare name


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network on its way out."""

    net: Network  # or a backbone; evaluation mode, float32, on the CPU
    card: ModelCard  # task "features" for a backbone
    target: str  # as the user named it
    sha256: str  # of the file of weights; of the fresh weights for a bare name
    run: RunConfig | None  # of the run that trained it, where it is at hand
    trained: bool  # False: a bare name, of which only the structure means something


def open_subject(
    target: str, *, size: int | None = None, features: Sequence[str] | None = None
) -> Subject:
    """The network behind a run folder, a checkpoint or a name of the model table.

    Args:
        size: pixels, side of the square that the network shall see; None is what it was trained at,
            for a name what its row was published at.
        features: levels whose maps shall come out instead of logits.

    Raises:
        UserError: nothing there, nothing that can be loaded, a size or a level it does not have.
    """
    path = Path(target)
    if is_artifact(path):
        raise UserError(f"{path} is exported already; export the run that it came from")
    trained = path.exists() or target not in NETWORKS
    net, card = load_target(target) if trained else _fresh(target)
    if size is not None:
        check_size(size, card.network, "--size")
        card = replace(card, preprocess=resized(card.preprocess, size))
    sha256 = _hash_of(path) if trained else hashlib.sha256(save(net.state_dict())).hexdigest()
    if features is not None:
        known = {level.name: level for level in net.levels}
        wrong = [name for name in features if name not in known]
        if wrong or not features or len(set(features)) < len(features):
            raise UserError(
                f"--features {','.join(features)}: give different levels out of {', '.join(known)}"
            )
        net = as_backbone(net, [known[name] for name in features])
        card = replace(card, task="features", metrics={})
    return Subject(
        net=net.cpu().float().eval(),
        card=card,
        target=target,
        sha256=sha256,
        run=run_of(path) if trained else None,
        trained=trained,
    )


def _fresh(name: str) -> tuple[Network, ModelCard]:
    torch.manual_seed(SEED)
    row = find_variant(name)
    net = create_model(name)
    card = ModelCard(
        network=name,
        classes=tuple(str(i) for i in range(net.num_classes)),
        preprocess=default_preprocess(row.size, cifar=row.size == 32),
        versions=machine.versions(),
        commit=machine.commit(),
        notes="structure only: the weights are random, nothing was trained",
    )
    return net.eval(), card


def _hash_of(path: Path) -> str:
    with (find_weights(path) if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
