"""The tasks, a row each: how a run of one is built and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from res2net.config import TaskName
from res2net.errors import UserError

if TYPE_CHECKING:
    from res2net.tasks.classify.job import Job as ClassifyJob
    from res2net.tasks.dense.task import DenseTask
    from res2net.tasks.dense.task import Job as DenseJob
    from res2net.tasks.predictor import Predictor

    Job = ClassifyJob | DenseJob
else:
    Job = Any


NETWORK = "a network of --task {}"  # how messages name one


@dataclass(frozen=True, kw_only=True)
class Task:
    """What ``train`` needs to know of a task."""

    build_job: Callable[..., Any]  # (config, processes, optimiser) → Job
    conclude: Callable[..., Any]  # (run, job, history, *, batches, say)


def find_task(name: TaskName) -> Task:
    """The task of that name; only its own room is imported."""
    if name == "classify":
        from res2net.tasks.classify.conclude import conclude as conclude_classify
        from res2net.tasks.classify.job import build_job as build_classify

        return Task(build_job=build_classify, conclude=conclude_classify)
    from res2net.tasks.dense.conclude import conclude
    from res2net.tasks.dense.job import build_job

    return Task(build_job=partial(build_job, find_dense_task(name)), conclude=conclude)


def find_predictor(name: str) -> Callable[..., Predictor]:
    """What predicts with a network of a task: (card, model or runtime, device) → predictor.

    Raises:
        UserError: no such task.
    """
    if name == "classify":
        from res2net.tasks.classify.predictor import Classifier

        return Classifier
    task = find_dense_task(name)
    from res2net.tasks.dense.predictor import DensePredictor

    return partial(DensePredictor, task)


def find_dense_task(name: str) -> DenseTask:
    """The row of a task that marks what is in an image.

    Raises:
        UserError: no such task, as a file of a later version may name one.
    """
    if name in ("detect", "instances"):
        from res2net.tasks.detect.task import DETECT, INSTANCES

        return DETECT if name == "detect" else INSTANCES
    if name == "segment":
        from res2net.tasks.segment.task import SEGMENT

        return SEGMENT
    if name == "saliency":
        from res2net.tasks.saliency.task import SALIENCY

        return SALIENCY
    if name == "pose":
        from res2net.tasks.pose.task import POSE

        return POSE
    raise UserError(f"unknown task {name!r}; this version has {', '.join(get_args(TaskName))}")
