"""Each task's row: its code is there, and so is what its row names."""

from __future__ import annotations

from typing import get_args

import pytest

from res2net.data.source import HOLDS
from res2net.paper.recipes import recipe_for, recipes_of
from res2net.paper.tasks import CLASSIFY, TASKS, TaskName, readers
from res2net.tasks.table import find_task


def test_every_name_has_a_row() -> None:
    assert tuple(TASKS) == get_args(TaskName)
    assert CLASSIFY in TASKS


@pytest.mark.parametrize("name", TASKS)
def test_a_row_leads_to_code_annotations_and_recipes(name: str) -> None:
    assert find_task(name).name == name
    assert any(TASKS[name].annotations in kinds for kinds in HOLDS.values())
    assert {recipe_for(form, name) for form in (*HOLDS, "")} <= set(recipes_of(name))
    assert list(recipes_of(name))[-1] == "smoke"


def test_an_option_names_the_tasks_that_read_it_in_their_order() -> None:
    assert readers("train")["head.as_base"] == ("detect", "segment", "saliency")
    assert readers("predict")["boxes"] == readers("evaluate")["boxes"] == ("pose",)
    assert readers("predict")["out"] == tuple(TASKS)[1:-1]
