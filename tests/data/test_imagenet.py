"""ILSVRC layouts, small ones of the same form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from res2net.data.imagenet import read
from res2net.data.labelled import ReadOptions
from res2net.data.source import parse_source
from res2net.errors import UserError

MakeTree = Callable[[dict[str, int]], Path]
WNIDS = ("n01440764", "n02012849", "n03126707")
TRAIN = {f"train/{wnid}": i + 1 for i, wnid in enumerate(WNIDS)}
MAPPING = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"
LABELS = (2, 0, 1, 1)  # of the validation images


def flat_val(root: Path, base: str = "") -> None:
    """Validation images in one folder, under their official names."""
    val = root / base / "val"
    for i in range(len(LABELS)):
        (val / f"{i}.png").rename(val / f"ILSVRC2012_val_{i + 1:08d}.JPEG")


def test_folders_of_wnids(make_tree: MakeTree) -> None:
    root = make_tree({**TRAIN, **{f"val/{wnid}": 1 for wnid in WNIDS}})
    data = read(root, ReadOptions())
    assert data.classes == WNIDS
    assert data.class_counts().tolist() == [1, 2, 3]
    assert data.val.labels.tolist() == [0, 1, 2]
    assert data.train.names(0) == "train/n01440764/0.png"


def test_evaluating_lists_the_validation_images_alone(make_tree: MakeTree) -> None:
    root = make_tree({**TRAIN, **{f"val/{wnid}": 1 for wnid in WNIDS}})
    for image in (root / "train").rglob("*.png"):
        image.unlink()
    data = read(root, ReadOptions(measured="val"))
    assert (data.classes, len(data.train), data.val.labels.tolist()) == (WNIDS, 0, [0, 1, 2])
    with pytest.raises(UserError, match="no images in class"):
        read(root, ReadOptions())


@pytest.mark.parametrize("base", ["", "Data/CLS-LOC/", "ILSVRC/Data/CLS-LOC/"])
def test_kaggle(make_tree: MakeTree, base: str) -> None:
    root = make_tree({**{base + name: n for name, n in TRAIN.items()}, f"{base}val": len(LABELS)})
    flat_val(root, base)
    lines = [f"ILSVRC2012_val_{i:08d},{WNIDS[n]} 1 2 3 4 " for i, n in enumerate(LABELS, start=1)]
    text = "ImageId,PredictionString\n" + "\n".join(lines[::-1])
    (root / "LOC_val_solution.csv").write_text(text)
    (root / "LOC_synset_mapping.txt").write_text(MAPPING)
    assert parse_source(str(root)).format == "imagenet"
    data = read(root, ReadOptions())
    assert data.classes == ("tench", "crane (n02012849)", "crane (n03126707)")
    assert data.val.labels.tolist() == list(LABELS)
    assert read(root / base, ReadOptions()).classes == data.classes


def test_devkit(make_tree: MakeTree) -> None:
    """The devkit's own numbers are not in the order of the wnids."""
    from scipy.io import savemat

    root = make_tree({**TRAIN, "val": len(LABELS)})
    flat_val(root)
    numbers = (3, 1, 2)  # of WNIDS
    synsets = np.array(
        [(n, w, "words") for n, w in zip(numbers, WNIDS, strict=True)],
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")],
    )
    devkit = root / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    savemat(devkit / "meta.mat", {"synsets": synsets})
    truth = "\n".join(str(numbers[n]) for n in LABELS) + "\n"
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    assert parse_source(str(root)).format == "imagenet"
    assert read(root, ReadOptions()).val.labels.tolist() == list(LABELS)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"cat": 1}, "no ImageNet layout; expected train/<wnid>/"),
        ({"train/cat": 1, "val": 1}, "no ImageNet layout"),
        ({**TRAIN, "val": 2}, "val: labels not found; put LOC_val_solution.csv"),
        ({**TRAIN, "val": 0}, "val: holds no images"),
        ({**TRAIN, "val/n01440764": 1}, "only in train: n02012849, n03126707"),
        ({**TRAIN, **{f"val/{w}": 0 for w in WNIDS}}, "val: no images in class n01440764"),
    ],
)
def test_faults(make_tree: MakeTree, tree: dict[str, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read(make_tree(tree), ReadOptions())


def test_validation_images_without_label(make_tree: MakeTree) -> None:
    root = make_tree({**TRAIN, "val": 1})
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nx,n01440764 1 2 3 4\n")
    with pytest.raises(UserError, match=r"1 image\(s\) without label: 0"):
        read(root, ReadOptions())


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("LOC_val_solution.csv", b"ImageId\nx\n"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\nx,\n"),
        ("LOC_val_solution.csv", b"\xff\xfe\0"),
        ("ILSVRC2012_validation_ground_truth.txt", b"1\ntwo\n"),
        ("ILSVRC2012_validation_ground_truth.txt", b"99\n"),
        ("ILSVRC2012_validation_ground_truth.txt", "\u0661".encode()),
        ("meta.mat", b"MATLAB 5.0 MAT-file" + bytes(200)),
        ("meta.mat", b""),
        ("LOC_synset_mapping.txt", b"n01440764 \xff"),
    ],
)
def test_damaged_companion_files_are_named(make_tree: MakeTree, file: str, content: bytes) -> None:
    from scipy.io import savemat

    root = make_tree({**TRAIN, "val": len(LABELS)})
    flat_val(root)
    table = np.array([(1, WNIDS[0])], dtype=[("ILSVRC2012_ID", "i4"), ("WNID", "O")])
    savemat(root / "meta.mat", {"synsets": table})
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n" * len(LABELS))
    (root / file).write_bytes(content)
    with pytest.raises(UserError, match=file) as caught:
        read(root, ReadOptions())
    assert "\n" not in str(caught.value)
