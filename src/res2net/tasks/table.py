"""The tasks as rows with their code (``paper/tasks.py`` has what needs none)."""

from __future__ import annotations

from importlib import import_module

from res2net.errors import UserError
from res2net.paper.tasks import TASKS
from res2net.tasks.task import Task


def find_task(name: str) -> Task:
    """The task of that name; only its own room is imported.

    Raises:
        UserError: no such task, as a file of a later version may name one.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}; this version has {', '.join(TASKS)}")
    room = import_module(f"res2net.tasks.{TASKS[name].room or name}.task")
    task: Task = getattr(room, name.upper())
    return task
