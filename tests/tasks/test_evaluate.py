"""Objects of a network measured on data that number or name their classes otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from res2net.data.scene import Objects, Scene, Scenes

pytestmark = pytest.mark.usefixtures("undrawn")

CAT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>5</ymin><xmax>{}</xmax><ymax>40</ymax></bndbox></object>"  # noqa: E501


def voc(root: Path, names: tuple[str, ...], *, difficult: bool = False) -> Path:
    """Four images, each with an object of every name."""
    (root / "Annotations").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    (root / "ImageSets" / "Main").mkdir(parents=True)
    objects = "".join(CAT.format(name, 5 + 40 * i, 35 + 40 * i) for i, name in enumerate(names))
    if difficult:
        objects = objects.replace("<bndbox>", "<difficult>1</difficult><bndbox>")
    for name in "abcd":
        Image.new("RGB", (96, 64), "grey").save(root / "JPEGImages" / f"{name}.jpg")
        text = f"<annotation>{objects}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    for part, lines in (("train", "a\nb\n"), ("val", "c\nd\n")):
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text(lines)
    return root


def train(cli: Any, data: Path, run: Path) -> Any:
    return cli(
        *("train", "--task", "detect", "--model", "resnet26_small", "--data", f"voc:{data}"),
        *("--recipe", "smoke", "--head.channels", "8", "--input.size", "64"),
        *("--train.threads", "1", "--input.workers", "0", "--train.max-steps", "1"),
        *("--out", run),
    )


def test_classes_are_those_of_the_run_in_its_order(cli: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = train(cli, voc(tmp_path / "a", ("RBC", "WBC")), run)
    assert done.code == 0, done.err
    out = ("--out", tmp_path / "out")
    for names in (("RBC",), ("WBC",), ("WBC", "RBC")):
        done = cli(
            "evaluate", run, "--data", voc(tmp_path / names[0] / str(len(names)), names), *out
        )
        assert done.code == 0, done.err
        rows = (tmp_path / "out" / "per_class.csv").read_text().splitlines()[1:]
        counts = {row.split(",")[1]: int(row.split(",")[2]) for row in rows}
        assert list(counts) == ["RBC", "WBC"]
        assert counts == {name: 2 * (name in names) for name in counts}
    done = cli("evaluate", run, "--data", voc(tmp_path / "b", ("RBC", "Platelets")), *out)
    assert "it has no Platelets" in done.line
    done = cli("evaluate", run, "--data", voc(tmp_path / "c", ("RBC",), difficult=True), *out)
    assert "have no object to evaluate (2 annotated, all of them crowds or difficult)" in done.line


def test_objects_that_all_are_difficult_are_refused_before_the_first_step(
    cli: Any, tmp_path: Path
) -> None:
    done = train(cli, voc(tmp_path / "a", ("RBC",), difficult=True), tmp_path / "run")
    assert "the 2 training images have no usable object: 0 have no annot" in done.line
    assert not (tmp_path / "run").exists()


def test_scenes_are_renumbered_by_name() -> None:
    objects = Objects(
        boxes=np.zeros((2, 4)),
        labels=np.array([0, 2]),
        ignored=np.zeros(2, bool),
        areas=np.zeros(2),
    )
    scene = Scene(name="a", image=np.zeros((1, 1, 3), np.uint8), objects=objects)
    bare = Scene(name="b", image=np.zeros((1, 1, 3), np.uint8))
    data = Scenes(name="x", classes=("ant", "bee", "cat"), train=[scene], val=[bare], test=[scene])
    found = data.in_order_of(("cat", "dog", "ant"))
    assert found.train[0].objects is not None
    assert found.train[0].objects.labels.tolist() == [2, 0]
    assert found.test[0].objects is not None
    assert found.val[0].objects is None
    with pytest.raises(ValueError, match="^cat$"):
        data.in_order_of(("ant",))


def pairs(root: Path, names: tuple[str, ...]) -> Path:
    """Four images whose left half is ground and whose right half is tree; maps number ``names``."""
    values = np.full((32, 64), names.index("ground"), np.uint8)
    values[:, 32:] = names.index("tree")
    photo = np.full((32, 64, 3), 90, np.uint8)
    photo[:, 32:] = 200
    for part in ("train", "val"):
        for folder, pixels in (("images", photo), ("masks", values)):
            (root / part / folder).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(pixels).save(root / part / folder / f"{i}.png")
    (root / "classes.txt").write_text("\n".join(names))
    return root


def test_maps_are_numbered_as_the_run_numbers_its_classes(cli: Any, tmp_path: Path) -> None:
    from res2net.tasks.evaluate import evaluate

    usual = pairs(tmp_path / "usual", ("ground", "tree", "sky"))
    done = cli(
        *("train", "--task", "segment", "--model", "resnet26_small", "--data", f"pairs:{usual}"),
        *("--recipe", "smoke", "--head.channels", "8", "--input.size", "64", "--out"),
        *(tmp_path / "run", "--train.threads", "1", "--input.workers", "0"),
    )
    assert done.code == 0, done.err
    wanted = evaluate(tmp_path / "run", f"pairs:{usual}").scores.scores.confusion
    for names in (("tree", "sky", "ground"), ("tree", "ground")):
        other = pairs(tmp_path / "-".join(names), names)
        found = evaluate(tmp_path / "run", f"pairs:{other}", out=tmp_path / "out")
        assert (found.scores.scores.confusion == wanted).all()
    strange = pairs(tmp_path / "strange", ("tree", "ground", "sea"))
    done = cli("evaluate", tmp_path / "run", "--data", f"pairs:{strange}")
    assert "classes differ from" in done.line
    assert done.line.endswith("it has no sea")


def test_a_set_without_its_training_part_is_measured(cli: Any, tmp_path: Path) -> None:
    data, run = voc(tmp_path / "a", ("RBC", "WBC")), tmp_path / "run"
    assert train(cli, data, run).code == 0
    (data / "Annotations" / "a.xml").write_text("damaged")
    assert "a.xml" in cli("evaluate", run, "--data", data, "--split", "train").line
    lists = data / "ImageSets" / "Main"
    (lists / "test.txt").write_text("b\n")
    for more, count in (((), ": 2 images"), (("--split", "test"), ": 1 image\n")):
        done = cli("evaluate", run, "--data", data, *more, "--out", tmp_path / "out")
        assert done.code == 0, done.err
        assert count in done.out
    (lists / "train.txt").unlink()
    assert cli("evaluate", run, "--data", data, "--out", tmp_path / "out").code == 0
    assert "no training images" in train(cli, data, tmp_path / "other").line
