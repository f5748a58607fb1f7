"""A trained network of a dense task in use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from res2net.data.decode import decode
from res2net.machine import best_device
from res2net.models.card import ModelCard
from res2net.models.weights import apply_weights, check_description, check_task, read_target
from res2net.runtime.artifact import is_artifact
from res2net.runtime.session import load as load_artifact
from res2net.tasks.dense.job import build
from res2net.tasks.dense.network import Deployed
from res2net.tasks.dense.task import DenseTask, Found


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A network in evaluation mode with everything else that is known of it."""

    task: DenseTask
    model: Any
    card: ModelCard

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def predict(self, image: str | Path, *, precision: str = "auto", **how: object) -> Found:
        """What is in an image.

        Args:
            how: what the task's own ``look`` takes besides.

        Raises:
            UserError: an image that cannot be read; names it.
        """
        return self.task.look(self.model, self.card, decode(image), precision, **how)


def load(task: DenseTask, target: str | Path) -> Predictor:
    """Load a run folder, a checkpoint, a ``.safetensors`` file with its card, or an artifact.

    Raises:
        UserError: nothing there, nothing that can be loaded, or a network of another task.
    """
    if is_artifact(target):
        runtime = load_artifact(target)
        check_task(runtime.artifact.card, task.name, target)
        return Predictor(task=task, model=Deployed(runtime), card=runtime.artifact.card)
    state, card, file, origin = read_target(target)
    check_task(card, task.name, target)
    check_description(lambda: build(task, card), origin, state, file)
    model = build(task, card)
    apply_weights(model, state, str(file))
    return Predictor(task=task, model=model.to(best_device()).eval(), card=card)
