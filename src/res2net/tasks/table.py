"""The tasks, a row each: how a run of one is built and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from res2net.tasks.classify.job import Job as ClassifyJob
    from res2net.tasks.segment.job import Job as SegmentJob

    Job = ClassifyJob | SegmentJob
else:
    Job = Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """What ``train`` needs to know of a task; every room of a task has files of these names."""

    build_job: Callable[..., Any]  # (config, processes, optimiser) → Job
    conclude: Callable[..., Any]  # (run, job, history, *, batches, say)


def find_task(name: str) -> Task:
    """The task of that name; only its own room is imported.

    Raises:
        ValueError: no such task.
    """
    if name == "classify":
        from res2net.tasks.classify.conclude import conclude as conclude_classify
        from res2net.tasks.classify.job import build_job as build_classify

        return Task(build_job=build_classify, conclude=conclude_classify)
    if name == "segment":
        from res2net.tasks.segment.conclude import conclude as conclude_segment
        from res2net.tasks.segment.job import build_job as build_segment

        return Task(build_job=build_segment, conclude=conclude_segment)
    raise ValueError(f"no task {name!r}")
