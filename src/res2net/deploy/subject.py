"""What is exported: a trained network with its card, or a row of the model table as it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from res2net.card import ModelCard
from res2net.config import RunConfig
from res2net.deploy.program import LOGITS
from res2net.deploy.targets import Target, check_offered
from res2net.deploy.verify import TOP1
from res2net.errors import UserError
from res2net.models.backbone import as_backbone
from res2net.tasks.classify.evaluate import resized
from res2net.tasks.classify.job import check_size
from res2net.tasks.dense.deployed import Comparison, shown
from res2net.tasks.dense.network import Size
from res2net.tasks.dense.task import DenseTask
from res2net.tasks.open import Opened, open_target
from res2net.tasks.table import find_dense_task


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network on its way out."""

    net: nn.Module  # network, backbone or graph of a task; evaluation mode, float32, on the CPU
    card: ModelCard  # task "features" for a backbone
    size: Size  # H, W of the images
    outputs: tuple[dict[str, Any], ...]  # name and, of maps, channels and stride
    comparison: Comparison = TOP1
    task: DenseTask | None = None  # None: a classifier or a backbone
    target: str  # as the user named it
    sha256: str  # of the file of weights; of the fresh weights for a bare name
    run: RunConfig | None  # of the run that trained it, where it is at hand
    trained: bool  # False: a bare name, of which only the structure means something


def open_subject(
    target: str,
    engine: Target | None = None,
    *,
    size: Size | int | None = None,
    features: Sequence[str] | None = None,
) -> Subject:
    """The network behind a run folder, a checkpoint or a name of the model table.

    Args:
        engine: what it is exported to; None asks for nothing that a task may lack.
        size: pixels, H, W or the side of the square that the network shall see; None is what it was
            trained at, for a name what its row was published at.
        features: levels whose maps shall come out instead of logits.

    Raises:
        UserError: nothing there, nothing that can be loaded, a size or a level it does not have.
    """
    opened = open_target(target)
    if opened.kind == "artifact":
        raise UserError(f"{target} is exported already; export the run that it came from")
    if opened.task != "classify":
        return _open_dense(find_dense_task(opened.task), opened, engine, size, features)
    net: Any = opened.network
    card = opened.card
    if isinstance(size, tuple):
        raise UserError(f"--size {shown(size)}: classifiers see a square; give one number")
    if size is not None:
        check_size(size, card.network, "--size")
        card = replace(card, preprocess=resized(card.preprocess, size))
    if features is not None:
        known = {level.name: level for level in net.levels}
        wrong = [name for name in features if name not in known]
        if wrong or not features or len(set(features)) < len(features):
            raise UserError(
                f"--features {','.join(features)}: give different levels out of {', '.join(known)}"
            )
        net = as_backbone(net, [known[name] for name in features])
        card = replace(card, task="features", metrics={})
    side = card.preprocess.size
    return Subject(
        net=net.cpu().float().eval(),
        card=card,
        size=(side, side),
        outputs=({"name": LOGITS},)
        if features is None
        else tuple(level._asdict() for level in net.levels),
        target=target,
        sha256=opened.sha256,
        run=opened.run,
        trained=opened.trained,
    )


def _open_dense(
    task: DenseTask,
    opened: Opened,
    engine: Target | None,
    size: Size | int | None,
    features: Sequence[str] | None,
) -> Subject:
    """The graph of a task beyond classification, from a run or a checkpoint."""
    deployment = task.deployment
    if engine is not None and deployment.targets is not None:
        check_offered(engine, deployment.targets, opened.given, task.head)
    if features is not None:
        raise UserError(
            f"--features is for classifiers; {opened.given} was trained with --task {task.name}"
        )
    card, frame = deployment.frame(opened.card, size)
    return Subject(
        net=deployment.graph(opened.network.float()).eval(),
        card=card,
        size=frame,
        outputs=deployment.outputs(card),
        comparison=deployment.comparison,
        task=task,
        target=opened.given,
        sha256=opened.sha256,
        run=opened.run,
        trained=True,
    )
