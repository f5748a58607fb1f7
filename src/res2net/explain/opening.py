"""From what is typed to a subject: a network of any task, or a row of the table."""

from __future__ import annotations

from pathlib import Path

import torch

from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.explain.dense import open_dense
from res2net.explain.subject import Classifier, Subject
from res2net.models.card import ModelCard
from res2net.models.factory import create_model
from res2net.models.weights import load_target, read_target
from res2net.paper.networks import NETWORKS
from res2net.paper.structure import default_classes
from res2net.runtime.artifact import is_artifact


def open_subject(target: str) -> Subject:
    """A run folder, a checkpoint, a ``.safetensors`` file, or a name with random weights.

    Raises:
        UserError: nothing there, an artifact, or a network of key-points.
    """
    if is_artifact(target):
        raise UserError(
            f"{target}: an artifact computes no gradients, so it cannot be explained; give the run "
            "that it was exported from"
        )
    if target in NETWORKS and not Path(target).exists():
        return _untrained(target)
    card = read_target(target)[1]
    name = Path(target).name or card.network
    if card.task == "classify":
        return Classifier(name, *load_target(target))
    return open_dense(name, target, card.task)


def _untrained(name: str) -> Classifier:
    """A row of the table with random weights: its structure, no knowledge."""
    row = NETWORKS[name]
    classes = default_classes(row)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(name, num_classes=classes)
    card = ModelCard(
        network=name,
        classes=tuple(map(str, range(classes))),
        preprocess=default_preprocess(row.size, cifar=row.size == 32),
    )
    subject = Classifier(name, model, card)
    subject.structure_only = True
    return subject
