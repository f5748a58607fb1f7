"""The training data in the report of a run."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from res2net.data.labelled import LabelledImages, Split
from res2net.data.scene import Objects, Scene, Scenes, no_objects
from res2net.tasks.data import data_section, noted


def test_images_of_each_class_are_counted() -> None:
    def part(labels: list[int]) -> Split:
        pixels = np.zeros((len(labels), 2, 2, 3), np.uint8)
        return Split(images=pixels, labels=np.array(labels, np.int64))

    images = LabelledImages(
        name="x", classes=("a|b", "c"), train=part([0, 1, 1]), val=part([0]), native_size=2
    )
    text = data_section(replace(images, notes=("2 boxes left out",)))
    assert "| training | 3 |\n| validation | 1 |" in text
    assert "| class | images training | images validation |" in text
    assert "| c | 2 | 0 |\n| a\\|b | 1 | 1 |" in text
    assert text.endswith("Notes before the first step:\n\n- 2 boxes left out")


def test_objects_and_images_without_are_counted() -> None:
    objects = Objects(
        boxes=np.zeros((3, 4)),
        labels=np.array([0, 1, 1]),
        ignored=np.array([False, False, True]),
        areas=np.zeros(3),
    )
    pixels = np.zeros((2, 2, 3), np.uint8)
    train = [
        Scene(name="a", image=pixels, objects=objects),
        Scene(name="b", image=pixels, objects=no_objects()),
    ]
    text = data_section(Scenes(name="x", classes=("a", "b"), train=train, val=train[:1]))
    assert "| part | images | without objects | objects | not counted |" in text
    assert "| training | 2 | 1 | 2 | 1 |\n| validation | 1 | 0 | 2 | 1 |" in text
    assert "| class | objects training | objects validation |" in text
    maps = [Scene(name="a", image=pixels, classes=np.zeros((2, 2), np.uint8))]
    text = data_section(Scenes(name="x", classes=("a", "b"), train=maps, val=maps))
    assert (
        text == "## Data\n\n| part | images |\n| --- | ---: |\n| training | 1 |\n| validation | 1 |"
    )


def test_notes_are_kept_and_shown_once() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        with noted() as notes:
            for text in ("a box", "a box", "a map"):
                warnings.warn(text, stacklevel=1)
    assert notes == ["a box", "a map"]
    assert [str(each.message) for each in shown] == notes
