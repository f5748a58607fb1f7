"""What ``inspect_data`` finds, on sets whose contents are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import res2net
from res2net.errors import UserError


def _image(path: Path, value: int, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[0, 0] = 255 - value
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes: 4 and 2 images to train on, 2 and 1 to validate on."""
    values = iter(range(100))  # no two images are equal
    for part, counts in (("train", (4, 2)), ("val", (2, 1))):
        for name, count in zip(("cat", "dog"), counts, strict=True):
            for number in range(count):
                _image(tmp_path / "set" / part / name / f"{number}.png", next(values))
    return tmp_path / "set"


def _voc(folder: Path, boxes: dict[str, list[tuple[str, int, int, int, int]]]) -> None:
    for number, (stem, objects) in enumerate(boxes.items()):
        _image(folder / f"{stem}.png", 10 * number)
        found = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
            f"<ymax>{d}</ymax></bndbox></object>"
            for name, a, b, c, d in objects
        )
        (folder / f"{stem}.xml").write_text(f"<annotation>{found}</annotation>")


def test_labels_are_counted_by_class_and_part(photos):
    found = res2net.inspect_data(photos)
    assert found.fault is None
    assert "folder" in found.why
    assert found.classes == ("cat", "dog")
    assert [(part.name, [row.images for row in part.classes]) for part in found.parts] == [
        ("training", [4, 2]),
        ("validation", [2, 1]),
    ]
    assert found.widths == (40, 40, 40)
    assert found.heights == (30, 30, 30)
    assert found.modes == {"RGB": 9}


def test_objects_are_counted_by_class_and_size(tmp_path):
    _voc(
        tmp_path,
        {
            "a": [("cat", 1, 1, 10, 10), ("dog", 1, 1, 40, 30)],
            "b": [("cat", 1, 1, 20, 20)],
            "c": [],
        },
    )
    found = res2net.inspect_data(tmp_path, val_fraction=0)
    assert found.fault is not None
    assert "no images to validate on" in found.fault
    part = found.parts[0]
    assert (part.images, part.annotated, part.ignored) == (3, 2, 0)
    assert [(row.name, row.images, row.objects, row.pixels) for row in part.classes] == [
        ("cat", 2, 2, 500),
        ("dog", 1, 1, 1200),
    ]
    assert part.sizes == {"small": 2, "medium": 1, "large": 0}


def test_maps_are_counted_in_pixels(tmp_path):
    for part in ("train", "val"):
        for number in range(2):
            _image(tmp_path / part / "images" / f"{number}.png", 20 * number)
            values = np.zeros((30, 40), np.uint8)
            values[:10] = 1
            values[-1] = 255
            (tmp_path / part / "masks").mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / part / "masks" / f"{number}.png")
    (tmp_path / "classes.txt").write_text("ground\nroad\n")
    found = res2net.inspect_data(tmp_path)
    assert found.fault is None
    assert found.marks == "classes"
    rows = found.parts[0].classes
    assert [(row.name, row.images, row.pixels) for row in rows] == [
        ("ground", 2, 2 * 19 * 40),
        ("road", 2, 2 * 10 * 40),
    ]


def test_unreadable_images_are_all_counted(photos):
    for name in ("train/cat/0.png", "val/dog/0.png"):
        file = photos / name
        file.write_bytes(file.read_bytes()[:60])
    found = res2net.inspect_data(photos)
    assert found.fault is not None
    assert "2 of 9 images cannot be used" in found.fault
    assert "train/cat/0.png" in found.fault
    assert len(found.unreadable) == 2


def test_equal_files_are_found_within_and_between_parts(photos):
    shutil.copy(photos / "train/cat/0.png", photos / "train/cat/copy.png")
    shutil.copy(photos / "train/dog/0.png", photos / "val/dog/copy.png")
    found = res2net.inspect_data(photos)
    assert sorted(map(len, found.duplicates)) == [2, 2]
    assert found.leaks == (("val/dog/copy.png (validation)", "train/dog/0.png (training)"),)


