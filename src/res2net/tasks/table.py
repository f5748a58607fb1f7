"""The tasks, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from res2net.config import TaskName
from res2net.errors import UserError
from res2net.tasks.task import Task

TABLE: Mapping[TaskName, tuple[str, str]] = MappingProxyType(
    {  # name → file of the room, the row in it
        "classify": ("res2net.tasks.classify.task", "CLASSIFY"),
        "detect": ("res2net.tasks.detect.task", "DETECT"),
        "instances": ("res2net.tasks.detect.task", "INSTANCES"),
        "segment": ("res2net.tasks.segment.task", "SEGMENT"),
        "saliency": ("res2net.tasks.saliency.task", "SALIENCY"),
        "pose": ("res2net.tasks.pose.task", "POSE"),
    }
)


def find_task(name: str) -> Task:
    """The task of that name; only its own room is imported.

    Raises:
        UserError: no such task, as a file of a later version may name one.
    """
    for known, (file, row) in TABLE.items():
        if known == name:
            task: Task = getattr(import_module(file), row)
            return task
    raise UserError(f"unknown task {name!r}; this version has {', '.join(TABLE)}")
