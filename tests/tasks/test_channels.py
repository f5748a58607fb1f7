"""Images of several bands and more than 8 bits, from the training to the exported network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import res2net
from res2net.api import Run
from res2net.card import ModelCard
from res2net.data import photo
from res2net.data.preprocess import Reading
from res2net.errors import UserError
from res2net.runtime.session import load

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("undrawn")
SIDE, TOP, BANDS = 40, 3000, 4
QUICK = {
    "recipe": "smoke",
    "net": {"depth": 11, "width": 4},
    "train": {"epochs": 1, "max_steps": 2, "batch": 4, "threads": 1},
    "input": {"size": 32, "workers": 0},
}


def _scene(chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image uint16 (H, W, 4) of 12 bits with a bright square, and the square's map."""
    image = chance.integers(100, 900, (SIDE, SIDE, BANDS))
    top, left = chance.integers(4, 20, 2)
    image[top : top + 16, left : left + 16] += 2000
    classes = np.zeros((SIDE, SIDE), np.uint8)
    classes[top : top + 16, left : left + 16] = 1
    return image.astype(np.uint16), classes


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, chance = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    for name, factor in (("faint", 0.2), ("strong", 1.0)):
        (folder / name).mkdir()
        for i in range(6):
            np.save(folder / name / f"{i}.npy", (_scene(chance)[0] * factor).astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, chance = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (folder / kind / part).mkdir(parents=True)
        for i in range(count):
            image, classes = _scene(chance)
            np.save(folder / "images" / part / f"{i}.npy", image)
            Image.fromarray(classes).save(folder / "masks" / part / f"{i}.png")
    (folder / "classes.txt").write_text("background\nsquare\n")
    return folder


@pytest.fixture(scope="module")
def run(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "classify"
    return res2net.train("res2net29_small", f"folder:{labelled}", out=out, say=print, **QUICK)


def test_a_run_has_the_channels_and_the_range_of_its_images(run: Run) -> None:
    card = run.card
    assert card.options["in_channels"] == card.preprocess.channels == BANDS
    assert card.preprocess.range == (0, 4095)
    assert min(card.preprocess.std) > 0.02


def test_files_arrays_and_the_exported_network_give_the_same(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    file = labelled / "strong" / "0.npy"
    network = run.load()
    (wanted,) = network.predict(file)
    (of_array,) = network.predict(np.load(file))
    assert of_array.top == wanted.top
    res2net.export(run.folder, out=tmp_path / "artifact", to="onnx")
    runtime = load(tmp_path / "artifact")
    (deployed,) = runtime.predict(file)
    assert dict(deployed.top) == pytest.approx(dict(wanted.top), abs=2e-3)
    assert wanted.plot().size == (SIDE, SIDE)
    assert of_array.plot().tobytes() == wanted.plot().tobytes()
    with pytest.raises(ValueError, match=r"images are uint8 \(B, 32, 32, 4\)"):
        runtime(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.filterwarnings("ignore:8-bit images stay")
def test_images_of_other_channels_are_told(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "rgb.png")
    with pytest.raises(UserError, match=r"rgb\.png: .* has 3 bands, but 4 are needed"):
        run.load().predict(tmp_path / "rgb.png")


def test_a_run_is_measured_with_its_own_values(run: Run, labelled: Path, tmp_path: Path) -> None:
    found = res2net.evaluate(run.folder, f"folder:{labelled}", out=tmp_path / "scores")
    assert found.metrics["top1_accuracy"] == pytest.approx(run.metrics["top1_accuracy"])


def test_a_description_whose_channels_are_not_the_networks_is_refused(
    run: Run, tmp_path: Path
) -> None:
    values = json.loads((run.folder / "model.json").read_text())
    values["preprocess"]["mean"] = values["preprocess"]["std"] = [0.5, 0.5, 0.5]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="preprocess.mean has 3 values, the network takes 4"):
        ModelCard.read(path)


def test_segmentation_of_several_bands(pairs: Path, tmp_path: Path) -> None:
    run = res2net.train(
        "res2net26_26w_4s",
        f"pairs:{pairs}",
        task="segment",
        out=tmp_path / "run",
        say=print,
        **{**QUICK, "net": {"width": 4}, "head": {"channels": 16}},
    )
    assert run.card.options["in_channels"] == BANDS
    file = pairs / "images" / "val" / "0.npy"
    (found,) = run.load().predict(file)
    assert found.classes.shape == (SIDE, SIDE)
    colours = photo.read_pixels(file, reading=Reading(BANDS, (0.0, 4095.0)))[..., :3]
    assert (found.image.permute(1, 2, 0).numpy() == colours).all()
    assert found.plot().size == (SIDE, SIDE)
