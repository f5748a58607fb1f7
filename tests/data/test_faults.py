"""The guard against faulty files: all of them at once, before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.config import InputOptions, RunConfig
from res2net.data import looked, photo
from res2net.data.faults import usable_images, usable_part
from res2net.data.folder import read
from res2net.data.labelled import ReadOptions
from res2net.data.looked import faults_of, identity
from res2net.data.scene import Scene, Scenes, no_objects
from res2net.errors import UserError
from res2net.tasks.data import Annotated, Labelled

OPTION = "--input.skip-bad true"


def _photo(path: Path, value: int = 90, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size[::-1], 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of 15 JPEGs to train on and 2 to validate on; 12 are cut in their middle."""
    for part, count in (("train", 15), ("val", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                _photo(tmp_path / "set" / part / name / f"{i:02}.jpg", 10 * i)
    for i in range(11):
        _cut(tmp_path / "set" / "train" / "cat" / f"{i:02}.jpg")
    _cut(tmp_path / "set" / "val" / "dog" / "01.jpg")
    return tmp_path / "set"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _usable(photos: Path, *, skip_bad: bool):
    images = read(photos, ReadOptions())
    return usable_images(f"folder:{photos}", images, None, skip_bad=skip_bad, option=OPTION)


def test_all_faulty_files_are_named_at_once_with_the_option_as_it_is_typed(photos):
    with pytest.raises(UserError) as caught:
        _usable(photos, skip_bad=False)
    text = str(caught.value)
    assert "12 of 34 images cannot be used: train/cat/00.jpg, train/cat/01.jpg" in text
    assert "train/cat/09.jpg and 2 more" in text
    assert OPTION in text
    assert f"`res2net data folder:{photos} --json` lists all" in text


def test_faulty_files_may_be_left_out_and_are_counted(photos):
    with pytest.warns(UserWarning, match=r"12 of 34 images cannot be used.*left out"):
        found = _usable(photos, skip_bad=True)
    assert (len(found.train), len(found.val)) == (19, 3)
    assert "train/cat/00.jpg" not in [found.train.names(i) for i in range(19)]
    assert found.train.labels.tolist() == [0] * 4 + [1] * 15


def test_an_evaluation_looks_at_what_it_measures_alone(photos):
    images = read(photos, ReadOptions())
    with pytest.raises(UserError, match=r"1 of 4 images cannot be used: val/dog/01\.jpg .*--skip"):
        usable_part("x", images.val, images, None, skip_bad=False, option="--skip-bad")


def test_a_training_stops_before_its_first_step(photos):
    config = RunConfig(data=f"folder:{photos}", model="res2net29_small", recipe="smoke")
    with pytest.raises(UserError, match=r"12 of 34 images cannot be used"):
        Labelled().of_run(config)
    bad = replace(config, input=replace(config.input, skip_bad=True))
    with pytest.warns(UserWarning, match="unreadable"):
        assert len(Labelled().of_run(bad).train) == 19


def test_each_file_is_looked_at_once_where_faulty_ones_are_left_out(photos, monkeypatch):
    looked, probe = [], photo.probe
    monkeypatch.setattr(photo, "probe", lambda file: (looked.append(file), probe(file))[1])
    given = InputOptions(skip_bad=True)
    config = RunConfig(
        data=f"folder:{photos}", model="res2net29_small", recipe="smoke", input=given
    )
    with pytest.warns(UserWarning, match="unreadable"):
        found = Labelled().of_run(config)
    assert len(looked) == len(set(looked)) == 34
    assert (len(found.train), len(found.val)) == (19, 3)


def _pairs(root: Path) -> Path:
    """Twelve images with maps: one of another size, one with a class too many, one is cut."""
    for i in range(12):
        _photo(root / "images" / f"{i}.jpg")
        (root / "masks").mkdir(exist_ok=True)
        values = np.arange(30 * 40).reshape(30, 40).astype(np.uint8) % 2
        Image.fromarray(values).save(root / "masks" / f"{i}.png")
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(root / "masks" / "1.png")
    Image.fromarray(np.full((30, 40), 7, np.uint8)).save(root / "masks" / "3.png")
    _cut(root / "masks" / "4.png")
    (root / "classes.txt").write_text("ground\ncrack\n")
    return root


def test_maps_that_cannot_be_used_are_named_at_once_or_left_out(tmp_path):
    data = f"pairs:{_pairs(tmp_path)}"
    config = RunConfig(task="segment", data=data, model="res2net50_26w_4s", recipe="scratch")
    with pytest.raises(UserError) as caught:
        Annotated("classes").of_run(config)
    text = str(caught.value)
    assert "3 of 12 images cannot be used" in text
    assert all(f"images/{i}.jpg" in text for i in (1, 3, 4))
    bad = replace(config, input=replace(config.input, skip_bad=True))
    with pytest.warns(UserWarning, match="3 of 12 images cannot be used"):
        images = Annotated("classes").of_run(bad)
    assert {scene.name for scene in images.everything} == {
        f"images/{i}.jpg" for i in (0, 2, *range(5, 12))
    }


def test_annotations_for_an_image_of_another_size_are_faulty(tmp_path):
    scenes = [
        Scene(name=name, image=_photo(tmp_path / name), objects=no_objects(), size=size)
        for name, size in (("a.jpg", (30, 40)), ("b.jpg", (40, 30)))
    ]
    images = Scenes(name="set", classes=("cat",), train=scenes[:1], val=scenes[1:])
    with pytest.raises(UserError, match=r"b\.jpg \(is \(30, 40\) after its EXIF"):
        usable_images("coco:x", images, "boxes", skip_bad=False, option=OPTION)


def test_nothing_left_is_refused(tmp_path):
    scenes = [Scene(name="a.jpg", image=tmp_path / "a.jpg", objects=no_objects())]
    images = Scenes(name="set", classes=("cat",), train=scenes, val=())
    with pytest.raises(UserError, match="no image is left"):
        usable_images("coco:x", images, "boxes", skip_bad=True, option=OPTION)


def test_good_files_are_looked_at_once_and_changed_ones_again(tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(looked, "WORTH", 0)
    paths = [tmp_path / f"{i}.txt" for i in range(600)]
    for path in paths:
        path.write_text("good")
    paths[5].write_text("bad")
    seen: list[Path] = []

    def check(path: Path) -> None:
        seen.append(path)
        if path.read_text().startswith("bad"):
            raise UserError("it is bad")

    assert faults_of("set", paths, identity, check) == {5: "it is bad"}
    assert len(seen) == 600
    seen.clear()
    paths[8].write_text("bad too")
    (tmp_path / "9.txt").unlink()
    with pytest.raises(FileNotFoundError):
        faults_of("set", paths, identity, check)
    (tmp_path / "9.txt").write_text("back")
    assert set(faults_of("set", paths, identity, check)) == {5, 8}
    assert set(seen) == {paths[5], paths[8], paths[9]}
    (kept,) = (tmp_path / "cache" / "looked").iterdir()
    kept.write_bytes(b"damaged")
    seen.clear()
    assert set(faults_of("set", paths, identity, check)) == {5, 8}
    assert len(seen) == 600


def test_a_long_look_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr(looked, "_OFTEN", 0)
    lines: list[str] = []
    faults_of("set", range(300), lambda _: "", lambda _: None, lines.append)
    assert lines == [
        "checking the files of set: 256 of 300",
        "checking the files of set: 300 of 300",
    ]