def test_what_a_training_would_note_is_noted(photos):
    for number in range(40):
        _image(photos / "train" / "cat" / f"more{number}.png", number)
    (photos / "train" / "cat" / "notes.txt").write_text("x")
    notes = " ".join(res2net.inspect_data(photos).notes)
    assert "class imbalance: 44 training images of cat, 2 of dog" in notes
    assert "1 files ignored" in notes


def test_data_that_a_reader_refuses_have_a_fault(tmp_path):
    _image(tmp_path / "only" / "a.png", 3)
    found = res2net.inspect_data(tmp_path)
    assert found.parts == ()
    assert found.fault is not None
    with pytest.raises(UserError):
        found.write(tmp_path / "out", "folder")


def test_deep_images_show_their_range(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            values = np.array([[100, 4000 + number]], np.uint16)
            Image.fromarray(values).save(tmp_path / name / f"{number}.tif")
    found = res2net.inspect_data(tmp_path)
    assert found.values == {"grey, 16 bits": (100.0, 4002.0)}
    assert any("more than 8 bits" in note for note in found.notes)


def test_everything_is_plain_json(photos):
    content = json.loads(json.dumps(res2net.inspect_data(photos).as_dict()))
    assert content["parts"][0]["classes"][0] == {
        "name": "cat",
        "images": 4,
        "objects": 0,
        "pixels": 0,
    }


@pytest.mark.parametrize("task", ["classify", "detect", "instances", "segment", "saliency", "pose"])
def test_pictures_are_drawn_for_every_kind_of_annotation(task, tmp_path, monkeypatch):
    from res2net.data.scenes import generated

    monkeypatch.setattr(generated, "TRAIN", 6, raising=False)
    found = res2net.inspect_data("scenes" if task != "classify" else "digits", task=task)
    names = [path.name for path in found.save(tmp_path)]
    objects = task in ("detect", "instances", "pose")
    assert names == ["sheet.png", "classes.png", *(["sizes.png"] if objects else [])]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 50


def test_long_names_of_classes_are_shortened_and_no_formulas(tmp_path, monkeypatch):
    for part in ("train", "val"):
        for number, name in enumerate(
            (r"$\bad{$", "Corn_(maize)___Cercospora_leaf_spot Gray " * 3)
        ):
            for k in range(2):
                _image(tmp_path / "set" / part / name / f"{k}.png", 50 * number + 10 * k)
    drawn, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda f, *a, **k: (drawn.append(f), savefig(f, *a, **k))[1]
    )
    found = res2net.inspect_data(tmp_path / "set")
    assert "classes.png" in [path.name for path in found.save(tmp_path)]
    (figure,) = (f for f in drawn if f.axes)
    renderer = figure.canvas.get_renderer()
    labels = figure.axes[0].get_yticklabels()
    assert all(label.get_window_extent(renderer).x0 > 0 for label in labels)
    assert any("…" in label.get_text() for label in labels)


def test_bands_and_values_that_decide_for_a_training_are_noted(tmp_path):
    for part, count in (("train", 3), ("val", 2)):
        for base, name in enumerate(("faint", "strong")):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = np.arange(600).reshape(10, 12, 5) * (base + 1) + number + 7
                np.save(folder / f"{number}.npy", values.astype(np.uint16))
    found = res2net.inspect_data(tmp_path / "set")
    assert found.fault is None
    assert found.modes == {"5 bands, uint16": 10}
    assert found.values == {"5 bands, uint16": (7, 1207)}
    notes = " ".join(found.notes)
    assert "values 0..4095 of images of more than 8 bits become 0..255" in notes
    assert "images of 5 channel(s)" in notes
    assert "each file" not in notes
    np.save(tmp_path / "set" / "train" / "faint" / "9.npy", np.zeros((4, 4), np.uint8))
    other = res2net.inspect_data(tmp_path / "set")
    assert other.fault is not None
    assert "different numbers of bands" in other.fault
