"""Time and memory as a function of data size, with one process per measurement.

Each case is created in a temporary folder, then read or scored by a fresh process. Seconds exclude
imports, and memory is the increase over that before the measurement.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.utils.init import skip_init

from res2net.bench.memory import resident
from res2net.bench.options import GrowthOptions
from res2net.bench.protocol import Measurement, Track
from res2net.config import InputOptions, RunConfig
from res2net.data.scenes.options import SceneOptions
from res2net.data.scenes.readers import read_scenes
from res2net.data.source import parse_source
from res2net.drawing.canvas import BLUE, MARGIN, ORANGE, TOP, WIDTH, add_axes, headed_figure
from res2net.errors import UserError, one_line
from res2net.models.weights import WEIGHTS_NAME, apply_weights, read_weights
from res2net.tasks.classify.scores import PerImage, per_image, scored
from res2net.tasks.data import Labelled

MIB = 2**20
CLASSES, OBJECTS, CORNERS, BATCH = 10, 20, 40, 64  # of the made data; objects of an image
COLUMNS = {"what": "what", "number": "number", "seconds": "seconds", "mib": "MiB"}


def run(options: GrowthOptions, track: Track) -> Measurement:
    """Measure time and memory of each kind of data in several sizes.

    Raises:
        UserError: sizes that are not numbers, or a chart that cannot be written.
    """
    named = [options.what] if options.what else list(KINDS)
    if options.sizes and not options.what:
        raise UserError("--sizes applies to one kind of data; give --what " + "|".join(KINDS))
    own = _sizes(options.sizes)
    cases = [(what, number) for what in named for number in own or KINDS[what].sizes]
    rows = []
    for what, number in track(cases, len(cases), "sizes"):
        with tempfile.TemporaryDirectory() as folder:
            KINDS[what].make(Path(folder), number)
            found = [_alone(what, Path(folder), k) for k in range(options.rounds)]
        seconds, taken = zip(*found, strict=True)
        rows.append(
            {
                "what": what,
                "number": number,
                "seconds": round(statistics.median(seconds), 4),
                "least_seconds": round(min(seconds), 4),
                "mib": round(statistics.median(taken) / MIB, 1),
                "n": len(found),
            }
        )
    if options.chart:
        draw_growth(rows, options.chart)
    return Measurement(rows=rows, columns=COLUMNS)


def _sizes(text: str) -> tuple[int, ...]:
    words = text.split(",") if text else []
    if wrong := [word for word in words if not word.isdecimal() or not int(word)]:
        raise UserError(f"--sizes {wrong[0]}: whole numbers of 1 or more, separated by commas")
    return tuple(map(int, words))


def _make_folder(home: Path, number: int) -> None:
    data = BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    for k in range(CLASSES):
        (home / "data" / f"class{k}").mkdir(parents=True)
    for i in range(max(number, 2 * CLASSES)):
        (home / "data" / f"class{i % CLASSES}" / f"{i:08}.png").write_bytes(data.getvalue())


def _make_index(home: Path, number: int) -> None:
    _make_folder(home, number)
    _alone("index", home, 0)  # which writes it


def _make_annotations(home: Path, number: int) -> None:
    (home / "images").mkdir()
    photo = home / "images" / "0.png"
    Image.new("RGB", (64, 64)).save(photo)
    count = -(-number // OBJECTS)
    for i in range(1, count):
        (home / "images" / f"{i}.png").hardlink_to(photo)
    around = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    outline = (32 + 20 * np.stack([np.cos(around), np.sin(around)], 1)).ravel().round(2).tolist()
    shape = {"bbox": [12, 12, 40, 40], "area": 1250.0, "iscrowd": 0, "segmentation": [outline]}
    content = {
        "images": [
            {"id": i, "file_name": f"images/{i}.png", "height": 64, "width": 64}
            for i in range(count)
        ],
        "categories": [{"id": k + 1, "name": f"class{k}"} for k in range(CLASSES)],
        "annotations": [
            {"id": i, "image_id": i // OBJECTS, "category_id": 1 + i % CLASSES, **shape}
            for i in range(number)
        ],
    }
    (home / "data.json").write_text(json.dumps(content))


def _make_classes(home: Path, number: int) -> None:
    (home / "classes").write_text(str(number))


def _make_checkpoint(home: Path, number: int) -> None:
    state = _layers(number).state_dict()
    save_file({name: torch.zeros_like(value) for name, value in state.items()}, home / WEIGHTS_NAME)


def _layers(number: int) -> torch.nn.Sequential:
    """A network of so many MiB, its weights not initialised."""
    make = partial(skip_init, torch.nn.Linear, 1024, MIB // 4 // 1024, bias=False)
    return torch.nn.Sequential(*(make() for _ in range(number)))


def _load(home: Path) -> object:
    """Weights read, checked and copied into a network, as every command loads them."""
    state, _ = read_weights(home / WEIGHTS_NAME)
    model = _layers(len(state))
    apply_weights(model, state, "")
    return model


def _start(home: Path, *, index: str = "") -> object:
    config = RunConfig(
        task="classify",
        recipe="scratch",
        model="res2net50_26w_4s",
        data=f"folder:{home / 'data'}",
        input=InputOptions(index=index),
    )
    return Labelled().of_run(config)


def _read_annotations(home: Path) -> object:
    return read_scenes(parse_source(f"coco:{home / 'data.json'}"), SceneOptions(marks="masks"))


def _score(home: Path) -> object:
    """One image of each class, as an evaluation scores them: batch by batch."""
    classes = int((home / "classes").read_text())
    chance = torch.Generator().manual_seed(0)
    kept = [
        per_image(torch.rand(len(part), classes, generator=chance), part)
        for part in torch.arange(classes).split(BATCH)
    ]
    found = scored(
        PerImage(*map(np.concatenate, zip(*kept, strict=True))), [*map(str, range(classes))]
    )
    return found.summary(), found.confused_pairs()


class Kind(NamedTuple):
    """Data of any size."""

    unit: str
    sizes: tuple[int, ...]  # measured sizes
    make: Callable[[Path, int], None]
    read: Callable[[Path], object]


SIZES = (1_000, 10_000, 100_000)
KINDS = {
    "folder": Kind("files of a folder, first start, each checked", SIZES, _make_folder, _start),
    "index": Kind(
        *("files of a folder, next start with an index", SIZES, _make_index),
        lambda home: _start(home, index=str(home / "data.index")),
    ),
    "annotations": Kind("outlines of a COCO file", SIZES, _make_annotations, _read_annotations),
    "classes": Kind("classes that are scored", (100, 1_000, 21_000), _make_classes, _score),
    "checkpoint": Kind(
        *("MiB of weights, loaded into a network", (10, 100, 1_000), _make_checkpoint, _load)
    ),
}


def _alone(what: str, home: Path, number: int) -> tuple[float, int]:
    """Seconds and bytes of a reader in a fresh process.

    Raises:
        UserError: the process failed.
    """
    code = f"import sys; from {__name__} import run_alone; run_alone(*sys.argv[1:])"
    command = [sys.executable, "-W", "ignore", "-c", code, what, str(home)]
    own = {**os.environ, "RES2NET_CACHE": str(home / f"cache{number}")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    if done.returncode:
        last = one_line(RuntimeError(done.stderr.strip().rpartition("\n")[2]))
        raise UserError(f"{what} in {home}: the process that measured it failed ({last})")
    seconds, taken = done.stdout.split()[-2:]
    return float(seconds), int(taken)


def run_alone(what: str, home: str) -> None:
    """Read once; print seconds and the peak increase in bytes."""
    before, start = resident(), time.perf_counter()
    found = KINDS[what].read(Path(home))
    seconds = time.perf_counter() - start
    del found
    print(seconds, max(0, resident() - before))


def draw_growth(
    rows: Sequence[Mapping[str, Any]], path: Path, *, measured: str = "double logarithmic"
) -> None:
    """Draw seconds and MiB against size for each kind of data, and write a PNG.

    Raises:
        UserError: ``path`` cannot be written.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    named = dict.fromkeys(row["what"] for row in rows)
    tall, between = 150, 100
    width = (WIDTH - 2 * MARGIN - 160) / 2
    height = TOP + 40 + len(named) * (tall + between)
    with headed_figure(path, height, "Time and memory by data size", measured) as figure:
        for i, what in enumerate(named):
            own = sorted((r for r in rows if r["what"] == what), key=lambda r: int(r["number"]))
            numbers = [int(row["number"]) for row in own]
            for k, (column, label, colour) in enumerate(
                (("seconds", "seconds", BLUE), ("mib", "MiB", ORANGE))
            ):
                left = MARGIN + 60 + k * (width + 100)
                axes = add_axes(figure, left, TOP + 40 + i * (tall + between), width, tall)
                axes.loglog(numbers, [max(float(r[column]), 1e-3) for r in own], "o-", color=colour)
                axes.set(xlabel=KINDS[what].unit, title=f"{what}, {label}")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter(NullFormatter())
