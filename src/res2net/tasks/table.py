"""The tasks with their code (``paper/tasks.py`` has the part that needs no code)."""

from __future__ import annotations

from importlib import import_module

from res2net.errors import UserError
from res2net.paper.tasks import TASKS
from res2net.tasks.task import Task


def find_task(name: str) -> Task:
    """The task of that name; only its own package is imported.

    Raises:
        UserError: no such task, such as one of a later version's file.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}; this version has {', '.join(TASKS)}")
    room = import_module(f"res2net.tasks.{TASKS[name].room or name}.task")
    task: Task = getattr(room, name.upper())
    return task
