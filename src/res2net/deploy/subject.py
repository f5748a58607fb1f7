"""The subject of an export: a trained network with its card, or an untrained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.deploy.targets import Target, check_offered
from res2net.errors import UserError
from res2net.models.backbone import Backbone, as_backbone
from res2net.paper.networks import check_levels
from res2net.paper.tasks import PRETRAIN
from res2net.tasks.data import Annotated
from res2net.tasks.deployed import Comparison
from res2net.tasks.network import Size
from res2net.tasks.open import open_target
from res2net.tasks.table import find_task
from res2net.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to export."""

    net: nn.Module  # network, backbone or graph of a task; evaluation mode, float32, on the CPU
    card: ModelCard  # task "features" for a backbone
    size: Size  # H, W of the images
    outputs: tuple[dict[str, Any], ...]  # name and, for maps, channels and stride
    comparison: Comparison
    task: Task | None  # None: a backbone for its maps
    target: str  # as the user gave it
    sha256: str  # of the file of weights; for a bare name, of its random weights
    run: RunConfig | None  # of the run that trained it, if available
    trained: bool  # False: a bare name, of which only the structure is meaningful

    @property
    def annotated(self) -> Task | None:
        """Its task, if that uses annotated images; None for a classifier or a backbone."""
        task = self.task
        return task if task is not None and isinstance(task.data, Annotated) else None


def open_subject(
    target: str,
    engine: Target | None = None,
    *,
    size: Size | int | None = None,
    features: Sequence[str] | None = None,
) -> Subject:
    """Open a run folder, a checkpoint or a model's name for export.

    Args:
        engine: target of the export; None: not limited to what an engine supports.
        size: pixels, H, W or the side of a square input; None: the size it was trained
            at, for a name the size it was published at.
        features: levels whose maps are the outputs instead of logits.

    Raises:
        UserError: the target is absent or cannot be loaded, or it lacks the size or level.
    """
    opened = open_target(target)
    if opened.kind == "artifact":
        raise UserError(f"{target} is already exported; export the original run")
    task = find_task(opened.task)
    deployment = task.deployment
    if engine is not None and deployment.targets is not None:
        check_offered(engine, deployment.targets, opened.given, task.head)
    if features is not None and not deployment.levels:
        raise UserError(
            f"--features is for classifiers; {opened.given} was trained with --task {task.name}"
        )
    if opened.card.multi_label and features is None:
        raise UserError(
            f"{opened.given} predicts several labels per image, and an artifact gives one; "
            "predict and serve with the run itself"
        )
    if opened.task == PRETRAIN and features is None:
        raise UserError(f"{opened.given} has pretrained features; export their maps: --features c5")
    card, seen = deployment.resized(opened.card, size)
    net: Any = deployment.graph(opened.network.cpu().float())
    outputs = deployment.outputs(card)
    if features is not None:
        check_levels(card.network)
        net = _backbone(net, features)
        card = replace(card, task="features", metrics={})
        outputs = tuple(level._asdict() for level in net.levels)
    return Subject(
        net=net.eval(),
        card=card,
        size=seen,
        outputs=outputs,
        comparison=deployment.comparison,
        task=None if features is not None else task,
        target=target,
        sha256=opened.sha256,
        run=opened.run,
        trained=opened.trained,
    )


def _backbone(net: Any, features: Sequence[str]) -> Backbone:
    """The network without its classifier, with the maps of these levels as outputs.

    Raises:
        UserError: no level, one twice, or one that the network does not have.
    """
    known = {level.name: level for level in net.levels}
    wrong = [name for name in features if name not in known]
    if wrong or not features or len(set(features)) < len(features):
        raise UserError(
            f"--features {','.join(features)}: give different levels out of {', '.join(known)}"
        )
    return as_backbone(net, [known[name] for name in features])
